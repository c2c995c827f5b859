// The family qwen2_5_omni: Thinker, Talker and Token2Wav of Qwen2.5-Omni (arXiv 2503.20215;
// transformers, modeling_qwen2_5_omni.py).
#pragma once

#include "models/registry.h"

namespace omni {

std::unique_ptr<const Model> load_qwen2_5_omni(const ModelOptions& options,
                                               const LoadProgress& progress);
// nullptr for a Thinker alone
std::unique_ptr<const SpeechModel> load_qwen2_5_omni_speech(const ModelOptions& options,
                                                            const LoadProgress& progress);

}  // namespace omni
