// The normal form of a text, in which what is written differently and reads the same is the same:
// case folded and composed (Unicode), white space one blank, none of it and no closing punctuation
// at the ends.
#pragma once

#include <string>

namespace omni {

// Of valid UTF-8; anything else comes back as it is.
std::string folded(const std::string& text);

}  // namespace omni
