// Qwen3-VL, dense: features of inner blocks of the tower for the first layers of the text model
// (DeepStack), axes of positions that take turns, time as text, boxes in thousandths of the frame.
// (transformers, modeling_qwen3_vl.py)
#pragma once

#include "interface/family.h"

namespace omni {

Family load_qwen3_vl(const ModelOptions& options, const LoadProgress& progress);

}  // namespace omni
