// The same bytes as every configuration file of a checkpoint, of each family.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fuzz/target.h"
#include "io/quantized/format.h"
#include "omni/error.h"
#include "qwen/vision_language.h"
#include "qwen2_5_omni/config.h"
#include "qwen2_5_vl/qwen2_5_vl.h"
#include "qwen2_vl/qwen2_vl.h"
#include "qwen3_omni/config.h"
#include "qwen3_omni/speech_config.h"
#include "qwen3_vl/config.h"
#include "text/bpe.h"
#include "whisper/config.h"

namespace {

namespace fs = std::filesystem;

constexpr const char* kFiles[] = {"config.json", "generation_config.json",
                                  "preprocessor_config.json", "processor_config.json"};

// In memory where there is such a place.
class Folder {
 public:
  Folder()
      : path_((fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) /
              ("omni_config_fuzz_" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }
  void write(std::string_view text) const {
    for (const char* name : kFiles) std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  fs::path path_;
};

template <class Read>
void read(const Read& body) {
  try {
    body();
  } catch (const omni::Error&) {
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  static const omni::BpeTokenizer tokenizer(OMNI_SOURCE_DIR
                                            "/tests/fixtures/whisper/checkpoint/tokenizer.json");
  folder.write(omni::fuzz::text_of(data, size));
  const fs::path& path = folder.path();
  read([&] {
    const auto c = omni::qwen2_5_omni::Config::read(path);
    omni::qwen2_5_omni::check_token_ids(path, tokenizer);
    omni::qwen2_5_omni::read_vision_spec(path, c.vision);
  });
  read([&] { omni::qwen::read_stop_ids(path, 1000); });
  read([&] {
    omni::qwen2_5_omni::VisionConfig vision{};
    vision.patch_size = 14, vision.spatial_merge_size = 2, vision.temporal_patch_size = 2;
    omni::qwen2_5_omni::read_vision_spec(path, vision);
  });
  read([&] { omni::qwen2_5_omni::SpeechConfig::read(path); });
  read([&] { omni::qwen2_5_vl::check_config_keys(path); });
  read([&] { omni::qwen2_vl::check_config_keys(path); });
  read([&] { omni::qwen3_omni::check_config_keys(path); });
  read([&] { omni::qwen3_omni::Config::read(path); });
  read([&] { omni::qwen3_omni::SpeechConfig::read(path); });
  read([&] { omni::qwen3_vl::check_config_keys(path); });
  read([&] { omni::qwen3_vl::Config::read(path); });
  read([&] { omni::qwen3_vl::read_thinks(path); });
  read(
      [&] { omni::qwen::read_vision_language_text(omni::Json::parse_file(path / "config.json")); });
  read([&] {
    const auto c = omni::whisper::Config::read(path, tokenizer);
    omni::fuzz::require(!c.alignment_heads.empty() && c.tokens.max_initial_timestamp >= 0,
                        "word times have heads, and time stamps an end");
  });
  read([&] { omni::find_quantized_format(path); });
  return 0;
}
