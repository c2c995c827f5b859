// The family whisper: OpenAI's speech recogniser in its Hugging Face layout, tiny to
// large-v3-turbo. (arXiv 2212.04356; transformers, modeling_whisper.py)
#pragma once

#include "models/transcription_model.h"

namespace omni {

std::unique_ptr<const TranscriptionModel> load_whisper(const ModelOptions& options,
                                                       const LoadProgress& progress);

}  // namespace omni
