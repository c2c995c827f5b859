// Qwen3-Omni: the audio tower AuT, the vision tower with DeepStack, a text model with mixtures of
// experts; its voice. (transformers, modeling_qwen3_omni_moe.py)
#pragma once

#include "interface/family.h"

namespace omni {

// Whether the checkpoint can speak.
bool qwen3_omni_speaks(const std::filesystem::path& folder);

Family load_qwen3_omni(const ModelOptions& options, const LoadProgress& progress);

}  // namespace omni
