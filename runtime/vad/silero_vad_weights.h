// models/silero-vad/model.safetensors, as bytes of the library.
#pragma once

#include <cstddef>
#include <span>

namespace omni {

std::span<const std::byte> silero_vad_weights();

}  // namespace omni
