// The family whisper: OpenAI's speech recogniser in its Hugging Face layout, tiny to
// large-v3-turbo. (arXiv 2212.04356; transformers, modeling_whisper.py)
#pragma once

#include "interface/family.h"

namespace omni {

Family load_whisper(const ModelOptions& options, const LoadProgress& progress);

}  // namespace omni
