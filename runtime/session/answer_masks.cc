#include "session/answer_masks.h"

#include <utility>
#include <vector>

#include "grammar/json_schema.h"
#include "session/answer_schema.h"

namespace omni {

TokenMask* AnswerMasks::begin(const SamplingOptions& sampling) {
  if (sampling.json_schema.empty()) return nullptr;
  if (!mask_ || schema_ != sampling.json_schema) make(sampling.json_schema);
  mask_->begin(sampling.max_tokens);
  return mask_.get();
}

void AnswerMasks::make(const std::string& schema) {
  const std::string preset = answer_schema(schema, prompter_.coordinates());
  auto grammar = grammar_of_json_schema(preset.empty() ? schema : preset);
  const BpeTokenizer& t = prompter_.tokenizer();
  std::vector<int32_t> stops;
  for (int32_t id = 0; id < t.n_tokens(); ++id)
    if (prompter_.is_stop(id)) stops.push_back(id);
  if (!table_)
    table_ = std::make_shared<TokenTable>(t.n_tokens(), [&](int32_t id) {
      return t.is_special(id) ? std::string() : t.token_bytes(id);
    });
  mask_ = std::make_unique<TokenMask>(std::move(grammar), table_, std::move(stops));
  schema_ = schema;
}

}  // namespace omni
