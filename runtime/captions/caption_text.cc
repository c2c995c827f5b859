#include "captions/caption_text.h"

#include <unicode/uchar.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "text/segmentation.h"

namespace omni {

namespace {

struct Free {
  void operator()(utf8proc_uint8_t* p) const { std::free(p); }
};

// The text with every byte that is no UTF-8 left out.
std::string valid(std::string_view text) {
  std::string out;
  const auto* p = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t n = utf8proc_iterate(p + i, utf8proc_ssize_t(text.size() - i), &c);
    if (n <= 0) {
      ++i;
      continue;
    }
    out.append(text.substr(i, size_t(n)));
    i += size_t(n);
  }
  return out;
}

std::string composed(std::string_view text) {
  const std::string clean = valid(text);
  utf8proc_uint8_t* out = nullptr;
  const auto options = utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const utf8proc_ssize_t n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(clean.data()),
                                          utf8proc_ssize_t(clean.size()), &out, options);
  const std::unique_ptr<utf8proc_uint8_t, Free> owner(out);
  return n < 0 ? std::string() : std::string(reinterpret_cast<const char*>(out), size_t(n));
}

// What stands for a code point in a caption; 0: nothing.
int32_t shown_as(int32_t c) {
  constexpr int32_t kByteOrderMark = 0xfeff;
  if (u_isUWhiteSpace(c)) switch (u_getIntPropertyValue(c, UCHAR_LINE_BREAK)) {
      case U_LB_MANDATORY_BREAK:
      case U_LB_CARRIAGE_RETURN:
      case U_LB_LINE_FEED:
      case U_LB_NEXT_LINE:
        return '\n';
      case U_LB_GLUE:
        return c;
      default:
        return ' ';
    }
  return u_charType(c) == U_CONTROL_CHAR || U_IS_UNICODE_NONCHAR(c) || c == kByteOrderMark ? 0 : c;
}

std::vector<int32_t> points_of(std::string_view text) {
  std::vector<int32_t> out;
  const auto* p = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t n = utf8proc_iterate(p + i, utf8proc_ssize_t(text.size() - i), &c);
    if (n <= 0) break;
    out.push_back(c);
    i += size_t(n);
  }
  return out;
}

int width_of(int32_t c) { return u_charType(c) == U_FORMAT_CHAR ? 0 : utf8proc_charwidth(c); }

}  // namespace

std::vector<int32_t> code_points(std::string_view text) {
  std::vector<int32_t> out;
  int32_t before = 0;
  for (const int32_t c : points_of(composed(text))) {
    const int32_t shown = shown_as(c);
    if (shown && !(before == '\r' && c == '\n')) out.push_back(shown);
    before = c;
  }
  return out;
}

std::string to_utf8(const std::vector<int32_t>& points) {
  std::string out;
  for (const int32_t c : points) {
    utf8proc_uint8_t bytes[4];
    out.append(reinterpret_cast<const char*>(bytes), size_t(utf8proc_encode_char(c, bytes)));
  }
  return out;
}

std::string upper_case(std::string_view text) {
  std::vector<int32_t> points = code_points(text);
  for (int32_t& c : points) c = utf8proc_toupper(c);
  return to_utf8(points);
}

std::string single_spaced(std::string_view text) {
  std::vector<int32_t> points = code_points(text);
  std::replace(points.begin(), points.end(), int32_t('\n'), int32_t(' '));
  points.erase(std::unique(points.begin(), points.end(),
                           [](int32_t a, int32_t b) { return a == ' ' && b == ' '; }),
               points.end());
  return to_utf8(points);
}

std::string_view without_spaces_around(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  return first == std::string_view::npos
             ? std::string_view()
             : text.substr(first, text.find_last_not_of(' ') + 1 - first);
}

int columns_of(std::string_view text) {
  const std::string clean = to_utf8(code_points(text));
  int columns = 0;
  size_t begin = 0;
  for (const size_t end : ends_of(TextUnit::grapheme, clean)) {
    int width = 0;
    for (const int32_t c : points_of(std::string_view(clean).substr(begin, end - begin)))
      width += width_of(c);
    columns += std::min(width, 2);
    begin = end;
  }
  return columns;
}

}  // namespace omni
