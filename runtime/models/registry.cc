// The only list of families in the repository.
#include "models/registry.h"

#include "io/json.h"
#include "qwen2_5_omni/qwen2_5_omni.h"
#include "whisper/whisper.h"

namespace omni {

namespace {

struct Entry {
  const char* model_type;
  Family (*load)(const ModelOptions&, const LoadProgress&);
};

constexpr Entry kFamilies[] = {
    {"qwen2_5_omni", load_qwen2_5_omni},
    {"qwen2_5_omni_thinker", load_qwen2_5_omni},
    {"whisper", load_whisper},
};

}  // namespace

Family load_family(const ModelOptions& options, const LoadProgress& progress) {
  const auto path = options.folder / "config.json";
  const std::string type = Json::parse_file(path).at("model_type").string();
  std::string known;
  for (const Entry& e : kFamilies) {
    if (type == e.model_type) return e.load(options, progress);
    known += (known.empty() ? "" : ", ") + std::string(e.model_type);
  }
  throw Error(ErrorCode::unsupported,
              path.string() + ": model_type \"" + type + "\" is not one of " + known);
}

}  // namespace omni
