#include "qwen2_vl/qwen2_vl.h"

#include "qwen/vision_language.h"

namespace omni {
namespace qwen2_vl {
namespace {

// hidden_size is what comes out; the tower's own width is embed_dim. (Qwen2VLVisionConfig)
constexpr ConfigKey kVision[] = {
    {"depth", ConfigKey::read},
    {"embed_dim", ConfigKey::read},
    {"hidden_size", ConfigKey::read},
    {"in_channels", ConfigKey::read},
    {"in_chans", ConfigKey::read},
    {"mlp_ratio", ConfigKey::read},
    {"num_heads", ConfigKey::read},
    {"patch_size", ConfigKey::read},
    {"spatial_merge_size", ConfigKey::read},
    {"temporal_patch_size", ConfigKey::read},
    {"spatial_patch_size", ConfigKey::passed_over},
    {"hidden_act", ConfigKey::assumed, R"(["quick_gelu"])"},
};

qwen::VisionConfig read_vision(const Json& j) {
  qwen::VisionConfig c{};
  qwen::read_patches(j, c);
  c.hidden_size = qwen::size(j, "embed_dim");
  c.out_hidden_size = qwen::size(j, "hidden_size");
  c.intermediate_size = c.hidden_size * int(j.integer_or("mlp_ratio", 4, 1, 64));
  c.blocks = qwen::VisionConfig::Blocks::layer_norm_quick_gelu;
  qwen::require_heads(j, c);
  return c;
}

}  // namespace

std::vector<std::string> check_config_keys(const std::filesystem::path& folder) {
  return qwen::check_vision_language_keys(folder, {.vision = kVision});
}

}  // namespace qwen2_vl

Family load_qwen2_vl(const ModelOptions& o, const LoadProgress& progress) {
  const Json config = Json::parse_file(o.folder / "config.json");
  qwen::log_unlisted(qwen2_vl::check_config_keys(o.folder));
  return qwen::load_vision_language(o, progress,
                                    {config, qwen::read_vision_language_text(config),
                                     qwen2_vl::read_vision(config.at("vision_config")),
                                     Coordinates::thousandths_markup, std::nullopt});
}

}  // namespace omni
