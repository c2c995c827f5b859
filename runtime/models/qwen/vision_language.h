// What the families that see and do not hear share: where a checkpoint keeps its halves, flat as
// published or nested as transformers 5 writes it, and how they become facets. (transformers,
// configuration_qwen2_5_vl.py, modeling_qwen2_5_vl.py)
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "interface/family.h"
#include "qwen/config.h"
#include "qwen/config_keys.h"
#include "qwen/vision_template.h"

namespace omni::qwen {

// config.json's text model: text_config, or beside the tower.
TextConfig read_vision_language_text(const Json& config);

// Throws unsupported for a key whose value is not what is computed here, and returns the keys that
// are in no list.
struct VisionLanguageKeys {
  std::span<const ConfigKey> vision, more_vision = {};  // of vision_config
  std::span<const ConfigKey> more_text = {};            // of text_config
  std::span<const ConfigKey> rope = kRopeKeys;
};
std::vector<std::string> check_vision_language_keys(const std::filesystem::path& folder,
                                                    const VisionLanguageKeys& keys);

// video_processor of processor_config.json (transformers 5) or video_preprocessor_config.json; an
// empty object where there is neither.
Json read_video_processor(const std::filesystem::path& folder);
// Frames a second, where it says any.
std::optional<Rational> read_frame_rate(const Json& video_processor);

struct Halves {
  Weights visual, text;
};
// As published and as transformers 5 writes it, or as versions before it did.
Halves halves_of(const Weights& file);

// Throws corrupt_file where the tower's rows are not as wide as the text model.
struct VisionLanguage {
  Json config;  // config.json
  TextConfig text;
  VisionConfig vision;
  Coordinates coordinates;
  std::optional<int> positions_per_second;
};
Family load_vision_language(const ModelOptions& options, const LoadProgress& progress,
                            const VisionLanguage& parts);

}  // namespace omni::qwen
