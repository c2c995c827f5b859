#include "session/heard.h"

#include <algorithm>
#include <cctype>

#include "text/segmentation.h"

namespace omni {

namespace {

constexpr Nanoseconds kPerCharacter = kSecond / 15;  // people say 10 to 25 a second
// A word that ends so soon behind the cut was as good as said.
constexpr Nanoseconds kSlack = kSecond / 50;
constexpr Nanoseconds kWord = kSecond * 2 / 5;  // of six letters

// A word, or what stands between words.
struct Unit {
  size_t begin, end;  // bytes
  int64_t n_before;   // characters of words up to its end
  bool is_word;
};

std::vector<Unit> units_of(std::string_view text) {
  std::vector<Unit> units;
  int64_t n = 0;
  size_t begin = 0;
  for (const size_t end : ends_of(TextUnit::word, text)) {
    const std::string_view unit = text.substr(begin, end - begin);
    const bool is_word = std::any_of(unit.begin(), unit.end(),
                                     [](unsigned char c) { return c >= 0x80 || std::isalnum(c); });
    if (is_word) n += int64_t(ends_of(TextUnit::grapheme, unit).size());
    units.push_back({begin, end, n, is_word});
    begin = end;
  }
  return units;
}

int64_t n_letters(const std::vector<Unit>& units) {
  return units.empty() ? 0 : units.back().n_before;
}

double time_of_letter(int64_t n, std::optional<Nanoseconds> duration) {
  return double(duration.value_or(kPerCharacter * n)) / double(n);
}

}  // namespace

std::string heard_words(const std::string& text, Nanoseconds heard,
                        std::optional<Nanoseconds> duration) {
  const std::vector<Unit> units = units_of(text);
  const int64_t n = n_letters(units);
  if (n == 0) return {};
  const double each = time_of_letter(n, duration);
  size_t last = 0;
  for (const Unit& unit : units) {
    if (unit.is_word && each * double(unit.n_before) > double(heard + kSlack)) break;
    const bool belongs_to_word = last > 0 && unit.begin == last && text[unit.begin] != ' ';
    if (unit.is_word || belongs_to_word) last = unit.end;
  }
  return text.substr(0, last);
}

Nanoseconds beginning_of_word(const std::optional<std::string>& text, Nanoseconds heard,
                              std::optional<Nanoseconds> duration) {
  const std::vector<Unit> units = text ? units_of(*text) : std::vector<Unit>();
  const int64_t n = n_letters(units);
  if (n == 0) return std::max<Nanoseconds>(0, heard - kWord);
  const double each = time_of_letter(n, duration);
  int64_t ended = 0;  // letters
  for (const Unit& unit : units) {
    if (each * double(unit.n_before) > double(heard)) break;
    ended = unit.n_before;
  }
  return std::min(heard, Nanoseconds(each * double(ended)));
}

std::string keep_heard(const std::string& heard, std::vector<ToolStep>& steps) {
  size_t at = 0;
  for (ToolStep& step : steps) {
    const size_t n = std::min(step.text.size(), heard.size() - at);
    step.text = heard.substr(at, n);
    at += n;
  }
  return heard.substr(at);
}

}  // namespace omni
