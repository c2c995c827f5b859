// A tokenized piece of media: what travels from the tokenizers to a session.
#pragma once

#include <vector>

#include "omni/error.h"
#include "omni/types.h"

namespace omni {

// Without tokens it says that in its time nothing comes of its modality.
struct Segment {
  Modality modality = Modality::video;
  // `hidden`: values of a token, Engine::hidden()
  int n_tokens = 0, hidden = 0;
  std::vector<float> embeddings;           // [n_tokens, hidden]
  int grid_t = 1, grid_h = 1, grid_w = 1;  // in tokens (after merging); sound: grid_t = n_tokens
  double seconds_per_grid = 0;             // media time of one step of grid_t
  Nanoseconds start = 0, duration = 0;
  Nanoseconds frames_apart = 0;               // of its two frames; 0 where there is one
  int source_width = 0, source_height = 0;    // of the frame that was tokenized
  int resized_width = 0, resized_height = 0;  // what the model saw of it
};

}  // namespace omni
