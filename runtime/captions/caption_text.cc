#include "captions/caption_text.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

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

std::vector<int32_t> points_of(std::string_view text) {
  std::vector<int32_t> out;
  const auto* p = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t n = utf8proc_iterate(p + i, utf8proc_ssize_t(text.size() - i), &c);
    if (n <= 0) break;
    const utf8proc_category_t category = utf8proc_category(c);
    if (c == '\n' || (category != UTF8PROC_CATEGORY_CC && category != UTF8PROC_CATEGORY_CF)) out.push_back(c);
    i += size_t(n);
  }
  return out;
}

bool is_wide(int32_t point) { return utf8proc_charwidth(point) == 2; }

bool ends_with_any(std::string_view word, std::string_view ascii, std::initializer_list<std::string_view> others) {
  while (!word.empty() && (word.back() == '"' || word.back() == '\'' || word.back() == ')')) word.remove_suffix(1);
  if (word.empty()) return false;
  if (ascii.find(word.back()) != std::string_view::npos) return true;
  for (const std::string_view o : others)
    if (word.ends_with(o)) return true;
  return false;
}

}  // namespace

std::vector<int32_t> code_points(std::string_view text) {
  const std::string clean = valid(text);
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(clean.data()), utf8proc_ssize_t(clean.size()), &composed, utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, Free> owner(composed);
  return n < 0 ? std::vector<int32_t>() : points_of({reinterpret_cast<const char*>(composed), size_t(n)});
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

int columns_of(std::string_view text) {
  int n = 0;
  for (const int32_t c : code_points(text)) n += utf8proc_charwidth(c);
  return n;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (const int32_t c : code_points(text)) {
    const utf8proc_category_t category = utf8proc_category(c);
    if (c == '\n' || (category == UTF8PROC_CATEGORY_ZS && c != 0xa0)) {
      if (!words.back().empty()) words.emplace_back();
    } else {
      words.back() += to_utf8({c});
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::string join(std::string_view left, std::string_view right) {
  const std::vector<int32_t> l = code_points(left), r = code_points(right);
  const bool spaceless = !l.empty() && !r.empty() && is_wide(l.back()) && is_wide(r.front());
  return std::string(left) + (left.empty() || right.empty() || spaceless ? "" : " ") + std::string(right);
}

bool ends_sentence(std::string_view word) { return ends_with_any(word, ".?!", {"。", "？", "！", "…"}); }
bool ends_clause(std::string_view word) { return ends_sentence(word) || ends_with_any(word, ",;:", {"、", "，", "；", "：", "—", "–"}); }

}  // namespace omni
