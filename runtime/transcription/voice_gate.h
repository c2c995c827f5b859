// Whether a stretch of sound may hold a voice: cheap, and on the side of yes. What it lets through
// the recogniser still may not believe.
#pragma once

#include <span>

namespace omni {

// log10 mel powers of a stretch, [frames, n_mels]. A voice is louder than a floor and changes from
// syllable to syllable; silence, noise, hum and steady tones do not.
bool may_hold_a_voice(std::span<const float> log_mel, int n_mels);

}  // namespace omni
