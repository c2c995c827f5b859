// The only list of families in the repository.
#include "models/registry.h"

#include "io/json.h"
#include "qwen2_5_omni/qwen2_5_omni.h"
#include "qwen2_5_vl/qwen2_5_vl.h"
#include "qwen2_vl/qwen2_vl.h"
#include "qwen3_omni/qwen3_omni.h"
#include "qwen3_vl/qwen3_vl.h"
#include "whisper/whisper.h"

namespace omni {

namespace {

struct Entry {
  const char* model_type;
  Family (*load)(const ModelOptions&, const LoadProgress&);
  Abilities abilities;
  // of those that may speak; nullptr: none does
  bool (*speaks)(const std::filesystem::path& folder) = nullptr;
};

constexpr Abilities kSees{.video = true, .text = true};
constexpr Abilities kSeesAndHears{.video = true, .audio = true, .text = true};
constexpr Abilities kTranscribes{.audio = true, .transcript = true};

constexpr Entry kFamilies[] = {
    {"qwen2_5_omni", load_qwen2_5_omni, kSeesAndHears, qwen2_5_omni_speaks},
    {"qwen2_5_omni_thinker", load_qwen2_5_omni, kSeesAndHears},
    {"qwen2_5_vl", load_qwen2_5_vl, kSees},
    {"qwen2_vl", load_qwen2_vl, kSees},
    {"qwen3_omni_moe", load_qwen3_omni, kSeesAndHears, qwen3_omni_speaks},
    {"qwen3_omni_moe_thinker", load_qwen3_omni, kSeesAndHears},
    {"qwen3_vl", load_qwen3_vl, kSees},
    {"qwen3_vl_moe", load_qwen3_vl, kSees},
    {"whisper", load_whisper, kTranscribes},
};

const Entry& family_of(const std::filesystem::path& folder) {
  const auto path = folder / "config.json";
  const std::string type = Json::parse_file(path).at("model_type").string();
  std::string known;
  for (const Entry& e : kFamilies) {
    if (type == e.model_type) return e;
    known += (known.empty() ? "" : ", ") + std::string(e.model_type);
  }
  throw Error(ErrorCode::unsupported,
              path.string() + ": model_type \"" + type + "\" is not one of " + known);
}

}  // namespace

Family load_family(const ModelOptions& options, const LoadProgress& progress) {
  return family_of(options.folder).load(options, progress);
}

Abilities abilities_of(const std::filesystem::path& folder) {
  const Entry& e = family_of(folder);
  Abilities a = e.abilities;
  a.speech = e.speaks && e.speaks(folder);
  return a;
}

}  // namespace omni
