#include "io/foreign_weights.h"

#include <string>

#include "omni/error.h"

namespace omni {

namespace fs = std::filesystem;

namespace {

// nullptr for a file that says nothing.
const char* layout_of(const fs::path& file) {
  const std::string name = file.filename().string();
  if (name.ends_with(".gguf")) return "GGUF";
  if (name.ends_with(".onnx")) return "ONNX";
  if (name.starts_with("pytorch_model") && name.ends_with(".bin")) return "pickled PyTorch";
  return nullptr;
}

[[noreturn]] void refuse(const fs::path& file) {
  throw Error(
      ErrorCode::unsupported,
      file.string() + ": " + layout_of(file) +
          " weights are not read here: take the same model in the Hugging Face layout " +
          "(a folder with config.json and .safetensors), dense or quantized by AWQ, GPTQ or "
          "compressed-tensors");
}

}  // namespace

void refuse_foreign_weights(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    if (layout_of(path)) refuse(path);
    return;
  }
  fs::path foreign;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == ".safetensors") return;
    if (layout_of(entry.path()) && (foreign.empty() || entry.path() < foreign))
      foreign = entry.path();
  }
  if (!foreign.empty()) refuse(foreign);
}

}  // namespace omni
