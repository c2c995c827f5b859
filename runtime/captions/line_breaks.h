// Where a text is broken into lines. (The total-fit idea of Knuth and Plass, Breaking Paragraphs
// into Lines, 1981, with few lines and other penalties.)
#pragma once

#include <string>
#include <vector>

namespace omni {

// The text in the smallest pieces behind which a line may end, their spaces behind them; a piece
// that is longer than a line is cut between two characters.
std::vector<std::string> line_pieces(const std::string& text, int columns);
// How many lines break_lines() makes.
int n_lines(const std::string& text, int columns);

}  // namespace omni
