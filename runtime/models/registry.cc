// The only list of families in the repository.
#include "models/registry.h"

#include <algorithm>

#include "io/json.h"
#include "qwen2_5_omni/qwen2_5_omni.h"
#include "whisper/whisper.h"

namespace omni {

namespace {

struct Family {
  const char* model_type;
  std::unique_ptr<const Model> (*load)(const ModelOptions&, const LoadProgress&);
  // nullptr: the family has no voice
  std::unique_ptr<const SpeechModel> (*load_speech)(const ModelOptions&, const LoadProgress&);
  // instead of a Model
  std::unique_ptr<const TranscriptionModel> (*load_transcription)(const ModelOptions&,
                                                                  const LoadProgress&);
};

constexpr Family kFamilies[] = {
    {"qwen2_5_omni", load_qwen2_5_omni, load_qwen2_5_omni_speech, nullptr},
    {"qwen2_5_omni_thinker", load_qwen2_5_omni, nullptr, nullptr},
    {"whisper", nullptr, nullptr, load_whisper},
};

const Family& family_of(const std::filesystem::path& folder) {
  const auto path = folder / "config.json";
  const std::string type = Json::parse_file(path).at("model_type").string();
  std::string known;
  for (const Family& f : kFamilies) {
    if (type == f.model_type) return f;
    known += (known.empty() ? "" : ", ") + std::string(f.model_type);
  }
  throw Error(ErrorCode::unsupported,
              path.string() + ": model_type \"" + type + "\" is not one of " + known);
}

}  // namespace

std::unique_ptr<const Model> load_model(const ModelOptions& options, const LoadProgress& progress) {
  const Family& f = family_of(options.folder);
  if (!f.load)
    throw Error(ErrorCode::unsupported, options.folder.string() + ": a " + f.model_type +
                                            " transcribes and does nothing else");
  return f.load(options, progress);
}

bool transcribes(const std::filesystem::path& folder) {
  return family_of(folder).load_transcription != nullptr;
}

std::unique_ptr<const TranscriptionModel> load_transcription(const ModelOptions& options,
                                                             const LoadProgress& progress) {
  const Family& f = family_of(options.folder);
  if (!f.load_transcription)
    throw Error(ErrorCode::unsupported,
                options.folder.string() + ": a " + f.model_type + " is no transcriber");
  return f.load_transcription(options, progress);
}

std::unique_ptr<const SpeechModel> load_speech(const ModelOptions& options,
                                               const LoadProgress& progress) {
  const Family& f = family_of(options.folder);
  auto speech = f.load_speech ? f.load_speech(options, progress) : nullptr;
  if (!speech)
    throw Error(ErrorCode::unsupported,
                options.folder.string() + " has no voice: it holds no Talker and Token2Wav");
  return speech;
}

}  // namespace omni
