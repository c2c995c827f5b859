#include "text/fold.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

namespace omni {

namespace {

constexpr const char *kWhite = " \t\n\v\f\r", *kAtEnds = " .,;:!?\"'`";

std::string fold_case(const std::string& text) {
  utf8proc_uint8_t* result = nullptr;
  const auto n = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()), utf8proc_ssize_t(text.size()),
      &result, utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD));
  if (n < 0) return text;
  std::string out(reinterpret_cast<char*>(result), size_t(n));
  std::free(result);
  return out;
}

}  // namespace

std::string folded(const std::string& text) {
  std::string out;
  const std::string lower = fold_case(text);
  for (size_t at = lower.find_first_not_of(kWhite); at != std::string::npos;) {
    const size_t end = std::min(lower.find_first_of(kWhite, at), lower.size());
    if (!out.empty()) out += ' ';
    out.append(lower, at, end - at);
    at = lower.find_first_not_of(kWhite, end);
  }
  const size_t begin = out.find_first_not_of(kAtEnds);
  if (begin == std::string::npos) return {};
  return out.substr(begin, out.find_last_not_of(kAtEnds) - begin + 1);
}

}  // namespace omni
