// Log-mel spectrogram: window, discrete Fourier transform, power, mel bands, logarithm.
// (WhisperFeatureExtractor; the host's tokenizers/audio/log_mel.cc.) In double precision, as there:
// a band of a quiet frame is some 10^-8 of the loudest, and a second of sound is but 16 million
// products.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

constexpr int kMelFrame = 400, kMelBins = kMelFrame / 2 + 1, kMelHop = 160;

// On the device. Band m is made of bins first[m] … first[m] + n[m] − 1 with weights [m][widest].
struct MelTables {
  const double *cos, *sin;  // [kMelFrame][kMelBins], the window times the factors of the transform
  const int *first, *n;     // [n_mels]
  const double* weight;
  int n_mels, widest;
};

// samples: [(n_frames − 1) · kMelHop + kMelFrame]; y: [n_frames, n_mels], log10 of the power, at
// least 1e-10.
cudaError_t log_mel(const float* samples, const MelTables& tables, float* y, int n_frames,
                    cudaStream_t stream);

}  // namespace omni::cuda
