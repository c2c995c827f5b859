// A model that keeps rows for its voice, and the voice whose frames have several codes, against
// what tools/fixtures/make_qwen3_omni_speech_fixture.py recorded of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "omni/types.h"
#include "parity/parity.h"

namespace omni::parity {

// Of each case: ids of the prompt, the first logits of the Talker, greedy codes [frames, codes a
// frame], and the wave of the recorded codes, whole and a frame at a time.
std::vector<Line> compare_spoken(const std::filesystem::path& dir, const std::string& device,
                                 Precision precision);

}  // namespace omni::parity
