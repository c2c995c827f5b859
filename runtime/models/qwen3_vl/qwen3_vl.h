// Qwen3-VL, dense and with mixtures of experts (qwen3_vl_moe): features of inner blocks of the
// tower for the first layers of the text model (DeepStack), axes of positions that take turns, time
// as text, boxes in thousandths of the frame. (transformers, modeling_qwen3_vl.py,
// modeling_qwen3_vl_moe.py)
#pragma once

#include "interface/family.h"

namespace omni {

Family load_qwen3_vl(const ModelOptions& options, const LoadProgress& progress);

}  // namespace omni
