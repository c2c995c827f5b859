// Sizes have a range; what the computation takes for granted is checked here, once.
#include "qwen/config.h"

#include "core/log.h"

namespace omni::qwen {

namespace {

constexpr double kMostColour = 1e6;  // of a mean or a deviation, and its inverse
constexpr int64_t kMostPixels = int64_t{16384} * 16384;
constexpr int64_t kMostTokens = 16384 * 28 * 28;

}  // namespace

int size(const Json& j, const char* key) { return int(j.integer(key, 1, kMost)); }

void require(const Json& j, bool ok, const std::string& reason) {
  if (!ok) j.fail(reason);
}

std::set<int> layers(const Json& j, const char* key) {
  const auto indexes = j.at(key).integers(0, kMostLayers - 1);
  return {indexes.begin(), indexes.end()};
}

void log_unlisted(const std::vector<std::string>& keys) {
  for (const std::string& key : keys)
    log(LogLevel::info, key + " is not known here and passed over");
}

TextConfig read_text(const Json& j, bool tied) {
  TextConfig c{};
  c.hidden_size = size(j, "hidden_size");
  c.intermediate_size = size(j, "intermediate_size");
  c.num_hidden_layers = int(j.integer("num_hidden_layers", 1, kMostLayers));
  c.num_attention_heads = size(j, "num_attention_heads");
  c.num_key_value_heads = size(j, "num_key_value_heads");
  c.head_dim = j.has("head_dim") ? size(j, "head_dim") : c.hidden_size / c.num_attention_heads;
  c.vocab_size = int(j.integer("vocab_size", 1, 1 << 22));
  c.max_position_embeddings = j.integer("max_position_embeddings", 16, 1 << 24);
  c.rms_norm_eps = float(j.number("rms_norm_eps", 0, 1));
  c.tie_word_embeddings = j.boolean_or("tie_word_embeddings", tied);
  // transformers 5: rope_parameters; as published: rope_theta beside rope_scaling
  const Json scaling = j.has("rope_parameters") ? j.at("rope_parameters") : j.at("rope_scaling");
  c.rope_theta = (scaling.has("rope_theta") ? scaling : j).number("rope_theta", 1, kMostTheta);
  const auto sections = scaling.at("mrope_section").integers(0, kMost);
  require(scaling, sections.size() == 3, "has no three mrope_section values");
  for (size_t i = 0; i < 3; ++i) c.mrope_section[i] = int(sections[i]);
  require(j, int64_t{c.num_attention_heads} * c.head_dim <= kMost,
          "has more than " + std::to_string(kMost) + " columns in its attention heads");
  require(j, c.num_attention_heads % c.num_key_value_heads == 0,
          "has key heads that do not divide the query heads");
  require(j, c.head_dim % 2 == 0 && 2 * (sections[0] + sections[1] + sections[2]) == c.head_dim,
          "has mrope_section values that do not sum to half of head_dim");
  c.embedding_size = j.has("embedding_size") ? size(j, "embedding_size") : c.hidden_size;
  return c;
}

ExpertsConfig read_experts(const Json& j) {
  constexpr int kMostExperts = 1024;  // that a device routes to
  ExpertsConfig c;
  // transformers 5 may write the name that its kernels use
  c.n = int(
      j.integer(j.has("num_local_experts") ? "num_local_experts" : "num_experts", 1, kMostExperts));
  c.per_token = int(j.integer("num_experts_per_tok", 1, c.n));
  c.intermediate_size = size(j, "moe_intermediate_size");
  c.norm_topk_prob = j.boolean_or("norm_topk_prob", true);
  c.decoder_sparse_step = int(j.integer_or("decoder_sparse_step", 1, 1, kMostLayers));
  if (j.has("mlp_only_layers")) c.mlp_only_layers = layers(j, "mlp_only_layers");
  return c;
}

void read_patches(const Json& j, VisionConfig& c) {
  c.depth = int(j.integer("depth", 1, kMostLayers));
  c.num_heads = size(j, "num_heads");
  c.patch_size = int(j.integer("patch_size", 1, 256));
  c.temporal_patch_size = int(j.integer("temporal_patch_size", 2, 2));
  c.spatial_merge_size = int(j.integer("spatial_merge_size", 1, 16));
  c.in_channels = int(j.integer(j.has("in_channels") ? "in_channels" : "in_chans", 3, 3));
}

void require_heads(const Json& j, const VisionConfig& c) {
  require(j, c.hidden_size % (4 * c.num_heads) == 0,
          "has a width, " + std::to_string(c.hidden_size) +
              ", that is not a multiple of 4 · num_heads");
}

VisionConfig read_vision(const Json& j) {
  VisionConfig c{};
  read_patches(j, c);
  c.hidden_size = size(j, "hidden_size");
  c.intermediate_size = size(j, "intermediate_size");
  c.window_size = int(j.integer("window_size", 1, 1 << 16));
  c.out_hidden_size = size(j, "out_hidden_size");
  c.fullatt_block_indexes = layers(j, "fullatt_block_indexes");
  require_heads(j, c);
  require(j, c.window_size / c.spatial_merge_size / c.patch_size > 0,
          "has a window smaller than one merged patch");
  return c;
}

std::set<int32_t> read_stop_ids(const std::filesystem::path& folder, int vocab_size) {
  const Json generation = Json::parse_file_if_there(folder / "generation_config.json");
  if (!generation.has("eos_token_id")) return {};
  const Json eos = generation.at("eos_token_id");
  if (!eos.is_array()) return {int32_t(eos.integer(0, vocab_size - 1))};
  const auto ids = eos.integers(0, vocab_size - 1);
  return {ids.begin(), ids.end()};
}

void check_token_ids(const Json& config, const BpeTokenizer& tokenizer,
                     std::initializer_list<NamedId> ids) {
  for (const auto& [key, name] : ids) {
    const auto id = tokenizer.token_id(name);
    if (id && config.integer_or(key, *id, 0, kMost << 2) != *id)
      config.at(key).fail("is not the id of " + std::string(name) + " in tokenizer.json, " +
                          std::to_string(*id));
  }
}

PixelLimits read_pixels(const Json& processor, PixelLimits otherwise) {
  const Json edges = processor.find("size");
  const auto pixels = [&](const char* area, const char* edge, int64_t value, int64_t most) {
    return processor.has(area) ? processor.integer(area, 1, most)
                               : edges.integer_or(edge, value, 1, most);
  };
  const PixelLimits limits{pixels("min_pixels", "shortest_edge", otherwise.min, kMostTokens),
                           pixels("max_pixels", "longest_edge", otherwise.max, kMostPixels)};
  if (limits.max < limits.min) processor.fail("has impossible image sizes");
  return limits;
}

Json read_image_processor(const std::filesystem::path& folder) {
  const Json both = Json::parse_file_if_there(folder / "processor_config.json");
  return both.has("image_processor") ? both.at("image_processor")
                                     : Json::parse_file(folder / "preprocessor_config.json");
}

VisionSpec read_vision_spec(const Json& processor, const VisionConfig& vision,
                            PixelLimits otherwise) {
  VisionSpec spec;
  spec.layout.patch = vision.patch_size;
  spec.layout.merge = vision.spatial_merge_size;
  spec.temporal_patch = vision.temporal_patch_size;
  for (size_t i = 0; i < 3; ++i) {
    if (processor.has("image_mean"))
      spec.layout.mean[i] = processor.at("image_mean").at(i).number(-kMostColour, kMostColour);
    if (processor.has("image_std"))
      spec.layout.std[i] = processor.at("image_std").at(i).number(1 / kMostColour, kMostColour);
  }
  const std::pair<const char*, int> same[] = {{"patch_size", vision.patch_size},
                                              {"merge_size", vision.spatial_merge_size},
                                              {"temporal_patch_size", vision.temporal_patch_size}};
  for (const auto& [key, value] : same) processor.integer_or(key, value, value, value);
  spec.image = read_pixels(processor, otherwise);
  return spec;
}

}  // namespace omni::qwen
