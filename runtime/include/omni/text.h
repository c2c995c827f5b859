// Text that comes in pieces and goes into others' formats.
#pragma once

#include <string>
#include <string_view>

#include "omni/error.h"

namespace omni {

// Whether readers expect a space between two words, or two texts: not beside a script that is
// written without, as Thai, Chinese and Japanese are, nor where there is one.
OMNI_API bool expects_space(std::string_view left, std::string_view right);

// A cue of WebVTT or SubRip ends at an empty line, and an arrow `-->` begins the next: the text
// without either.
OMNI_API std::string one_cue(const std::string& text);

}  // namespace omni
