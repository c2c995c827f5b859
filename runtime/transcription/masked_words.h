// Words that are not to be shown.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace omni {

class MaskedWords {
 public:
  explicit MaskedWords(const std::vector<std::string>& words);
  // The word with all but its first letter as asterisks if it is one of them, whatever its case and
  // the punctuation around it; else as it is.
  std::string apply(const std::string& word) const;

 private:
  std::set<std::string> words_;  // in lower case
};

}  // namespace omni
