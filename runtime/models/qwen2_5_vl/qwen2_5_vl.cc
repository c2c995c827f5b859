#include "qwen2_5_vl/qwen2_5_vl.h"

#include "qwen/vision_language.h"

namespace omni {
namespace qwen2_5_vl {
namespace {

constexpr int kTokensPerSecond = 4;  // of the class (Qwen2_5_VLVisionConfig); 2 is published

constexpr ConfigKey kVision[] = {
    {"tokens_per_second", ConfigKey::read},
};

}  // namespace

std::vector<std::string> check_config_keys(const std::filesystem::path& folder) {
  return qwen::check_vision_language_keys(folder,
                                          {.vision = qwen::kVisionKeys, .more_vision = kVision});
}

}  // namespace qwen2_5_vl

Family load_qwen2_5_vl(const ModelOptions& o, const LoadProgress& progress) {
  const Json config = Json::parse_file(o.folder / "config.json"),
             vision = config.at("vision_config");
  qwen::log_unlisted(qwen2_5_vl::check_config_keys(o.folder));
  return qwen::load_vision_language(
      o, progress,
      {config, qwen::read_vision_language_text(config), qwen::read_vision(vision),
       Coordinates::resized_pixels,
       int(vision.integer_or("tokens_per_second", qwen2_5_vl::kTokensPerSecond, 1, 1000))});
}

}  // namespace omni
