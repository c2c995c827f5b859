// The emulation itself: that its checker finds the mistakes it is there for, each in a few lines of
// wrong code.
#include <gtest/gtest.h>

#include <functional>

#include "emu/memory.h"
#include "wrong_kernels.h"

namespace omni::cuda {
namespace {

class Emulation : public testing::Test {
 protected:
  void SetUp() override {
    emu::reports().clear();
    cudaStreamCreate(&stream_), cudaStreamCreate(&other_);
    cudaMalloc(reinterpret_cast<void**>(&data_), 1024 * sizeof(float));
    cudaMalloc(reinterpret_cast<void**>(&more_), 1024 * sizeof(float));
    cudaMallocHost(reinterpret_cast<void**>(&host_), 1024 * sizeof(float));
    for (int i = 0; i < 1024; ++i) host_[i] = 1;
    cudaMemcpyAsync(data_, host_, 1024 * sizeof(float), cudaMemcpyHostToDevice, stream_);
    cudaStreamSynchronize(stream_);
  }
  void TearDown() override {
    cudaStreamDestroy(stream_), cudaStreamDestroy(other_);
    cudaFree(data_), cudaFree(more_), cudaFreeHost(host_);
    emu::reports().clear();
  }
  std::string found() {
    cudaDeviceSynchronize();
    std::string all;
    for (const std::string& r : emu::reports()) all += r + "\n";
    return all;
  }
  cudaStream_t stream_ = nullptr, other_ = nullptr;
  float *data_ = nullptr, *more_ = nullptr, *host_ = nullptr;
};

TEST_F(Emulation, FindsEachWrongKernel) {
  const std::pair<Wrong, const char*> all[] = {
      {Wrong::no_barrier_after_store, "race"},
      {Wrong::no_barrier_before_reuse, "race"},
      {Wrong::one_past_the_end, "out of bounds"},
      {Wrong::unwritten_shared, "uninitialised read"},
      {Wrong::barrier_in_a_branch, "divergent barrier"},
      {Wrong::shuffle_in_a_branch, "warp operation"},
      {Wrong::two_blocks_one_sum, "race"},
      {Wrong::misaligned_vector, "misaligned"},
      {Wrong::too_much_shared, "shared memory"},
      {Wrong::too_much_shared_with_arrays, "shared memory"},
      {Wrong::unwritten_global, "uninitialised read"},
      {Wrong::freed, "out of bounds"}};
  for (const auto& [wrong, kind] : all) {
    emu::reports().clear();
    float* scratch = nullptr;
    cudaMalloc(reinterpret_cast<void**>(&scratch), 1024 * sizeof(float));
    if (wrong == Wrong::freed) cudaFree(scratch);
    ASSERT_EQ(run_wrong(wrong, data_, scratch, stream_), cudaSuccess);
    EXPECT_NE(found().find(kind), std::string::npos)
        << "wrong kernel " << int(wrong) << " is to be found as " << kind << ", found: " << found();
    if (wrong != Wrong::freed) cudaFree(scratch);
  }
  emu::reports().clear();
  ASSERT_EQ(run_wrong(Wrong::nothing, data_, more_, stream_), cudaSuccess);
  EXPECT_EQ(found(), "");
}

// The last of the warps that were counted sees what the others wrote until then, and no more.
TEST_F(Emulation, TheLastWarpSeesTheOthers) {
  int* counter = nullptr;
  cudaMalloc(reinterpret_cast<void**>(&counter), sizeof(int));
  const int zero = 0;
  cudaMemcpyAsync(counter, &zero, sizeof zero, cudaMemcpyHostToDevice, stream_);
  for (int again = 0; again < 2; ++again) {
    ASSERT_EQ(run_counted(Wrong::nothing, data_, more_, counter, stream_), cudaSuccess);
    cudaMemcpyAsync(host_, more_ + 256, sizeof(float), cudaMemcpyDeviceToHost, stream_);
    EXPECT_EQ(found(), "");
    EXPECT_EQ(host_[0], 256);
  }
  for (const Wrong wrong : {Wrong::written_when_counted, Wrong::read_before_counted}) {
    emu::reports().clear();
    ASSERT_EQ(run_counted(wrong, data_, more_, counter, stream_), cudaSuccess);
    EXPECT_NE(found().find("race"), std::string::npos) << int(wrong);
  }
  cudaFree(counter);
}

class EmulatedProducts : public Emulation {
 protected:
  void SetUp() override {
    Emulation::SetUp();
    for (int i = 0; i < 512; ++i) {
      values_[i] = float((i * 37 + i / 16 * 11) % 29 - 14) / 8;
      assign(reinterpret_cast<bf16*>(host_)[i], values_[i]);
    }
    cudaMemcpyAsync(data_, host_, 1024, cudaMemcpyHostToDevice, stream_);
    cudaStreamSynchronize(stream_);
  }
  cudaError_t run(Wrong wrong, unsigned shared = kProductsShared) {
    const auto* a = reinterpret_cast<const bf16*>(data_);
    return run_products(wrong, a, a + 256, more_, shared, stream_);
  }
  float values_[512];
};

TEST_F(EmulatedProducts, AreThoseOfTheirFactors) {
  ASSERT_EQ(run(Wrong::nothing), cudaSuccess);
  cudaMemcpyAsync(host_, more_, 512 * sizeof(float), cudaMemcpyDeviceToHost, stream_);
  EXPECT_EQ(found(), "");
  const float *a = values_, *b = values_ + 256;
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) {
      float transposed = 0, plain = 0;
      for (int k = 0; k < 16; ++k) {
        transposed += a[i * 16 + k] * b[j * 16 + k];
        plain += a[i * 16 + k] * b[k * 16 + j];
      }
      EXPECT_EQ(host_[i * 16 + j], transposed) << i << " " << j;
      EXPECT_EQ(host_[256 + i * 16 + j], plain) << i << " " << j;
    }
}

TEST_F(EmulatedProducts, WrongOnesAreFound) {
  const std::pair<Wrong, const char*> all[] = {
      {Wrong::copies_not_waited_for, "uninitialised read"},
      {Wrong::copies_read_by_another_without_barrier, "race"},
      {Wrong::copies_over_what_is_read, "race"},
      {Wrong::copies_left_open, "does not wait for its copies"}};
  for (const auto& [wrong, kind] : all) {
    emu::reports().clear();
    ASSERT_EQ(run(wrong), cudaSuccess);
    EXPECT_NE(found().find(kind), std::string::npos)
        << "wrong kernel " << int(wrong) << " is to be found as " << kind << ", found: " << found();
  }
}

TEST_F(EmulatedProducts, SharedMemoryIsWhatTheLaunchAsksFor) {
  ASSERT_EQ(run(Wrong::nothing, 227 << 10), cudaSuccess);
  EXPECT_EQ(found(), "");
  EXPECT_EQ(run(Wrong::nothing, (227 << 10) + 1), cudaErrorInvalidConfiguration);
  ASSERT_EQ(run(Wrong::nothing, kProductsShared - 32), cudaSuccess);
  EXPECT_NE(found().find("out of bounds"), std::string::npos) << found();
}

TEST_F(Emulation, AMissingEventWaitIsSeen) {
  run_wrong(Wrong::nothing, data_, more_, stream_);
  // without waiting for stream_
  cudaMemcpyAsync(host_, more_, 256 * sizeof(float), cudaMemcpyDeviceToHost, other_);
  cudaStreamSynchronize(other_);
  EXPECT_NE(found().find("uninitialised read"), std::string::npos);
}

TEST_F(Emulation, AnEventOrdersStreams) {
  cudaEvent_t event = nullptr;
  cudaEventCreateWithFlags(&event, 0);
  run_wrong(Wrong::nothing, data_, more_, stream_);
  cudaEventRecord(event, stream_);
  cudaStreamWaitEvent(other_, event, 0);
  cudaMemcpyAsync(host_, more_, 256 * sizeof(float), cudaMemcpyDeviceToHost, other_);
  cudaStreamSynchronize(other_);
  EXPECT_EQ(found(), "");
  EXPECT_EQ(host_[7], 256.f);
  cudaEventDestroy(event);
}

TEST_F(Emulation, AResultReadTooEarlyIsGarbage) {
  run_wrong(Wrong::nothing, data_, more_, stream_);
  cudaMemcpyAsync(host_, more_, 256 * sizeof(float), cudaMemcpyDeviceToHost, stream_);
  EXPECT_FALSE(host_[7] == 256.f) << "before the synchronisation";
  cudaStreamSynchronize(stream_);
  EXPECT_EQ(host_[7], 256.f);
}

TEST_F(Emulation, APinnedSourceChangedTooEarlyIsCopiedChanged) {
  cudaMemcpyAsync(data_, host_, 1024 * sizeof(float), cudaMemcpyHostToDevice, stream_);
  host_[3] = 5;
  run_wrong(Wrong::nothing, data_, more_, stream_);
  float sums[256];
  cudaMemcpyAsync(sums, more_, sizeof sums, cudaMemcpyDeviceToHost, stream_);
  EXPECT_EQ(sums[0], 260.f);
}

TEST_F(Emulation, FreedInStreamOrderIsFreed) {
  float* p = nullptr;
  cudaMallocAsync(reinterpret_cast<void**>(&p), 4096, stream_);
  cudaFreeAsync(p, stream_);
  run_wrong(Wrong::nothing, data_, p, stream_);
  EXPECT_NE(found().find("out of bounds"), std::string::npos);
}

// What was recorded runs again with what lies in the same memory then.
TEST_F(Emulation, ARecordedGraphRunsAgain) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  run_wrong(Wrong::nothing, data_, more_, stream_);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  cudaGraphDestroy(graph);
  for (const float value : {1.f, 2.f}) {
    for (int i = 0; i < 1024; ++i) host_[i] = value;
    cudaMemcpyAsync(data_, host_, 1024 * sizeof(float), cudaMemcpyHostToDevice, stream_);
    ASSERT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
    float sums[256];
    cudaMemcpyAsync(sums, more_, sizeof sums, cudaMemcpyDeviceToHost, stream_);
    EXPECT_EQ(sums[7], 256 * value);
  }
  cudaGraphExecDestroy(exec);
  EXPECT_EQ(found(), "");
}

// Another stream that an event draws into a capture has to be joined before it ends, and runs where
// the events put it.
TEST_F(Emulation, AnUnjoinedCaptureIsRefused) {
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaEventCreateWithFlags(&fork, 0), cudaEventCreateWithFlags(&join, 0);
  for (const bool joined : {false, true}) {
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    run_wrong(Wrong::nothing, data_, more_, stream_);
    cudaEventRecord(fork, stream_);
    cudaStreamWaitEvent(other_, fork, 0);
    cudaMemcpyAsync(data_, more_, 256 * sizeof(float), cudaMemcpyDeviceToDevice, other_);
    if (joined) {
      cudaEventRecord(join, other_);
      cudaStreamWaitEvent(stream_, join, 0);
    }
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph),
              joined ? cudaSuccess : cudaErrorStreamCaptureUnjoined);
    EXPECT_EQ(graph != nullptr, joined);
    if (!graph) continue;
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    cudaGraphLaunch(exec, stream_);
    float first = 0;
    cudaMemcpyAsync(&first, data_, sizeof first, cudaMemcpyDeviceToHost, stream_);
    EXPECT_EQ(first, 256.f);
    cudaGraphExecDestroy(exec), cudaGraphDestroy(graph);
  }
  EXPECT_EQ(found(), "");
  cudaEventDestroy(fork), cudaEventDestroy(join);
}

TEST_F(Emulation, ACaptureNeitherWaitsNorAllocates) {
  void* p = nullptr;
  float pageable[4] = {};
  const std::function<cudaError_t()> forbidden[] = {
      [&] { return cudaStreamSynchronize(stream_); }, [&] { return cudaMalloc(&p, 16); },
      [&] { return cudaFree(data_); }, [] { return cudaDeviceSynchronize(); },
      [&] {
        return cudaMemcpyAsync(data_, pageable, sizeof pageable, cudaMemcpyHostToDevice, stream_);
      }};
  for (const auto& call : forbidden) {
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  }
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureUnmatched);
}

TEST_F(Emulation, LimitsAndErrorsAreCudas) {
  void* p = nullptr;
  emu::Memory::instance().set_limit(emu::Memory::instance().in_use() + 1000);
  EXPECT_EQ(cudaMalloc(&p, 2000), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  emu::Memory::instance().set_limit(size_t{8} << 30);
  EXPECT_EQ(cudaFree(host_), cudaErrorInvalidDevicePointer);
  EXPECT_EQ(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(0x10)),
            cudaErrorInvalidResourceHandle);
  EXPECT_EQ(run_wrong(Wrong::too_many_threads, data_, more_, stream_),
            cudaErrorInvalidConfiguration);
}

}  // namespace
}  // namespace omni::cuda
