// Sizes have a range; what the computation takes for granted is checked here, once.
// (configuration_qwen2_5_omni.py)
#include "qwen2_5_omni/config.h"

#include "io/json.h"
#include "qwen2_5_omni/config_keys.h"

namespace omni::qwen2_5_omni {

using namespace qwen;

namespace {

constexpr int kMostKernel = 1024;          // taps of a convolution, and steps between them
constexpr int kMostFrameSamples = 24'000;  // a second

AudioConfig read_audio(const Json& j) {
  AudioConfig c{};
  c.d_model = size(j, "d_model");
  c.encoder_layers = int(j.integer("encoder_layers", 1, kMostLayers));
  c.encoder_attention_heads = size(j, "encoder_attention_heads");
  c.encoder_ffn_dim = size(j, "encoder_ffn_dim");
  c.num_mel_bins = int(j.integer("num_mel_bins", 1, 1024));
  c.n_window = int(j.integer("n_window", 2, 10000));
  c.output_dim = size(j, "output_dim");
  c.max_source_positions = int(j.integer_or("max_source_positions", 1500, c.n_window, kMost));
  require(j, c.d_model % (2 * c.encoder_attention_heads) == 0,
          "has a d_model that is not a multiple of 2 · encoder_attention_heads");
  require(j, c.d_model > 2, "has a d_model below 4");
  return c;
}

// A short list: of stages, or of convolutions in a block.
std::vector<int> list(const Json& j, int most) {
  require(j, j.size() <= 16, "has more than 16 elements");
  const auto values = j.integers(1, most);
  return {values.begin(), values.end()};
}
std::vector<int> list_or(const Json& j, const char* key, const std::vector<int>& otherwise,
                         int most) {
  return j.has(key) ? list(j.at(key), most) : otherwise;
}

// The values that a published config.json leaves out are those of configuration_qwen2_5_omni.py.
DitConfig read_dit(const Json& j) {
  const auto size_or = [&](const char* key, int otherwise) {
    return j.has(key) ? size(j, key) : otherwise;
  };
  DitConfig c{};
  // transformers 5; as published
  const auto either = [&](const char* key, const char* published, int otherwise, int most) {
    return int(j.integer_or(j.has(key) ? key : published, otherwise, 1, most));
  };
  c.hidden_size = either("hidden_size", "dim", 1024, kMost);
  c.num_hidden_layers = either("num_hidden_layers", "depth", 22, kMostLayers);
  c.num_attention_heads = either("num_attention_heads", "heads", 16, kMost);
  c.head_dim = size_or("head_dim", 64);
  c.ff_mult = size_or("ff_mult", 2);
  c.emb_dim = size_or("emb_dim", 512);
  c.num_embeds = size_or("num_embeds", 8193);
  c.mel_dim = size_or("mel_dim", 80);
  c.repeats = int(j.integer_or("repeats", 2, 1, 16));
  c.block_size = int(j.integer_or("block_size", 24, 1, 1024));
  c.enc_emb_dim = size_or("enc_emb_dim", 192);
  c.enc_dim = size_or("enc_dim", 128);
  c.enc_attention_channels = size_or("enc_attention_channels", 64);
  c.enc_se_channels = size_or("enc_se_channels", 64);
  c.enc_res2net_scale = size_or("enc_res2net_scale", 2);
  c.enc_channels = list_or(j, "enc_channels", {256, 256, 256, 256, 768}, kMost);
  c.enc_kernel_sizes = list_or(j, "enc_kernel_sizes", {5, 3, 3, 3, 1}, kMostKernel);
  c.enc_dilations = list_or(j, "enc_dilations", {1, 2, 3, 4, 1}, kMostKernel);
  c.look_ahead_layers =
      j.has("look_ahead_layers") ? layers(j, "look_ahead_layers") : std::set<int>{10};
  c.look_backward_layers =
      j.has("look_backward_layers") ? layers(j, "look_backward_layers") : std::set<int>{0, 20};
  const Json rope = j.find("rope_parameters");
  c.rope_theta = (rope.has("rope_theta") ? rope : j).number_or("rope_theta", 10000, 1, kMostTheta);
  c.max_position_embeddings = j.integer_or("max_position_embeddings", 32768, 16, 1 << 24);
  require(j, c.head_dim % 2 == 0, "has an odd head_dim");
  require(j, int64_t{c.num_attention_heads} * c.head_dim <= kMost,
          "has more than " + std::to_string(kMost) + " columns in its attention heads");
  require(j, c.block_size % c.repeats == 0, "has a block_size that is not a multiple of repeats");
  require(j,
          c.enc_channels.size() >= 3 && c.enc_channels.size() == c.enc_kernel_sizes.size() &&
              c.enc_channels.size() == c.enc_dilations.size(),
          "has enc_channels, enc_kernel_sizes and enc_dilations of different lengths");
  for (size_t i = 0; i < c.enc_channels.size(); ++i)
    require(j, c.enc_kernel_sizes[i] / 2 * c.enc_dilations[i] < kLeastVoiceFrames,
            "has a convolution of enc_kernel_sizes and enc_dilations that reaches " +
                std::to_string(kLeastVoiceFrames) + " frames");
  int64_t sum = 0;
  for (size_t i = 1; i + 1 < c.enc_channels.size(); ++i) {
    require(j,
            c.enc_channels[i] == c.enc_channels[0] && c.enc_channels[i] % c.enc_res2net_scale == 0,
            "has enc_channels that do not fit its residual blocks");
    sum += c.enc_channels[i];
  }
  require(j, sum == c.enc_channels.back(),
          "has a last entry of enc_channels that is not the sum of the blocks");
  return c;
}

BigVganConfig read_bigvgan(const Json& j) {
  BigVganConfig c{};
  c.mel_dim = j.has("mel_dim") ? size(j, "mel_dim") : 80;
  c.upsample_initial_channel =
      j.has("upsample_initial_channel") ? size(j, "upsample_initial_channel") : 1536;
  c.upsample_rates = list_or(j, "upsample_rates", {5, 3, 2, 2, 2, 2}, 64);
  c.upsample_kernel_sizes = list_or(j, "upsample_kernel_sizes", {11, 7, 4, 4, 4, 4}, kMostKernel);
  c.resblock_kernel_sizes = list_or(j, "resblock_kernel_sizes", {3, 7, 11}, kMostKernel);
  if (j.has("resblock_dilation_sizes")) {
    const Json all = j.at("resblock_dilation_sizes");
    require(all, all.is_array(), "is not a list");
    for (size_t i = 0; i < all.size(); ++i)
      c.resblock_dilation_sizes.push_back(list(all.at(i), kMostKernel));
  } else {
    c.resblock_dilation_sizes = {{1, 3, 5}, {1, 3, 5}, {1, 3, 5}};
  }
  int64_t samples = 1;  // of a frame
  for (const int rate : c.upsample_rates)
    require(j, (samples *= rate) <= kMostFrameSamples, "has upsample_rates of too large a product");
  require(j,
          c.upsample_rates.size() == c.upsample_kernel_sizes.size() &&
              c.resblock_kernel_sizes.size() == c.resblock_dilation_sizes.size(),
          "has rates and kernels of different lengths");
  require(j, c.upsample_initial_channel % (1 << c.upsample_rates.size()) == 0,
          "has an upsample_initial_channel that cannot be halved for every rate");
  for (size_t i = 0; i < c.upsample_rates.size(); ++i)
    require(j,
            c.upsample_kernel_sizes[i] >= c.upsample_rates[i] &&
                (c.upsample_kernel_sizes[i] - c.upsample_rates[i]) % 2 == 0,
            "has an upsampling kernel that does not fit its rate");
  for (const int k : c.resblock_kernel_sizes) require(j, k % 2 == 1, "has an even resblock kernel");
  return c;
}

// The spectrum that the processor makes has the bands that the tower takes.
void check_features(const std::filesystem::path& folder, int num_mel_bins) {
  const Json both = Json::parse_file_if_there(folder / "processor_config.json");
  const Json features = both.has("feature_extractor")
                            ? both.at("feature_extractor")
                            : Json::parse_file_if_there(folder / "preprocessor_config.json");
  features.integer_or("feature_size", num_mel_bins, num_mel_bins, num_mel_bins);
}

TalkerConfig read_talker(const Json& j) {
  const auto id = [&](const char* key) { return int32_t(j.integer(key, 0, 1 << 22)); };
  return {
      read_text(j, false),          id("tts_codec_pad_token_id"),  id("tts_codec_start_token_id"),
      id("tts_codec_end_token_id"), id("tts_codec_mask_token_id"), id("tts_text_end_token_id"),
      id("tts_text_pad_token_id")};
}

}  // namespace

bool SpeechConfig::is_there(const std::filesystem::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  return root.has("talker_config") && root.has("token2wav_config") &&
         root.boolean_or("enable_audio_output", true);
}

SpeechConfig SpeechConfig::read(const std::filesystem::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  log_unlisted(check_voice_keys(folder));
  const Json talker = root.at("talker_config"), thinker = root.find("thinker_config");
  for (const char* key : {"position_id_per_seconds", "seconds_per_chunk"})
    if (thinker.has(key)) {
      const int64_t same = thinker.integer(key, 1, 1000);
      talker.integer_or(key, same, same, same);
    }
  const Json wave = root.at("token2wav_config");
  SpeechConfig c{read_talker(talker), read_dit(wave.at("dit_config")),
                 read_bigvgan(wave.at("bigvgan_config"))};
  require(wave, c.dit.mel_dim == c.bigvgan.mel_dim, "has a mel_dim of its own for each half");
  return c;
}

Config Config::read(const std::filesystem::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  log_unlisted(check_thinker_keys(folder));
  const bool alone = !root.has("thinker_config");
  const Json thinker = alone ? root : root.at("thinker_config");
  Config c{read_text(thinker.at("text_config"), thinker.boolean_or("tie_word_embeddings", false)),
           read_vision(thinker.at("vision_config")),
           read_audio(thinker.at("audio_config")),
           int(thinker.integer("position_id_per_seconds", 1, 1000)),
           int(thinker.integer("seconds_per_chunk", 1, 60)),
           alone};
  c.vision.fused_qkv = false;
  check_features(folder, c.audio.num_mel_bins);
  require(
      thinker,
      c.vision.out_hidden_size == c.text.hidden_size && c.audio.output_dim == c.text.hidden_size,
      "has towers whose output is not as wide as the text model");
  return c;
}

void check_token_ids(const std::filesystem::path& folder, const BpeTokenizer& tokenizer) {
  const Json root = Json::parse_file(folder / "config.json");
  qwen::check_token_ids(root.has("thinker_config") ? root.at("thinker_config") : root, tokenizer,
                        {{"audio_token_id", "<|AUDIO|>"},
                         {"image_token_id", "<|IMAGE|>"},
                         {"video_token_id", "<|VIDEO|>"},
                         {"audio_token_index", "<|AUDIO|>"},
                         {"image_token_index", "<|IMAGE|>"},
                         {"video_token_index", "<|VIDEO|>"},
                         {"audio_start_token_id", "<|audio_bos|>"},
                         {"audio_end_token_id", "<|audio_eos|>"},
                         {"vision_start_token_id", "<|vision_bos|>"},
                         {"vision_end_token_id", "<|vision_eos|>"}});
}

VisionSpec read_vision_spec(const std::filesystem::path& folder, const VisionConfig& vision) {
  VisionSpec spec =
      qwen::read_vision_spec(read_image_processor(folder), vision, {56 * 56, 16384 * 28 * 28});
  // Of a frame of video: constants of the family's processor, which win over what the folder's
  // files say. (Qwen2_5OmniProcessor.videos_kwargs)
  spec.video = {128 * 28 * 28, 768 * 28 * 28};
  return spec;
}

}  // namespace omni::qwen2_5_omni
