// What captions need to know of Unicode beside where a text may be cut: its characters and the
// columns that they take.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace omni {

// Code points in composed form. Whatever ends a line is '\n' and other white space a space, but for
// spaces that hold two words together; controls and what is no UTF-8 are left out. Format
// characters stay: they join letters and emoji, or set the direction.
std::vector<int32_t> code_points(std::string_view text);
std::string to_utf8(const std::vector<int32_t>& points);
std::string upper_case(std::string_view text);
// In code points as above, all white space between two words one space.
std::string single_spaced(std::string_view text);
std::string_view without_spaces_around(std::string_view text);

// Columns that a text takes: two for East Asian wide characters and for emoji of any number of code
// points.
int columns_of(std::string_view text);

}  // namespace omni
