// What is missing in generation_config.json is looked up in the tokenizer, by name.
#include "whisper/config.h"

#include "io/json.h"

namespace omni::whisper {

namespace {

constexpr int64_t kMost = 1 << 16;

int size(const Json& j, const char* key) { return int(j.integer(key, 1, kMost)); }

std::vector<int32_t> ids(const Json& j, const char* key) {
  std::vector<int32_t> out;
  if (j.has(key) && j.at(key).is_array())
    for (const int64_t id : j.at(key).integers()) out.push_back(int32_t(id));
  return out;
}

}  // namespace

Config Config::read(const std::filesystem::path& folder, const BpeTokenizer& tokenizer) {
  const Json j = Json::parse_file(folder / "config.json"),
             g = Json::parse_file_if_there(folder / "generation_config.json");
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
  t.max_initial_timestamp = int(g.integer_or("max_initial_timestamp_index", 50));
  if (g.boolean_or("is_multilingual", c.vocab_size >= 51865)) {
    t.transcribe = id("<|transcribe|>");
    t.translate = id("<|translate|>");
    for (int32_t k = t.start_of_transcript + 1; k < t.translate; ++k) {
      const std::string name = tokenizer.token_bytes(k);
      if (name.size() > 4 && name.starts_with("<|") && name.ends_with("|>"))
        t.languages.emplace(name.substr(2, name.size() - 4), k);
    }
  }
  t.suppressed = ids(g.has("suppress_tokens") ? g : j, "suppress_tokens");
  t.suppressed_at_begin = ids(g.has("begin_suppress_tokens") ? g : j, "begin_suppress_tokens");

  if (g.has("alignment_heads")) {
    const Json list = g.at("alignment_heads");
    for (size_t i = 0; i < list.size(); ++i) {
      const auto pair = list.at(i).integers();
      if (pair.size() != 2 || pair[0] < 0 || pair[0] >= c.decoder_layers || pair[1] < 0 ||
          pair[1] >= c.decoder_attention_heads)
        list.fail("has a pair that is no layer and head");
      c.alignment_heads.emplace_back(int(pair[0]), int(pair[1]));
    }
  } else {  // as OpenAI's code does where nothing is known: all heads of the upper half
    for (int l = c.decoder_layers / 2; l < c.decoder_layers; ++l)
      for (int h = 0; h < c.decoder_attention_heads; ++h) c.alignment_heads.emplace_back(l, h);
  }
  return c;
}

}  // namespace omni::whisper
