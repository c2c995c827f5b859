// Rows that stand for a second of media in the tests of sessions.
#pragma once

#include <random>

#include "omni/segment.h"

namespace omni {

// Random values by `seed`, as wide as the model.
inline Segment media(Modality modality, int hidden, Nanoseconds start, unsigned seed) {
  Segment s;
  s.modality = modality;
  s.hidden = hidden;
  const bool audio = modality == Modality::audio;
  s.grid_t = audio ? 25 : 1, s.grid_h = s.grid_w = audio ? 1 : 2;
  s.n_tokens = audio ? 25 : 4;
  s.seconds_per_grid = audio ? 0.04 : 1;
  s.start = start;
  s.duration = kSecond;
  s.source_width = s.source_height = s.resized_width = s.resized_height = 56;
  std::mt19937 random(seed);
  for (int i = 0; i < s.n_tokens * hidden; ++i)
    s.embeddings.push_back(float(random() % 1000) / 1000 - 0.5f);
  return s;
}

}  // namespace omni
