// A block for each frame: a thread for each bin, then a thread for each band.
#include "kernels/log_mel.h"

namespace omni::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    log_mel_kernel(const float* __restrict__ samples, MelTables t, float* __restrict__ y) {
  OMNI_SHARED(float, frame, kMelFrame);
  OMNI_SHARED(double, power, kMelBins);
  const int me = int(threadIdx.x);
  samples += int64_t(blockIdx.x) * kMelHop;
  for (int i = me; i < kMelFrame; i += kThreads) frame[i] = samples[i];
  __syncthreads();
  if (me < kMelBins) {
    double re = 0, im = 0;
    for (int i = 0; i < kMelFrame; ++i) {
      const double x = double(frame[i]);
      re += x * t.cos[i * kMelBins + me];
      im += x * t.sin[i * kMelBins + me];
    }
    power[me] = re * re + im * im;
  }
  __syncthreads();
  for (int m = me; m < t.n_mels; m += kThreads) {
    double sum = 0;
    for (int j = 0; j < t.n[m]; ++j) sum += t.weight[m * t.widest + j] * power[t.first[m] + j];
    y[int64_t(blockIdx.x) * t.n_mels + m] = log10f(float(sum > 1e-10 ? sum : 1e-10));
  }
}

}  // namespace

cudaError_t log_mel(const float* samples, const MelTables& tables, float* y, int n_frames,
                    cudaStream_t stream) {
  return n_frames ? launch("log_mel", log_mel_kernel, {{unsigned(n_frames)}, {kThreads}}, stream,
                           samples, tables, y)
                  : cudaSuccess;
}

}  // namespace omni::cuda
