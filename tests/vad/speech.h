// A voice to try detectors on.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "core/mapped_file.h"

namespace omni {

// Of a WAV file, 16 bits, mono.
inline std::vector<float> samples_of(const char* path) {
  const std::string bytes = read_text_file(path, size_t{64} << 20);
  const size_t data = bytes.find("data") + 8;
  std::vector<float> out((bytes.size() - data) / 2);
  for (size_t i = 0; i < out.size(); ++i) {
    int16_t v;
    std::memcpy(&v, bytes.data() + data + 2 * i, 2);
    out[i] = float(v) / 32768.f;
  }
  return out;
}

// 16 kHz, 11 s
inline std::vector<float> jfk() { return samples_of(OMNI_SOURCE_DIR "/examples/media/jfk.wav"); }

}  // namespace omni
