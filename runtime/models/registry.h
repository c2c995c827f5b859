// config.json's model_type → family.
#pragma once

#include "io/weights.h"
#include "models/speech_model.h"

namespace omni {

struct ModelOptions {
  std::filesystem::path folder;
  Precision precision;             // not automatic
  const Device* device = nullptr;  // must live as long as the model
  Quantizing quantizing;           // for as long as it loads
};

class TranscriptionModel;

// True for a family that transcribes, which load_transcription() loads; load_model() loads the
// others. Throws Error; unsupported names the model types that there are.
bool transcribes(const std::filesystem::path& folder);
std::unique_ptr<const TranscriptionModel> load_transcription(const ModelOptions& options,
                                                             const LoadProgress& progress);
std::unique_ptr<const Model> load_model(const ModelOptions& options, const LoadProgress& progress);
// The half that speaks. Throws unsupported where the checkpoint has none.
std::unique_ptr<const SpeechModel> load_speech(const ModelOptions& options,
                                               const LoadProgress& progress);

}  // namespace omni
