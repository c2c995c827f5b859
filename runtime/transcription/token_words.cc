#include "transcription/token_words.h"

#include <algorithm>
#include <string_view>

#include "omni/text.h"
#include "text/segmentation.h"

namespace omni {

std::vector<TokenWord> words_of(const std::vector<std::string>& tokens) {
  std::string all;
  for (const std::string& t : tokens) all += t;
  const std::string_view text = all;
  const std::vector<size_t> ends = ends_of(TextUnit::line, text);
  const auto begins_unspaced = [&](size_t at) {
    return std::binary_search(ends.begin(), ends.end(), at) && text[at - 1] != ' ' &&
           !expects_space(text.substr(0, at), text.substr(at));
  };
  std::vector<TokenWord> words;
  size_t at = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool begins =
        words.empty() || (!tokens[i].empty() && (tokens[i][0] == ' ' || begins_unspaced(at)));
    if (begins) words.push_back({"", i, 0});
    words.back().text += tokens[i];
    ++words.back().n_tokens;
    at += tokens[i].size();
  }
  return words;
}

}  // namespace omni
