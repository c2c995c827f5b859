// Which tokens may come next so that the answer stays a text of a grammar and can still be finished
// within its token budget.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"

namespace omni {

// The vocabulary in the order of its bytes, so that tokens with a common beginning are tried once.
// Const, shared by all answers.
class TokenTable {
 public:
  // `bytes_of(id)`: what a token writes; empty for tokens that may never be written (markup).
  TokenTable(int32_t n_tokens, const std::function<std::string(int32_t)>& bytes_of);

  struct Entry {
    std::string bytes;
    int32_t id;
    uint32_t common;  // leading bytes that it shares with the entry before
  };
  const std::vector<Entry>& entries() const { return entries_; }
  int32_t n_tokens() const { return n_tokens_; }

 private:
  std::vector<Entry> entries_;
  int32_t n_tokens_;
};

class TokenMask {
 public:
  TokenMask(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTable> table,
            std::vector<int32_t> stops);

  // Begins an answer of at most `budget` tokens, the stop token included. Throws invalid_argument
  // if the shortest text may not fit. `instead`: a token that may come in place of all of it.
  void begin(int budget, std::optional<int32_t> instead = std::nullopt);
  // The least budget.
  int needed();
  // A bit for each token that may come next. Throws unsupported if there is none.
  std::vector<uint32_t> allowed(size_t vocabulary);
  // Logits of the others become −inf.
  void apply(std::span<float> logits);
  // The token that was chosen.
  void accept(int32_t id, std::string_view bytes);
  // Nothing but the stop token may come.
  bool is_finished() const { return automaton_.is_finished(state_); }

 private:
  using Needs = std::vector<uint16_t>;  // by token: bytes still needed behind it; kForbidden
  const Needs& needs();

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTable> table_;
  std::vector<int32_t> stops_;
  Automaton automaton_;
  int state_ = 0;
  int left_ = 0;
  std::optional<int32_t> instead_;        // while nothing has come
  std::unordered_map<int, Needs> known_;  // by state
};

}  // namespace omni
