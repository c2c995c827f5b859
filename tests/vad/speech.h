// A voice to try detectors on.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "core/mapped_file.h"

namespace omni {

// examples/media/jfk.wav: 16 kHz mono, 11 s
inline std::vector<float> jfk() {
  const std::string bytes =
      read_text_file(OMNI_SOURCE_DIR "/examples/media/jfk.wav", size_t{1} << 20);
  const size_t data = bytes.find("data") + 8;
  std::vector<float> out((bytes.size() - data) / 2);
  for (size_t i = 0; i < out.size(); ++i) {
    int16_t v;
    std::memcpy(&v, bytes.data() + data + 2 * i, 2);
    out[i] = float(v) / 32768.f;
  }
  return out;
}

}  // namespace omni
