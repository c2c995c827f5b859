#include "transcription/masked_words.h"

#include <algorithm>

namespace omni {

namespace {

// ASCII only: other letters are compared as they are written.
std::string lower(std::string s) {
  std::transform(s.begin(), s.end(), s.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return s;
}

bool is_letter(char c) {
  return static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9') ||
         (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool begins_letter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

}  // namespace

MaskedWords::MaskedWords(const std::vector<std::string>& words) {
  for (const std::string& w : words) words_.insert(lower(w));
}

std::string MaskedWords::apply(const std::string& word) const {
  if (words_.empty()) return word;
  const auto first = std::find_if(word.begin(), word.end(), is_letter),
             last = std::find_if(word.rbegin(), word.rend(), is_letter).base();
  if (first >= last || !words_.contains(lower(std::string(first, last)))) return word;
  const auto second = std::find_if(first + 1, last, begins_letter);
  return std::string(word.begin(), second) +
         std::string(size_t(std::count_if(second, last, begins_letter)), '*') +
         std::string(last, word.end());
}

}  // namespace omni
