// Where a text may be cut, and expects_space() of omni/text.h: the rules of Unicode, as ICU has
// them.
#pragma once

#include <string_view>
#include <vector>

namespace omni {

// UAX #29: what a reader takes for one character, and words. UAX #14: where a line may end, which
// in scripts without spaces takes ICU's dictionaries.
enum class TextUnit { grapheme, word, line };

// Where the units of a text end, in bytes, the last at its end. Spaces belong to the line ahead of
// them.
std::vector<size_t> ends_of(TextUnit unit, std::string_view text);

// By the last character, closing quotes and brackets aside.
bool ends_sentence(std::string_view text);
bool ends_clause(std::string_view text);

}  // namespace omni
