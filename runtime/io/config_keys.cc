#include "io/config_keys.h"

#include <algorithm>

#include "omni/error.h"

namespace omni {

namespace {

constexpr ConfigKey kPretrained[] = {
    // refused where they ask for more than nothing
    {"chunk_size_feed_forward", ConfigKey::passed_over},  // the same values in several pieces
    {"pruned_heads", ConfigKey::assumed, "[{}]"},
    {"tie_encoder_decoder", ConfigKey::assumed, "[false]"},
    {"_attn_implementation_autoset", ConfigKey::passed_over},
    {"_commit_hash", ConfigKey::passed_over},
    {"_name_or_path", ConfigKey::passed_over},
    {"add_cross_attention", ConfigKey::passed_over},
    {"architectures", ConfigKey::passed_over},
    {"attn_implementation", ConfigKey::passed_over},
    {"auto_map", ConfigKey::passed_over},
    {"bad_words_ids", ConfigKey::passed_over},
    {"begin_suppress_tokens", ConfigKey::passed_over},
    {"bos_token_id", ConfigKey::passed_over},
    {"cross_attention_hidden_size", ConfigKey::passed_over},
    {"decoder_start_token_id", ConfigKey::passed_over},
    {"diversity_penalty", ConfigKey::passed_over},
    {"do_sample", ConfigKey::passed_over},
    {"dtype", ConfigKey::passed_over},
    {"early_stopping", ConfigKey::passed_over},
    {"encoder_no_repeat_ngram_size", ConfigKey::passed_over},
    {"eos_token_id", ConfigKey::passed_over},
    {"exponential_decay_length_penalty", ConfigKey::passed_over},
    {"finetuning_task", ConfigKey::passed_over},
    {"forced_bos_token_id", ConfigKey::passed_over},
    {"forced_eos_token_id", ConfigKey::passed_over},
    {"id2label", ConfigKey::passed_over},
    {"initializer_range", ConfigKey::passed_over},
    {"is_decoder", ConfigKey::passed_over},
    {"is_encoder_decoder", ConfigKey::passed_over},
    {"label2id", ConfigKey::passed_over},
    {"length_penalty", ConfigKey::passed_over},
    {"max_length", ConfigKey::passed_over},
    {"min_length", ConfigKey::passed_over},
    {"model_type", ConfigKey::passed_over},
    {"no_repeat_ngram_size", ConfigKey::passed_over},
    {"num_beam_groups", ConfigKey::passed_over},
    {"num_beams", ConfigKey::passed_over},
    {"num_return_sequences", ConfigKey::passed_over},
    {"output_attentions", ConfigKey::passed_over},
    {"output_hidden_states", ConfigKey::passed_over},
    {"output_scores", ConfigKey::passed_over},
    {"pad_token_id", ConfigKey::passed_over},
    {"prefix", ConfigKey::passed_over},
    {"problem_type", ConfigKey::passed_over},
    {"remove_invalid_values", ConfigKey::passed_over},
    {"repetition_penalty", ConfigKey::passed_over},
    {"return_dict", ConfigKey::passed_over},
    {"return_dict_in_generate", ConfigKey::passed_over},
    {"sep_token_id", ConfigKey::passed_over},
    {"suppress_tokens", ConfigKey::passed_over},
    {"task_specific_params", ConfigKey::passed_over},
    {"temperature", ConfigKey::passed_over},
    {"tf_legacy_loss", ConfigKey::passed_over},
    {"tokenizer_class", ConfigKey::passed_over},
    {"top_k", ConfigKey::passed_over},
    {"top_p", ConfigKey::passed_over},
    {"torch_dtype", ConfigKey::passed_over},
    {"torchscript", ConfigKey::passed_over},
    {"transformers_version", ConfigKey::passed_over},
    {"typical_p", ConfigKey::passed_over},
    {"use_bfloat16", ConfigKey::passed_over},
    {"use_cache", ConfigKey::passed_over},
};

constexpr ConfigKey kGeneration[] = {
    // refused where they ask for more than nothing: no property of ours stands for them
    {"bad_words_ids", ConfigKey::assumed, "[]"},
    {"encoder_repetition_penalty", ConfigKey::assumed, "[1, 1.0]"},
    {"force_words_ids", ConfigKey::assumed, "[]"},
    {"forced_bos_token_id", ConfigKey::assumed, "[]"},
    {"forced_eos_token_id", ConfigKey::assumed, "[]"},
    {"guidance_scale", ConfigKey::assumed, "[1, 1.0]"},
    {"min_length", ConfigKey::assumed, "[0]"},
    {"min_new_tokens", ConfigKey::assumed, "[0]"},
    {"no_repeat_ngram_size", ConfigKey::assumed, "[0]"},
    {"sequence_bias", ConfigKey::assumed, "[]"},
    {"_from_model_config", ConfigKey::passed_over},
    {"assistant_confidence_threshold", ConfigKey::passed_over},
    {"assistant_early_exit", ConfigKey::passed_over},
    {"assistant_ensemble_weight", ConfigKey::passed_over},
    {"assistant_lookbehind", ConfigKey::passed_over},
    {"bos_token_id", ConfigKey::passed_over},
    {"cache_config", ConfigKey::passed_over},
    {"cache_implementation", ConfigKey::passed_over},
    {"compile_config", ConfigKey::passed_over},
    {"constraints", ConfigKey::passed_over},
    {"continuous_batching_config", ConfigKey::passed_over},
    {"decoder_start_token_id", ConfigKey::passed_over},
    {"disable_compile", ConfigKey::passed_over},
    {"diversity_penalty", ConfigKey::passed_over},
    {"do_sample", ConfigKey::passed_over},
    {"dola_layers", ConfigKey::passed_over},
    {"early_stopping", ConfigKey::passed_over},
    {"encoder_no_repeat_ngram_size", ConfigKey::passed_over},
    {"epsilon_cutoff", ConfigKey::passed_over},
    {"eta_cutoff", ConfigKey::passed_over},
    {"exponential_decay_length_penalty", ConfigKey::passed_over},
    {"is_assistant", ConfigKey::passed_over},
    {"length_penalty", ConfigKey::passed_over},
    {"low_memory", ConfigKey::passed_over},
    {"max_cache_len", ConfigKey::passed_over},
    {"max_length", ConfigKey::passed_over},
    {"max_matching_ngram_size", ConfigKey::passed_over},
    {"max_new_tokens", ConfigKey::passed_over},
    {"max_time", ConfigKey::passed_over},
    {"min_p", ConfigKey::passed_over},
    {"num_assistant_tokens", ConfigKey::passed_over},
    {"num_assistant_tokens_schedule", ConfigKey::passed_over},
    {"num_beam_groups", ConfigKey::passed_over},
    {"num_beams", ConfigKey::passed_over},
    {"num_return_sequences", ConfigKey::passed_over},
    {"output_attentions", ConfigKey::passed_over},
    {"output_hidden_states", ConfigKey::passed_over},
    {"output_logits", ConfigKey::passed_over},
    {"output_scores", ConfigKey::passed_over},
    {"pad_token_id", ConfigKey::passed_over},
    {"penalty_alpha", ConfigKey::passed_over},
    {"prefill_chunk_size", ConfigKey::passed_over},
    {"prompt_lookup_num_tokens", ConfigKey::passed_over},
    {"remove_invalid_values", ConfigKey::passed_over},
    {"renormalize_logits", ConfigKey::passed_over},
    {"repetition_penalty", ConfigKey::passed_over},
    {"return_dict_in_generate", ConfigKey::passed_over},
    {"speculation_type", ConfigKey::passed_over},
    {"stop_strings", ConfigKey::passed_over},
    {"target_lookbehind", ConfigKey::passed_over},
    {"temperature", ConfigKey::passed_over},
    {"token_healing", ConfigKey::passed_over},
    {"top_h", ConfigKey::passed_over},
    {"top_k", ConfigKey::passed_over},
    {"top_p", ConfigKey::passed_over},
    {"transformers_version", ConfigKey::passed_over},
    {"typical_p", ConfigKey::passed_over},
    {"use_cache", ConfigKey::passed_over},
    {"use_mtp", ConfigKey::passed_over},
    {"watermarking_config", ConfigKey::passed_over},
};

const ConfigKey* find(std::span<const ConfigKey> keys, const std::string& name) {
  const auto there =
      std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& k) { return name == k.name; });
  return there == keys.end() ? nullptr : &*there;
}

bool is_section(std::span<const ConfigSection> sections, const std::string& path) {
  return std::any_of(sections.begin(), sections.end(),
                     [&](const ConfigSection& s) { return path == s.path; });
}

// `value` or, of a list, each element.
void check_assumed(const Json& value, const Json& allowed) {
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) check_assumed(value.at(i), allowed);
    return;
  }
  std::string known;
  for (size_t i = 0; i < allowed.size(); ++i) {
    const std::string one = allowed.at(i).dump();
    if (value.dump() == one) return;
    known += (known.empty() ? "only " : ", ") + one;
  }
  throw Error(ErrorCode::unsupported, value.where() + " is " + value.dump() + "; " +
                                          (known.empty() ? "no such thing" : known) +
                                          " is computed here");
}

// Where `path` leads from `config`; nothing if it is not there.
std::optional<Json> section_at(Json config, const std::string& path) {
  for (size_t begin = 0; begin < path.size();) {
    const size_t dot = std::min(path.find('.', begin), path.size());
    const std::string name = path.substr(begin, dot - begin);
    if (!config.has(name)) return std::nullopt;
    config = config.at(name);
    begin = dot + 1;
  }
  if (!config.is_object()) config.fail("is no object");
  return config;
}

}  // namespace

const std::span<const ConfigKey> kPretrainedConfigKeys = kPretrained;
const std::span<const ConfigKey> kGenerationConfigKeys = kGeneration;

std::vector<std::string> check_keys(const Json& config, std::span<const ConfigSection> sections) {
  std::vector<std::string> unlisted;
  for (const ConfigSection& section : sections) {
    const std::string path = section.path;
    const auto here = section_at(config, path);
    if (!here) continue;
    for (const std::string& name : here->keys()) {
      if (is_section(sections, path.empty() ? name : path + "." + name)) continue;
      const ConfigKey* key = find(section.keys, name);
      if (!key) key = find(section.more, name);
      if (!key) key = find(section.even_more, name);
      if (!key)
        unlisted.push_back(here->member_path(name));
      else if (key->use == ConfigKey::assumed && here->has(name))
        check_assumed(here->at(name), Json::parse(key->values, "values"));
    }
  }
  return unlisted;
}

}  // namespace omni
