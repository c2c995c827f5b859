// Text as the words between its spaces, and back.
#pragma once

#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace omni {

inline std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

inline std::string join(const std::string& left, const std::string& right) {
  return left + (left.empty() || right.empty() ? "" : " ") + right;
}

}  // namespace omni
