// The family qwen2_5_omni: Thinker, Talker and Token2Wav of Qwen2.5-Omni (arXiv 2503.20215;
// transformers, modeling_qwen2_5_omni.py).
#pragma once

#include "interface/family.h"

namespace omni {

// Whether the checkpoint has a voice.
bool qwen2_5_omni_speaks(const std::filesystem::path& folder);
Family load_qwen2_5_omni(const ModelOptions& options, const LoadProgress& progress);

}  // namespace omni
