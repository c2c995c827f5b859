// The only list of families in the repository.
#include "models/registry.h"

#include <algorithm>

#include "io/json.h"
#include "qwen2_5_omni/qwen2_5_omni.h"

namespace omni {

namespace {

struct Family {
  const char* model_type;
  std::unique_ptr<const Model> (*load)(const ModelOptions&, const LoadProgress&);
};

constexpr Family kFamilies[] = {
    {"qwen2_5_omni", load_qwen2_5_omni},
    {"qwen2_5_omni_thinker", load_qwen2_5_omni},
};

}  // namespace

std::unique_ptr<const Model> load_model(const ModelOptions& options, const LoadProgress& progress) {
  const auto path = options.folder / "config.json";
  const std::string type = Json::parse_file(path).at("model_type").string();
  std::string known;
  for (const Family& f : kFamilies) {
    if (type == f.model_type) return f.load(options, progress);
    known += (known.empty() ? "" : ", ") + std::string(f.model_type);
  }
  throw Error(ErrorCode::unsupported, path.string() + ": model_type \"" + type + "\" is not one of " + known);
}

}  // namespace omni
