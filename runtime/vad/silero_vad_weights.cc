#include "vad/silero_vad_weights.h"

// OMNI_SILERO_VAD is the path of the file.
asm(".section .rodata\n"
    ".balign 64\n"
    "omni_silero_vad_begin:\n"
    ".incbin \"" OMNI_SILERO_VAD
    "\"\n"
    "omni_silero_vad_end:\n"
    ".byte 0\n"
    ".previous\n");

extern "C" const std::byte omni_silero_vad_begin[], omni_silero_vad_end[];

namespace omni {

std::span<const std::byte> silero_vad_weights() {
  return {omni_silero_vad_begin, omni_silero_vad_end};
}

}  // namespace omni
