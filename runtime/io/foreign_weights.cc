#include "io/foreign_weights.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "core/mapped_file.h"
#include "omni/error.h"

namespace omni {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPickled = "pickled PyTorch";

// As many as say what it is; none of what cannot be read.
std::string first_bytes(const fs::path& file) try {
  const MappedFile bytes(file);
  return {reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(16, bytes.size())};
} catch (const Error&) {
  return {};
}

// nullptr for a file that says nothing.
const char* layout_of(const fs::path& file) {
  const std::string name = file.filename().string(), extension = file.extension().string();
  if (extension == ".gguf" || first_bytes(file).starts_with("GGUF")) return "GGUF";
  if (extension == ".onnx") return "ONNX";
  if (name.starts_with("pytorch_model") && extension == ".bin") return kPickled;
  // spk_dict.pt is a checkpoint's own
  if (extension == ".pth" || extension == ".ckpt" || (extension == ".pt" && name != "spk_dict.pt"))
    return kPickled;
  if (name == "model.bin") return "CTranslate2";
  return nullptr;
}

bool is_media(const fs::path& file) {
  const std::string b = first_bytes(file);
  if (b.starts_with("RIFF") || b.starts_with("OggS") || b.starts_with("fLaC") ||
      b.starts_with("ID3") || b.starts_with("\x1A\x45\xDF\xA3") || b.substr(0, 8).ends_with("ftyp"))
    return true;
  const bool mpeg_audio = b.size() > 1 && uint8_t(b[0]) == 0xFF && (uint8_t(b[1]) & 0xE0) == 0xE0;
  return mpeg_audio || file.extension() == ".ts" || file.extension() == ".mts";
}

[[noreturn]] void refuse(const fs::path& file) {
  const char* layout = layout_of(file);
  throw Error(
      ErrorCode::unsupported,
      file.string() + ": " + layout +
          " weights are not read here: take the same model in the Hugging Face layout " +
          "(a folder with config.json and .safetensors), dense or quantized by AWQ, GPTQ or "
          "compressed-tensors" +
          (layout == kPickled ? "; transformers makes one with from_pretrained(FOLDER)"
                                ".save_pretrained(NEW_FOLDER)"
                              : ""));
}

void refuse_file(const fs::path& path) {
  if (layout_of(path)) refuse(path);
  if (is_media(path))
    throw Error(ErrorCode::unsupported,
                path.string() +
                    " is a media file: model-path names the folder of a checkpoint, and media "
                    "come in through a pad (uridecodebin in front of the element)");
  if (path.extension() == ".safetensors" || path.extension() == ".json")
    throw Error(ErrorCode::not_found, path.string() +
                                          " is one file of a checkpoint: model-path "
                                          "names the folder around it");
}

// A cache of the hub keeps the checkpoint in a folder below.
void refuse_cache(const fs::path& folder) {
  std::error_code error;
  std::set<fs::path> there;
  for (const auto& entry : fs::directory_iterator(folder / "snapshots", error))
    if (fs::exists(entry.path() / "config.json", error)) there.insert(entry.path());
  if (!there.empty())
    throw Error(ErrorCode::not_found, folder.string() +
                                          " is a cache of the Hugging Face hub around the "
                                          "checkpoint: model-path=" +
                                          there.begin()->string());
}

bool is_hub_name(std::string_view path) {
  const auto is_part = [](std::string_view s) {
    return !s.empty() && s[0] != '.' && std::all_of(s.begin(), s.end(), [](unsigned char c) {
      return std::isalnum(c) || c == '-' || c == '_' || c == '.';
    });
  };
  const size_t slash = path.find('/');
  return slash != std::string_view::npos && is_part(path.substr(0, slash)) &&
         is_part(path.substr(slash + 1));
}

}  // namespace

void refuse_foreign_weights(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return refuse_file(path);
  fs::path foreign;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == ".safetensors") return;
    if (layout_of(entry.path()) && (foreign.empty() || entry.path() < foreign))
      foreign = entry.path();
  }
  if (!foreign.empty()) refuse(foreign);
  refuse_cache(path);
}

void refuse_lfs_pointer(const fs::path& file, std::string_view bytes) {
  if (bytes.starts_with("version https://git-lfs.github.com/spec/"))
    throw Error(ErrorCode::not_found, file.string() +
                                          " is git-lfs's pointer and not the file itself, which "
                                          "`git lfs pull` in its folder brings");
}

std::string advice_for_missing(const std::string& path) {
  if (path.starts_with("~"))
    return ": a shell replaces ~ only where a word begins with it: write $HOME instead";
  constexpr std::string_view kHub = "https://huggingface.co/";
  const std::string name = path.starts_with(kHub) ? path.substr(kHub.size()) : path;
  if (!is_hub_name(name)) return {};
  const std::string folder = name.substr(name.find('/') + 1);
  return ": if it is a name on the Hugging Face hub, from where nothing is fetched here: `hf "
         "download " +
         name + " --local-dir " + folder +
         "` (pip install huggingface_hub) brings it, then model-path=" + folder;
}

}  // namespace omni
