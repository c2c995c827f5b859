#include "io/quantized/format.h"

#include "io/json.h"
#include "io/quantized/layouts.h"

namespace omni {

namespace fs = std::filesystem;

namespace {

struct Layout {
  const char* quant_method;
  std::unique_ptr<const QuantizedFormat> (*read)(const Json& config);
};

constexpr Layout kLayouts[] = {
    {"awq", awq_format},
    {"gptq", gptq_format},
    {"compressed-tensors", compressed_tensors_format},
    {"fp8", fp8_format},
};

// Of the whole model, or of the part of it that was quantized; beside it, as GPTQ's tools wrote it
// before config.json had it (quantize_config.json).
std::optional<Json> find_config(const fs::path& folder) {
  const Json root = Json::parse_file_if_there(folder / "config.json"),
             thinker = root.find("thinker_config");
  for (const Json& j : {root, thinker, thinker.find("text_config"), root.find("text_config")})
    if (j.has("quantization_config")) return j.at("quantization_config");
  std::error_code ignored;
  if (fs::exists(folder / "quantize_config.json", ignored))
    return Json::parse_file(folder / "quantize_config.json");
  return std::nullopt;
}

}  // namespace

std::unique_ptr<const QuantizedFormat> find_quantized_format(const fs::path& folder) {
  const auto config = find_config(folder);
  if (!config) return nullptr;
  if (!config->is_object()) config->fail("is no object");
  const std::string method = config->string_or("quant_method", "gptq");
  std::string known;
  for (const Layout& l : kLayouts) {
    if (method == l.quant_method) return l.read(*config);
    known += std::string(l.quant_method) + ", ";
  }
  throw Error(ErrorCode::unsupported,
              config->where() + ": the weights are quantized by \"" + method +
                  "\" (quant_method), which is not read here: take the " + "same model as " +
                  known +
                  "or with dense weights, of which precision=int8 or int4 makes quantized ones");
}

}  // namespace omni
