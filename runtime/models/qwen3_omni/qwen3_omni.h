// Qwen3-Omni, its Thinker: the audio tower AuT, the vision tower with DeepStack, a text model with
// mixtures of experts. Its voice (Talker, code predictor, Code2Wav) is not computed here.
// (transformers, modeling_qwen3_omni_moe.py)
#pragma once

#include "interface/family.h"

namespace omni {

Family load_qwen3_omni(const ModelOptions& options, const LoadProgress& progress);

}  // namespace omni
