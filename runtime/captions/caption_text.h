// What captions need to know of Unicode: columns, clauses, pieces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace omni {

// Code points in composed form; what is no UTF-8 or a control character is left out.
std::vector<int32_t> code_points(std::string_view text);
std::string to_utf8(const std::vector<int32_t>& points);
std::string upper_case(std::string_view text);

// Columns that a text takes: two for East Asian wide characters.
int columns_of(std::string_view text);
// Text split at white space.
std::vector<std::string> words_of(std::string_view text);
// Two words in one line: with a space between them unless both are of a script without spaces.
std::string join(std::string_view left, std::string_view right);

bool ends_sentence(std::string_view word);
bool ends_clause(std::string_view word);

}  // namespace omni
