#include "omni/checkpoint.h"

#include <filesystem>

#include "io/foreign_weights.h"
#include "io/json.h"
#include "io/weights.h"
#include "models/registry.h"

namespace omni {

namespace fs = std::filesystem;

namespace {

// Bytes a value of a quantized matrix takes: one and a scale a row; four bits, a scale and a zero
// every 64.
constexpr double kInt8 = 1.004, kInt4 = 0.5 + 2.5 / 64;

struct Sizes {
  int64_t n = 0, stored = 0;           // values, bytes
  int64_t n_matrices = 0, n_text = 0;  // values of those that are quantized; of the text model's
  int64_t stored_matrices = 0, tables = 0;
};

// A text model's projections are quantized to four bits, other matrices to eight; tables of
// embeddings, voices and what is no matrix stay as they are; a voice that does not speak is not
// read. A head that is tied to the embeddings is a matrix of its own beside their table.
Sizes sizes_of(const Weights& weights, bool speaks) {
  Sizes s;
  const bool is_tied = !weights.has("lm_head.weight") && !weights.has("thinker.lm_head.weight");
  weights.for_each([&](const std::string& name, const Tensor& t) {
    const auto says = [&](const char* part) { return name.find(part) != std::string::npos; };
    s.n += t.numel();
    const bool is_of_voice = says("talker.") || says("token2wav.") || says("code2wav.");
    if (is_of_voice && !speaks) return;
    s.stored += int64_t(t.nbytes()) * (t.dtype() == DType::u8 ? 2 : 1);  // float8 becomes bfloat16
    const bool is_table = name.ends_with("embed_tokens.weight"),
               is_head = is_table && is_tied && !is_of_voice;
    if (is_table) s.tables += int64_t(t.nbytes());
    if (is_head) s.stored += int64_t(t.nbytes());
    const bool is_matrix = t.rank() == 2 || (t.rank() == 3 && says("mlp.experts."));
    if (!is_matrix || (says("embed") && !is_head) || says("token2wav") || says("code2wav")) return;
    s.n_matrices += t.numel();
    s.stored_matrices += int64_t(t.nbytes());
    if (says("layers.") && !says("audio_tower") && !says("talker")) s.n_text += t.numel();
  });
  return s;
}

std::vector<CheckpointInfo::Need> needs_of(const Sizes& s, DType stored) {
  const int64_t rest = s.stored - s.stored_matrices;
  const auto bytes = [&](double text, double other) {
    return rest + int64_t(text * double(s.n_text) + other * double(s.n_matrices - s.n_text));
  };
  const double wide = stored == DType::f32 ? 4 : 2;
  return {{Precision::float32, bytes(wide, wide), s.tables},
          {Precision::bfloat16, bytes(2, 2), s.tables},
          {Precision::int8, bytes(kInt8, kInt8), s.tables},
          {Precision::int4, bytes(kInt4, kInt8), s.tables}};
}

}  // namespace

std::string Abilities::describe() const {
  std::string takes = video ? "video and images" : "";
  if (audio) takes += takes.empty() ? "audio" : " and audio";
  return "takes " + takes + " and writes " + (transcript ? "a transcript" : "text") +
         (speech ? " and speaks" : "");
}

Abilities read_abilities(const std::string& model_path) {
  return abilities_of(fs::path(model_path));
}

CheckpointInfo read_checkpoint(const std::string& model_path) {
  const fs::path folder(model_path);
  refuse_foreign_weights(folder);
  CheckpointInfo info;
  info.family = Json::parse_file(folder / "config.json").at("model_type").string();
  info.abilities = abilities_of(folder);
  const Weights weights = Weights::open(folder);
  const Sizes sizes = sizes_of(weights, info.abilities.speech);
  if (!weights.quantization().empty()) {
    info.stored = weights.quantization();
    info.needs = {{Precision::automatic, sizes.stored, sizes.tables}};
    return info;
  }
  const DType type = weights.stored_dtype();
  info.stored = type == DType::f32 ? "float32" : type == DType::f16 ? "float16" : "bfloat16";
  info.n_parameters = sizes.n;
  info.needs = needs_of(sizes, type);
  return info;
}

}  // namespace omni
