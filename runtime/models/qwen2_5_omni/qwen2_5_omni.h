// The family qwen2_5_omni: the Thinker of Qwen2.5-Omni (arXiv 2503.20215; transformers, modeling_qwen2_5_omni.py).
#pragma once

#include "models/registry.h"

namespace omni {

std::unique_ptr<const Model> load_qwen2_5_omni(const ModelOptions& options, const LoadProgress& progress);

}  // namespace omni
