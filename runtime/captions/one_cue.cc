#include <algorithm>

#include "omni/text.h"

namespace omni {

std::string one_cue(const std::string& text) {
  constexpr std::string_view kLineEnds = "\r\n", kArrow = "-->";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_of(kLineEnds, at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    out += line;
    if (end < text.size()) out += '\n';
  }
  for (size_t at = 0; (at = out.find(kArrow, at)) != std::string::npos;) out.insert(at + 2, 1, ' ');
  return out;
}

}  // namespace omni
