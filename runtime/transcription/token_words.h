// Tokens of a recogniser to words.
#pragma once

#include <string>
#include <vector>

namespace omni {

struct TokenWord {
  std::string text;  // with the space ahead of it
  size_t first_token, n_tokens;
};

// `tokens`: their bytes. A word begins with a space or, in a script that is written without, where
// a line may end: Latin letters and digits within such a script are one word, a mark goes with its
// letter.
std::vector<TokenWord> words_of(const std::vector<std::string>& tokens);

}  // namespace omni
