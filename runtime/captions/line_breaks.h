// Where a text is broken into lines. (The total-fit idea of Knuth and Plass, Breaking Paragraphs into Lines, 1981, with few lines and other penalties.)
#pragma once

#include <string>
#include <vector>

namespace omni {

// Words in lines of at most `columns`; a word that is longer is cut. As few lines as will do.
std::vector<std::string> break_words(const std::vector<std::string>& words, int columns);
// How many lines that is.
int n_lines(const std::vector<std::string>& words, int columns);

}  // namespace omni
