// What is missing in generation_config.json is looked up in the tokenizer, by name.
#include "whisper/config.h"

#include "core/log.h"
#include "io/json.h"
#include "whisper/config_keys.h"

namespace omni::whisper {

namespace {

constexpr int64_t kMost = 1 << 16;

int size(const Json& j, const char* key) { return int(j.integer(key, 1, kMost)); }

// −1: none
std::vector<int32_t> ids(const Json& j, const char* key, int vocab_size) {
  if (!j.has(key)) return {};
  const auto list = j.at(key).integers(-1, vocab_size - 1);
  return {list.begin(), list.end()};
}

// The spectrum's shape in preprocessor_config.json, or in its part of processor_config.json, is the
// encoder's: a window of chunk_length seconds, 50 states each.
void check_features(const std::filesystem::path& folder, const Config& c) {
  const Json both = Json::parse_file_if_there(folder / "processor_config.json");
  const Json features = both.has("feature_extractor")
                            ? both.at("feature_extractor")
                            : Json::parse_file_if_there(folder / "preprocessor_config.json");
  features.integer_or("feature_size", c.num_mel_bins, c.num_mel_bins, c.num_mel_bins);
  if (features.has("chunk_length") &&
      features.integer("chunk_length", 1, 3600) * 50 != c.max_source_positions)
    features.at("chunk_length").fail("is not the encoder's max_source_positions / 50");
}

// Of those that the reference gives, what the decoder has: a distilled one has fewer layers than
// its teacher, whose heads it may carry.
std::vector<std::pair<int, int>> read_alignment_heads(const Json& generation, const Config& c) {
  std::vector<std::pair<int, int>> heads;
  const Json list = generation.find("alignment_heads");
  for (size_t i = 0; i < list.size(); ++i) {
    const auto pair = list.at(i).integers(0, kMost);
    if (pair.size() != 2) list.at(i).fail("is no layer and head");
    if (pair[0] < c.decoder_layers && pair[1] < c.decoder_attention_heads)
      heads.emplace_back(int(pair[0]), int(pair[1]));
  }
  if (heads.size() < list.size())
    log(LogLevel::warning,
        list.where() + ": " + std::to_string(list.size() - heads.size()) + " of " +
            std::to_string(list.size()) + " are of layers or heads that this decoder has not; " +
            (heads.empty() ? "all of its upper half stand in" : "they are left out"));
  if (!heads.empty()) return heads;
  // as OpenAI's code does where nothing is known
  for (int l = c.decoder_layers / 2; l < c.decoder_layers; ++l)
    for (int h = 0; h < c.decoder_attention_heads; ++h) heads.emplace_back(l, h);
  return heads;
}

}  // namespace

Config Config::read(const std::filesystem::path& folder, const BpeTokenizer& tokenizer) {
  const Json j = Json::parse_file(folder / "config.json"),
             g = Json::parse_file_if_there(folder / "generation_config.json");
  for (const std::string& key : check_config_keys(folder))
    log(LogLevel::info, key + " is not known here and passed over");
  Config c{};
  c.d_model = size(j, "d_model");
  c.encoder_layers = int(j.integer("encoder_layers", 1, 1024));
  c.decoder_layers = int(j.integer("decoder_layers", 1, 1024));
  c.encoder_attention_heads = size(j, "encoder_attention_heads");
  c.decoder_attention_heads = size(j, "decoder_attention_heads");
  c.encoder_ffn_dim = size(j, "encoder_ffn_dim");
  c.decoder_ffn_dim = size(j, "decoder_ffn_dim");
  c.num_mel_bins = int(j.integer("num_mel_bins", 1, 1024));
  c.max_source_positions = size(j, "max_source_positions");
  c.max_target_positions = int(j.integer("max_target_positions", 8, kMost));
  c.vocab_size = int(j.integer("vocab_size", 1, 1 << 22));
  if (c.d_model % c.encoder_attention_heads || c.d_model % c.decoder_attention_heads)
    j.fail("has a d_model that is not a multiple of its heads");
  if (tokenizer.n_tokens() > c.vocab_size)
    j.fail("has a vocab_size below the tokenizer's " + std::to_string(tokenizer.n_tokens()));

  WhisperTokens& t = c.tokens;
  const auto id = [&](const char* name, const char* older = nullptr) {
    const int32_t found =
        tokenizer.token_id(name).value_or(older ? tokenizer.token_id(older).value_or(-1) : -1);
    if (found < 0)
      throw Error(ErrorCode::corrupt_file, folder.string() + ": tokenizer.json has no " + name);
    return found;
  };
  t.start_of_transcript = id("<|startoftranscript|>");
  t.end_of_text = id("<|endoftext|>");
  t.no_timestamps = id("<|notimestamps|>");
  t.first_timestamp = t.no_timestamps + 1;  // the tokenizer's file may leave the timestamps out
  t.start_of_previous = id("<|startofprev|>");
  t.no_speech = id("<|nospeech|>", "<|nocaptions|>");
  if (t.first_timestamp >= c.vocab_size) j.fail("has a vocab_size without timestamps");
  t.max_initial_timestamp = int(g.integer_or("max_initial_timestamp_index", 50, 0, kMost));
  const std::pair<const char*, int32_t> same[] = {{"decoder_start_token_id", t.start_of_transcript},
                                                  {"no_timestamps_token_id", t.no_timestamps},
                                                  {"prev_sot_token_id", t.start_of_previous}};
  for (const auto& [key, token] : same) g.integer_or(key, token, token, token);
  if (g.boolean_or("is_multilingual", c.vocab_size >= 51865)) {
    t.transcribe = id("<|transcribe|>");
    t.translate = id("<|translate|>");
    for (int32_t k = t.start_of_transcript + 1; k < t.translate; ++k) {
      const std::string name = tokenizer.token_bytes(k);
      if (name.size() > 4 && name.starts_with("<|") && name.ends_with("|>"))
        t.languages.emplace(name.substr(2, name.size() - 4), k);
    }
  }
  t.suppressed = ids(g.has("suppress_tokens") ? g : j, "suppress_tokens", c.vocab_size);
  t.suppressed_at_begin =
      ids(g.has("begin_suppress_tokens") ? g : j, "begin_suppress_tokens", c.vocab_size);

  c.alignment_heads = read_alignment_heads(g, c);
  check_features(folder, c);
  return c;
}

}  // namespace omni::whisper
