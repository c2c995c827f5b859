#include "session/answer_masks.h"

#include <utility>
#include <vector>

#include "grammar/json_schema.h"
#include "session/answer_schema.h"

namespace omni {

TokenMask* AnswerMasks::begin(const SamplingOptions& sampling, std::optional<int32_t> instead) {
  if (sampling.json_schema.empty()) return nullptr;
  if (!mask_ || schema_ != sampling.json_schema) make(sampling.json_schema);
  mask_->begin(sampling.max_tokens, instead);
  return mask_.get();
}

TokenMask& AnswerMasks::of_calls(const std::shared_ptr<const Grammar>& calls) {
  if (!mask_of_calls_ || calls_ != calls) {
    const std::vector<int32_t> stops = {prompter_.tools()->end_of_call()};
    mask_of_calls_ = std::make_unique<TokenMask>(calls, table(), stops);
    calls_ = calls;
  }
  return *mask_of_calls_;
}

// Markers of templates write nothing.
std::shared_ptr<const TokenTable> AnswerMasks::table() {
  if (table_) return table_;
  const BpeTokenizer& t = prompter_.tokenizer();
  const ToolTemplate* tools = prompter_.tools();
  table_ = std::make_shared<TokenTable>(t.n_tokens(), [&](int32_t id) {
    const bool is_marker = t.is_special(id) || (tools && tools->is_marker(id));
    return is_marker ? std::string() : t.token_bytes(id);
  });
  return table_;
}

void AnswerMasks::make(const std::string& schema) {
  const std::string preset = answer_schema(schema, prompter_.coordinates());
  auto grammar = grammar_of_json_schema(preset.empty() ? schema : preset);
  std::vector<int32_t> stops;
  for (int32_t id = 0; id < prompter_.tokenizer().n_tokens(); ++id)
    if (prompter_.is_stop(id)) stops.push_back(id);
  mask_ = std::make_unique<TokenMask>(std::move(grammar), table(), std::move(stops));
  schema_ = schema;
}

}  // namespace omni
