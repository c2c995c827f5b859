// The masks that hold answers to their schema, made once for successive answers of one schema.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "decoding/token_mask.h"
#include "interface/prompter.h"
#include "omni/session.h"

namespace omni {

class AnswerMasks {
 public:
  explicit AnswerMasks(const Prompter& prompter) : prompter_(prompter) {}
  // Begun and ready, or nullptr where everything is allowed. Throws invalid_argument for a schema
  // that is none, or whose shortest answer is longer than max_tokens; unsupported.
  // `instead`: a token that may come in place of all of it.
  TokenMask* begin(const SamplingOptions& sampling, std::optional<int32_t> instead = std::nullopt);
  // Of a call of one of the functions of `calls` (grammar_of_calls()), not begun.
  TokenMask& of_calls(const std::shared_ptr<const Grammar>& calls);

 private:
  void make(const std::string& schema);
  std::shared_ptr<const TokenTable> table();

  const Prompter& prompter_;
  std::shared_ptr<const TokenTable> table_;
  std::unique_ptr<TokenMask> mask_;  // of schema_
  std::string schema_;
  std::shared_ptr<const Grammar> calls_;
  std::unique_ptr<TokenMask> mask_of_calls_;
};

}  // namespace omni
