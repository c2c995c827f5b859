// What cuDNN, where its library is (tools/fetch-cudnn), says of the graphs that the project builds:
// a plan for each on GPUs that are only described, their figures typed from data sheets. Nothing
// runs.
#include "ops/cuda/cudnn.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace omni::ops::cuda {
namespace {

struct Gpu {
  const char* name;
  int compute_capability, multiprocessors, shared_memory, l2_mib, threads, memory_gib, bus_bits;
};
constexpr Gpu kGpus[] = {{"A100", 800, 108, 166912, 40, 2048, 80, 5120},
                         {"L4", 890, 58, 101376, 48, 1536, 24, 192},
                         {"H100", 900, 132, 232448, 50, 2048, 80, 5120},
                         {"B200", 1000, 148, 232448, 126, 2048, 180, 8192},
                         {"RTX 5090", 1200, 170, 101376, 96, 1536, 32, 512}};

std::string description(const Gpu& g) {
  const auto n = [](int64_t v) { return std::to_string(v); };
  return R"({"version":1,"deviceVer":)" + n(g.compute_capability) + R"(,"multiProcessorCount":)" +
         n(g.multiprocessors) +
         R"(,"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":)" +
         n(g.shared_memory) +
         R"(,"reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,"maxThreadsPerSM":)" +
         n(g.threads) + R"(,"regsPerBlock":65536,"totalGlobalMem":)" +
         n(int64_t{g.memory_gib} << 30) + R"(,"memoryBusWidth":)" + n(g.bus_bits) +
         R"(,"smClockRateKHz":1400000,"l2CacheSize":)" + n(int64_t{g.l2_mib} << 20) +
         R"(,"maxBlockSize":[1024,1024,64],"memClockRateKHz":1215000,"maxGridSize":[2147483647,65535,65535],"supportCoopLaunch":1,"pciDeviceId":0,"isTccDriver":0,"cudaDeviceId":0,"driverVer":13000,"deviceName":")" +
         g.name + "\"}";
}

// Every kind of convolution that a model asks for, at the sizes of the published checkpoints.
std::vector<ConvolutionShape> convolutions() {
  std::vector<ConvolutionShape> all;
  const auto same = [&](int64_t n, int c_in, int c_out, int kernel, int dilation) {
    all.push_back({n, n, c_in, c_out, kernel, 1, dilation, int64_t{kernel / 2} * dilation, false});
  };
  const auto stem = [&](int64_t frames, int mels, int width) {
    all.push_back({frames, frames, mels, width, 3, 1, 1, 1, false});
    all.push_back({frames, (frames - 1) / 2 + 1, width, width, 3, 2, 1, 1, false});
  };
  stem(3000, 80, 512);             // whisper-base
  stem(3000, 128, 1280);           // whisper-large-v3
  stem(200, 128, 1280);            // Qwen2.5-Omni's audio tower, 2 s
  stem(200, 128, 160);             // nano's
  constexpr int64_t kFrames = 60;  // of mel that BigVGAN is given at a time
  same(kFrames, 80, 1536, 5, 1);
  int64_t n = kFrames;
  int channels = 1536;
  for (const int rate : {5, 3, 2, 2, 2, 2}) {
    n *= rate, channels /= 2;
    for (const int kernel : {3, 7, 11})
      for (const int dilation : {1, 3, 5}) same(n, channels, channels, kernel, dilation);
  }
  const size_t exact = all.size();
  for (size_t i = 0; i < exact; ++i) {
    all.push_back(all[i]);
    all.back().tensor_cores = true;
  }
  return all;
}

class RealCudnn : public testing::TestWithParam<Gpu> {
 protected:
  void SetUp() override {
    std::string why;
    cudnn_ = Cudnn::open(&why);
    if (!cudnn_) GTEST_SKIP() << why << " (tools/fetch-cudnn)";
  }
  const Cudnn* cudnn_ = nullptr;
};

TEST_P(RealCudnn, PlansEveryConvolution) {
  int64_t most = 0;
  for (const ConvolutionShape& s : convolutions()) {
    const std::string what = std::to_string(s.n) + " × " + std::to_string(s.c_in) + " → " +
                             std::to_string(s.c_out) + ", kernel " + std::to_string(s.kernel) +
                             ", stride " + std::to_string(s.stride) + ", dilation " +
                             std::to_string(s.dilation) + (s.tensor_cores ? ", TF32" : "");
    try {
      most =
          std::max(most, ConvolutionPlan(*cudnn_, s, nullptr, description(GetParam())).workspace());
    } catch (const Error& e) {
      ADD_FAILURE() << what << ": " << e.what();
    }
  }
  std::cout << convolutions().size() << " plans of cuDNN " << cudnn_->version << " for "
            << GetParam().name << ", at most " << (most >> 10) << " KiB of workspace\n";
}

// That a plan is a statement: what cannot be is refused.
TEST_P(RealCudnn, RefusesWhatCannotBe) {
  EXPECT_THROW(ConvolutionPlan(*cudnn_, {100, 100, 64, 64, 3, 1, 1, 1, false}, nullptr, "{}"),
               Error);
  EXPECT_THROW(ConvolutionPlan(*cudnn_, {100, 100, 64, 64, 3, 1, 0, 1, false}, nullptr,
                               description(GetParam())),
               Error);
}

INSTANTIATE_TEST_SUITE_P(Described, RealCudnn, testing::ValuesIn(kGpus), [](const auto& gpu) {
  std::string name = gpu.param.name;
  std::erase(name, ' ');
  return name;
});

}  // namespace
}  // namespace omni::ops::cuda
