// What a device needs to know to make log-mel frames of samples in its memory; made by
// tokenizers/audio, done by a ComputeDevice. (The host has LogMel.) All pointers are the device's.
#pragma once

namespace omni::ops {

struct MelFrames {
  const double *cos, *sin;  // [400, 201]: the window times the factors of the transform
  const int *first, *n;     // [n_mels]: a band is made of bins first … first + n − 1
  const double* weight;     // [n_mels, widest]
  int n_mels, widest;
};

}  // namespace omni::ops
