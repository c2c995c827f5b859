// The masks that hold answers to their schema, made once for successive answers of one schema.
#pragma once

#include <memory>
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
  TokenMask* begin(const SamplingOptions& sampling);

 private:
  void make(const std::string& schema);

  const Prompter& prompter_;
  std::shared_ptr<const TokenTable> table_;
  std::unique_ptr<TokenMask> mask_;  // of schema_
  std::string schema_;
};

}  // namespace omni
