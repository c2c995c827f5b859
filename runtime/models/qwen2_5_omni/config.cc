// Sizes have a range; what the computation takes for granted is checked here, once.
// (configuration_qwen2_5_omni.py)
#include "qwen2_5_omni/config.h"

#include <algorithm>

#include "io/json.h"

namespace omni::qwen2_5_omni {

namespace {

constexpr int kMost = 1 << 20;  // of any size in a configuration

int size(const Json& j, const char* key) { return int(j.integer(key, 1, kMost)); }

void require(const Json& j, bool ok, const std::string& reason) {
  if (!ok) j.fail(reason);
}

TextConfig read_text(const Json& j, bool tied) {
  TextConfig c{};
  c.hidden_size = size(j, "hidden_size");
  c.intermediate_size = size(j, "intermediate_size");
  c.num_hidden_layers = int(j.integer("num_hidden_layers", 1, 1024));
  c.num_attention_heads = size(j, "num_attention_heads");
  c.num_key_value_heads = size(j, "num_key_value_heads");
  c.head_dim = j.has("head_dim") ? size(j, "head_dim") : c.hidden_size / c.num_attention_heads;
  c.vocab_size = int(j.integer("vocab_size", 1, 1 << 22));
  c.max_position_embeddings = j.integer("max_position_embeddings", 16, 1 << 24);
  c.rms_norm_eps = float(j.at("rms_norm_eps").number());
  c.tie_word_embeddings = j.boolean_or("tie_word_embeddings", tied);
  // transformers 5: rope_parameters; as published: rope_theta beside rope_scaling
  const Json scaling = j.has("rope_parameters") ? j.at("rope_parameters") : j.at("rope_scaling");
  c.rope_theta =
      scaling.has("rope_theta") ? scaling.at("rope_theta").number() : j.at("rope_theta").number();
  const auto sections = scaling.at("mrope_section").integers();
  require(scaling, sections.size() == 3, "has no three mrope_section values");
  for (size_t i = 0; i < 3; ++i) {
    require(scaling, sections[i] >= 0 && sections[i] <= kMost, "has an impossible mrope_section");
    c.mrope_section[i] = int(sections[i]);
  }
  require(j, c.num_attention_heads % c.num_key_value_heads == 0,
          "has key heads that do not divide the query heads");
  require(j, c.head_dim % 2 == 0 && 2 * (sections[0] + sections[1] + sections[2]) == c.head_dim,
          "has mrope_section values that do not sum to half of head_dim");
  c.embedding_size = j.has("embedding_size") ? size(j, "embedding_size") : c.hidden_size;
  require(j, c.rope_theta > 0 && c.rms_norm_eps >= 0,
          "has an impossible rope_theta or rms_norm_eps");
  return c;
}

VisionConfig read_vision(const Json& j) {
  VisionConfig c{};
  c.depth = int(j.integer("depth", 1, 1024));
  c.hidden_size = size(j, "hidden_size");
  c.intermediate_size = size(j, "intermediate_size");
  c.num_heads = size(j, "num_heads");
  c.patch_size = int(j.integer("patch_size", 1, 256));
  c.temporal_patch_size = int(j.integer("temporal_patch_size", 2, 2));
  c.spatial_merge_size = int(j.integer("spatial_merge_size", 1, 16));
  c.window_size = int(j.integer("window_size", 1, 1 << 16));
  c.out_hidden_size = size(j, "out_hidden_size");
  c.in_channels = int(j.integer(j.has("in_channels") ? "in_channels" : "in_chans", 3, 3));
  for (int64_t i : j.at("fullatt_block_indexes").integers()) c.fullatt_block_indexes.insert(int(i));
  require(j, c.hidden_size % (4 * c.num_heads) == 0,
          "has a hidden_size that is not a multiple of 4 · num_heads");
  require(j, c.window_size / c.spatial_merge_size / c.patch_size > 0,
          "has a window smaller than one merged patch");
  return c;
}

AudioConfig read_audio(const Json& j) {
  AudioConfig c{};
  c.d_model = size(j, "d_model");
  c.encoder_layers = int(j.integer("encoder_layers", 1, 1024));
  c.encoder_attention_heads = size(j, "encoder_attention_heads");
  c.encoder_ffn_dim = size(j, "encoder_ffn_dim");
  c.num_mel_bins = int(j.integer("num_mel_bins", 1, 1024));
  c.n_window = int(j.integer("n_window", 2, 10000));
  c.output_dim = size(j, "output_dim");
  c.max_source_positions = int(j.integer_or("max_source_positions", 1500));
  require(j, c.d_model % (2 * c.encoder_attention_heads) == 0,
          "has a d_model that is not a multiple of 2 · encoder_attention_heads");
  require(j, c.d_model > 2, "has a d_model below 4");
  return c;
}

std::vector<int> sizes(const Json& j, const char* key, const std::vector<int>& otherwise) {
  if (!j.has(key)) return otherwise;
  std::vector<int> out;
  for (const int64_t v : j.at(key).integers()) {
    require(j, v >= 1 && v <= kMost, std::string("has an impossible ") + key);
    out.push_back(int(v));
  }
  return out;
}

// The values that a published config.json leaves out are those of configuration_qwen2_5_omni.py.
DitConfig read_dit(const Json& j) {
  const auto size_or = [&](const char* key, int otherwise) {
    return j.has(key) ? size(j, key) : otherwise;
  };
  DitConfig c{};
  c.hidden_size = size_or("hidden_size", 1024);
  c.num_hidden_layers = size_or("num_hidden_layers", 22);
  c.num_attention_heads = size_or("num_attention_heads", 16);
  c.head_dim = size_or("head_dim", 64);
  c.ff_mult = size_or("ff_mult", 2);
  c.emb_dim = size_or("emb_dim", 512);
  c.num_embeds = size_or("num_embeds", 8193);
  c.mel_dim = size_or("mel_dim", 80);
  c.repeats = size_or("repeats", 2);
  c.block_size = size_or("block_size", 24);
  c.enc_emb_dim = size_or("enc_emb_dim", 192);
  c.enc_dim = size_or("enc_dim", 128);
  c.enc_attention_channels = size_or("enc_attention_channels", 64);
  c.enc_se_channels = size_or("enc_se_channels", 64);
  c.enc_res2net_scale = size_or("enc_res2net_scale", 2);
  c.enc_channels = sizes(j, "enc_channels", {256, 256, 256, 256, 768});
  c.enc_kernel_sizes = sizes(j, "enc_kernel_sizes", {5, 3, 3, 3, 1});
  c.enc_dilations = sizes(j, "enc_dilations", {1, 2, 3, 4, 1});
  for (const char* key : {"look_ahead_layers", "look_backward_layers"}) {
    auto& layers = key[5] == 'a' ? c.look_ahead_layers : c.look_backward_layers;
    if (j.has(key))
      for (const int64_t i : j.at(key).integers()) layers.insert(int(i));
    else
      layers = key[5] == 'a' ? std::set<int>{10} : std::set<int>{0, 20};
  }
  const Json rope = j.find("rope_parameters");
  c.rope_theta = rope.number_or("rope_theta", j.number_or("rope_theta", 10000));
  c.max_position_embeddings = j.integer_or("max_position_embeddings", 32768);
  require(j, c.head_dim % 2 == 0 && c.rope_theta > 0, "has an impossible head_dim or rope_theta");
  require(j,
          c.enc_channels.size() >= 3 && c.enc_channels.size() == c.enc_kernel_sizes.size() &&
              c.enc_channels.size() == c.enc_dilations.size(),
          "has enc_channels, enc_kernel_sizes and enc_dilations of different lengths");
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
  c.upsample_rates = sizes(j, "upsample_rates", {5, 3, 2, 2, 2, 2});
  c.upsample_kernel_sizes = sizes(j, "upsample_kernel_sizes", {11, 7, 4, 4, 4, 4});
  c.resblock_kernel_sizes = sizes(j, "resblock_kernel_sizes", {3, 7, 11});
  if (j.has("resblock_dilation_sizes")) {
    const Json list = j.at("resblock_dilation_sizes");
    for (size_t i = 0; i < list.size(); ++i) {
      std::vector<int> d;
      for (const int64_t v : list.at(i).integers())
        d.push_back(int(std::clamp<int64_t>(v, 1, 1024)));
      c.resblock_dilation_sizes.push_back(d);
    }
  } else {
    c.resblock_dilation_sizes = {{1, 3, 5}, {1, 3, 5}, {1, 3, 5}};
  }
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
  const Json wave = root.at("token2wav_config");
  SpeechConfig c{read_talker(root.at("talker_config")), read_dit(wave.at("dit_config")),
                 read_bigvgan(wave.at("bigvgan_config"))};
  require(wave, c.dit.mel_dim == c.bigvgan.mel_dim, "has a mel_dim of its own for each half");
  return c;
}

Config Config::read(const std::filesystem::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  const bool alone = !root.has("thinker_config");
  const Json thinker = alone ? root : root.at("thinker_config");
  Config c{read_text(thinker.at("text_config"), thinker.boolean_or("tie_word_embeddings", false)),
           read_vision(thinker.at("vision_config")),
           read_audio(thinker.at("audio_config")),
           int(thinker.integer("position_id_per_seconds", 1, 1000)),
           int(thinker.integer("seconds_per_chunk", 1, 60)),
           alone};
  require(
      thinker,
      c.vision.out_hidden_size == c.text.hidden_size && c.audio.output_dim == c.text.hidden_size,
      "has towers whose output is not as wide as the text model");
  return c;
}

VisionSpec read_vision_spec(const std::filesystem::path& folder, const VisionConfig& vision) {
  const Json both = Json::parse_file_if_there(folder / "processor_config.json");
  const Json image = both.has("image_processor")
                         ? both.at("image_processor")
                         : Json::parse_file(folder / "preprocessor_config.json");
  VisionSpec spec;
  spec.layout.patch = vision.patch_size;
  spec.layout.merge = vision.spatial_merge_size;
  spec.temporal_patch = vision.temporal_patch_size;
  for (size_t i = 0; i < 3; ++i) {
    if (image.has("image_mean")) spec.layout.mean[i] = image.at("image_mean").at(i).number();
    if (image.has("image_std")) spec.layout.std[i] = image.at("image_std").at(i).number();
    if (!(spec.layout.std[i] > 0)) image.fail("has an image_std that is not positive");
  }
  const Json size = image.find("size");
  spec.image.min = size.integer_or("shortest_edge", image.integer_or("min_pixels", 56 * 56));
  spec.image.max = size.integer_or("longest_edge", image.integer_or("max_pixels", 16384 * 28 * 28));
  // Of a frame of video: constants of the family's processor, which win over what the folder's
  // files say. (Qwen2_5OmniProcessor.videos_kwargs)
  spec.video.min = 128 * 28 * 28;
  spec.video.max = 768 * 28 * 28;
  if (spec.image.min < 1 || spec.image.max < spec.image.min)
    image.fail("has impossible image sizes");
  return spec;
}

}  // namespace omni::qwen2_5_omni
