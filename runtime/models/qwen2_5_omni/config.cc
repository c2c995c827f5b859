#include "qwen2_5_omni/config.h"

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
  c.rope_theta = scaling.has("rope_theta") ? scaling.at("rope_theta").number() : j.at("rope_theta").number();
  const auto sections = scaling.at("mrope_section").integers();
  require(scaling, sections.size() == 3, "has no three mrope_section values");
  for (size_t i = 0; i < 3; ++i) {
    require(scaling, sections[i] >= 0 && sections[i] <= kMost, "has an impossible mrope_section");
    c.mrope_section[i] = int(sections[i]);
  }
  require(j, c.num_attention_heads % c.num_key_value_heads == 0, "has key heads that do not divide the query heads");
  require(j, c.head_dim % 2 == 0 && 2 * (sections[0] + sections[1] + sections[2]) == c.head_dim, "has mrope_section values that do not sum to half of head_dim");
  require(j, c.rope_theta > 0 && c.rms_norm_eps >= 0, "has an impossible rope_theta or rms_norm_eps");
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
  require(j, c.hidden_size % (4 * c.num_heads) == 0, "has a hidden_size that is not a multiple of 4 · num_heads");
  require(j, c.window_size / c.spatial_merge_size / c.patch_size > 0, "has a window smaller than one merged patch");
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
  require(j, c.d_model % (2 * c.encoder_attention_heads) == 0, "has a d_model that is not a multiple of 2 · encoder_attention_heads");
  require(j, c.d_model > 2, "has a d_model below 4");
  return c;
}

}  // namespace

Config Config::read(const std::filesystem::path& folder) {
  const Json root = Json::parse_file(folder / "config.json");
  const bool alone = !root.has("thinker_config");
  const Json thinker = alone ? root : root.at("thinker_config");
  Config c{read_text(thinker.at("text_config"), thinker.boolean_or("tie_word_embeddings", false)), read_vision(thinker.at("vision_config")),
           read_audio(thinker.at("audio_config")), int(thinker.integer("position_id_per_seconds", 1, 1000)), int(thinker.integer("seconds_per_chunk", 1, 60)), alone};
  require(thinker, c.vision.out_hidden_size == c.text.hidden_size && c.audio.output_dim == c.text.hidden_size,
          "has towers whose output is not as wide as the text model");
  return c;
}

VisionSpec read_vision_spec(const std::filesystem::path& folder, const VisionConfig& vision) {
  const Json both = Json::parse_file_if_there(folder / "processor_config.json");
  const Json image = both.has("image_processor") ? both.at("image_processor") : Json::parse_file(folder / "preprocessor_config.json");
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
  spec.image_min_pixels = size.integer_or("shortest_edge", image.integer_or("min_pixels", 56 * 56));
  spec.image_max_pixels = size.integer_or("longest_edge", image.integer_or("max_pixels", 16384 * 28 * 28));
  // Of a frame of video: constants of the family's processor, which win over what the folder's files say. (Qwen2_5OmniProcessor.videos_kwargs)
  spec.min_pixels = 128 * 28 * 28;
  spec.max_pixels = 768 * 28 * 28;
  if (spec.image_min_pixels < 1 || spec.image_max_pixels < spec.image_min_pixels) image.fail("has impossible picture sizes");
  return spec;
}

}  // namespace omni::qwen2_5_omni
