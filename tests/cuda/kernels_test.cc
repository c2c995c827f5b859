// CUDA kernels, run by the CPU emulation under its checker, against the portable CPU operator.
// Sizes: below, at and just above what a block or a stretch takes, odd, and none.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>

#include "emu/memory.h"
#include "kernels/attention.h"
#include "kernels/attention_decode.h"
#include "kernels/convolution.h"
#include "kernels/elementwise.h"
#include "kernels/experts.h"
#include "kernels/layer_norm.h"
#include "kernels/linear.h"
#include "kernels/linear_few.h"
#include "kernels/paged_attention.h"
#include "kernels/paged_decode.h"
#include "kernels/rms_norm.h"
#include "kernels/rotate.h"
#include "kernels/rows.h"
#include "kernels/silu_mul.h"
#include "kernels/snake_beta.h"

namespace omni::cuda {
namespace {

template <class T>
class Device {
 public:
  explicit Device(size_t n) : n_(n) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), n * sizeof(T)), cudaSuccess);
  }
  Device(const std::vector<float>& values, cudaStream_t stream) : Device(values.size()) {
    std::vector<T> host(values.size());
    for (size_t i = 0; i < values.size(); ++i) assign(host[i], values[i]);
    if (n_) cudaMemcpyAsync(data_, host.data(), n_ * sizeof(T), cudaMemcpyHostToDevice, stream);
  }
  ~Device() { cudaFree(data_); }
  Device(const Device&) = delete;
  T* get() const { return data_; }
  std::vector<float> read(cudaStream_t stream) const {
    std::vector<T> host(n_);
    if (n_) cudaMemcpyAsync(host.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost, stream);
    cudaStreamSynchronize(stream);
    std::vector<float> out(n_);
    for (size_t i = 0; i < n_; ++i) out[i] = to_float(host[i]);
    return out;
  }

 private:
  size_t n_;
  T* data_ = nullptr;
};

std::vector<float> random_values(size_t n, uint32_t seed) {
  std::mt19937 r(seed);
  std::normal_distribution<float> d;
  std::vector<float> v(n);
  for (float& x : v) x = d(r);
  return v;
}

class Kernels : public testing::Test {
 protected:
  void SetUp() override {
    emu::reports().clear();
    cudaStreamCreate(&stream_);
  }
  void TearDown() override {
    cudaStreamDestroy(stream_);
    EXPECT_EQ(emu::reports(), std::vector<std::string>());
  }
  void expect_near(const std::vector<float>& a, const std::vector<double>& b,
                   const std::string& what) {
    ASSERT_EQ(a.size(), b.size()) << what;
    double scale = 1e-30;
    for (const double x : b) scale = std::max(scale, std::abs(x));
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_LE(std::abs(a[i] - b[i]) / scale, 1e-5) << what << " at " << i;
  }
  cudaStream_t stream_ = nullptr;
};

TEST_F(Kernels, RmsNorm) {
  for (const int width : {1, 31, 255, 256, 257, 2048})
    for (const int64_t rows : {0, 1, 3}) {
      const auto x = random_values(size_t(rows * width), 1), w = random_values(size_t(width), 2);
      const Device<float> dx(x, stream_), dy(x.size());
      const Device<float> dw(w, stream_);
      ASSERT_EQ(rms_norm(dx.get(), dw.get(), dy.get(), rows, width, 1e-6f, stream_), cudaSuccess);
      std::vector<double> y;
      for (int64_t r = 0; r < rows; ++r) {
        double squares = 0;
        for (int i = 0; i < width; ++i)
          squares += double(x[size_t(r * width + i)]) * x[size_t(r * width + i)];
        for (int i = 0; i < width; ++i)
          y.push_back(x[size_t(r * width + i)] / std::sqrt(squares / width + 1e-6) * w[size_t(i)]);
      }
      expect_near(dy.read(stream_), y, std::to_string(rows) + " × " + std::to_string(width));
    }
}

TEST_F(Kernels, RmsNormOfHeads) {
  constexpr int kHeads = 3, kStride = 700;
  for (const int head_dim : {1, 31, 128, 200})
    for (const int64_t n : {0, 1, 4}) {
      const auto x = random_values(size_t(n * kStride), 1), w = random_values(size_t(head_dim), 2);
      const Device<float> dx(x, stream_), dw(w, stream_);
      ASSERT_EQ(rms_norm_heads(dx.get(), kStride, dw.get(), n, kHeads, head_dim, 1e-6f, stream_),
                cudaSuccess);
      std::vector<double> y(x.begin(), x.end());
      for (int64_t i = 0; i < n; ++i)
        for (int h = 0; h < kHeads; ++h) {
          double* head = y.data() + i * kStride + h * head_dim;
          double squares = 0;
          for (int k = 0; k < head_dim; ++k) squares += head[k] * head[k];
          for (int k = 0; k < head_dim; ++k)
            head[k] *= w[size_t(k)] / std::sqrt(squares / head_dim + 1e-6);
        }
      expect_near(dx.read(stream_), y, std::to_string(n) + " × " + std::to_string(head_dim));
    }
}

TEST_F(Kernels, RouteRefusesWhatItCannotDo) {
  const Device<float> logits(kMostExperts + 1), weights(8);
  const Device<int> experts(8);
  const auto answer = [&](int n_experts, int top_k) {
    return route(logits.get(), n_experts, top_k, true, experts.get(), weights.get(), 1, stream_);
  };
  EXPECT_EQ(answer(4, 0), cudaErrorInvalidValue);
  EXPECT_EQ(answer(4, 5), cudaErrorInvalidValue);
  EXPECT_EQ(answer(kMostExperts + 1, 1), cudaErrorInvalidValue);
}

// Of equals the first; what is no number comes to nothing, but picks experts that are there.
TEST_F(Kernels, RoutesOfOddLogits) {
  const float nan = std::nanf("");
  for (const std::vector<float>& row : {std::vector<float>(40, 1.f),
                                        std::vector<float>(40, nan),
                                        {nan, 1, nan, 3, INFINITY},
                                        {-INFINITY, -INFINITY, -INFINITY, 0}}) {
    constexpr int kTop = 4;
    const Device<float> logits(row, stream_), weights(kTop);
    const Device<int> experts(kTop);
    ASSERT_EQ(
        route(logits.get(), int(row.size()), kTop, true, experts.get(), weights.get(), 1, stream_),
        cudaSuccess);
    int picked[kTop];
    cudaMemcpyAsync(picked, experts.get(), sizeof picked, cudaMemcpyDeviceToHost, stream_);
    cudaStreamSynchronize(stream_);
    if (row[0] == 1) {
      EXPECT_EQ(std::vector<int>(picked, picked + kTop), (std::vector<int>{0, 1, 2, 3}));
      EXPECT_EQ(weights.read(stream_), std::vector<float>(kTop, 0.25f));
    }
    std::sort(picked, picked + kTop);
    EXPECT_EQ(std::unique(picked, picked + kTop), picked + kTop);
    EXPECT_TRUE(picked[0] >= 0 && picked[kTop - 1] < int(row.size()));
  }
}

TEST_F(Kernels, LayerNorm) {
  for (const int width : {1, 31, 256, 257, 1280})
    for (const int64_t rows : {0, 1, 3}) {
      const auto x = random_values(size_t(rows * width), 1), w = random_values(size_t(width), 2),
                 b = random_values(size_t(width), 3);
      const Device<float> dx(x, stream_), dy(x.size());
      const Device<float> dw(w, stream_), db(b, stream_);
      ASSERT_EQ(layer_norm(dx.get(), dw.get(), db.get(), dy.get(), rows, width, 1e-5f, stream_),
                cudaSuccess);
      std::vector<double> y;
      for (int64_t r = 0; r < rows; ++r) {
        double mean = 0, squares = 0;
        for (int i = 0; i < width; ++i) mean += x[size_t(r * width + i)] / double(width);
        for (int i = 0; i < width; ++i) squares += std::pow(x[size_t(r * width + i)] - mean, 2);
        for (int i = 0; i < width; ++i)
          y.push_back((x[size_t(r * width + i)] - mean) / std::sqrt(squares / width + 1e-5) *
                          w[size_t(i)] +
                      b[size_t(i)]);
      }
      expect_near(dy.read(stream_), y, std::to_string(rows) + " × " + std::to_string(width));
    }
}

TEST_F(Kernels, SiluMul) {
  for (const int width : {1, 127, 256, 257})
    for (const int64_t rows : {0, 1, 5}) {
      const auto x = random_values(size_t(rows * width * 2), 1);
      const Device<float> dx(x, stream_), dy(x.size() / 2);
      ASSERT_EQ(silu_mul(dx.get(), dy.get(), rows, width, stream_), cudaSuccess);
      std::vector<double> y;
      for (int64_t r = 0; r < rows; ++r)
        for (int i = 0; i < width; ++i) {
          const double g = x[size_t(r * 2 * width + i)];
          y.push_back(g / (1 + std::exp(-g)) * x[size_t(r * 2 * width + width + i)]);
        }
      expect_near(dy.read(stream_), y, std::to_string(rows) + " × " + std::to_string(width));
    }
}

TEST_F(Kernels, Rotate) {
  for (const int head_dim : {2, 64, 128})
    for (const int heads : {1, 3})
      for (const int64_t tokens : {0, 1, 7}) {
        const int64_t stride = heads * head_dim + 5;  // other things lie behind the heads
        const auto x = random_values(size_t(tokens * stride), 1),
                   angle = random_values(size_t(tokens * head_dim / 2), 2);
        std::vector<float> c, s;
        for (const float a : angle) c.push_back(std::cos(a)), s.push_back(std::sin(a));
        const Device<float> dx(x, stream_);
        const Device<float> dc(c, stream_), ds(s, stream_);
        ASSERT_EQ(rotate(dx.get(), stride, dc.get(), ds.get(), tokens, heads, head_dim, stream_),
                  cudaSuccess);
        std::vector<double> y(x.begin(), x.end());
        for (int64_t t = 0; t < tokens; ++t)
          for (int h = 0; h < heads; ++h)
            for (int k = 0; k < head_dim / 2; ++k) {
              const size_t i = size_t(t * stride + h * head_dim + k), j = i + size_t(head_dim / 2),
                           at = size_t(t * head_dim / 2 + k);
              y[i] = double(x[i]) * c[at] - double(x[j]) * s[at];
              y[j] = double(x[j]) * c[at] + double(x[i]) * s[at];
            }
        expect_near(dx.read(stream_), y, "");
      }
}

TEST_F(Kernels, AttentionDecode) {
  for (const int head_dim : {20, 32, 128})
    for (const auto& [heads, kv_heads] : std::vector<std::pair<int, int>>{{1, 1}, {6, 2}})
      for (const int keys :
           {1, kDecodeKeys - 1, kDecodeKeys, kDecodeKeys + 1, 3 * kDecodeKeys + 17}) {
        const int64_t stride = kv_heads * head_dim + 3;
        const auto q = random_values(size_t(heads * head_dim), 1),
                   k = random_values(size_t(keys * stride), 2),
                   v = random_values(size_t(keys * stride), 3);
        const Device<float> dq(q, stream_), dk(k, stream_), dv(v, stream_), dy(q.size());
        const Device<float> partial(
            size_t(heads * ((keys + kDecodeKeys - 1) / kDecodeKeys) * (head_dim + 2)));
        const float scale = 1.f / std::sqrt(float(head_dim));
        ASSERT_EQ(attention_decode(dq.get(), dk.get(), dv.get(), stride, dy.get(), partial.get(),
                                   heads, kv_heads, head_dim, keys, scale, stream_),
                  cudaSuccess);
        std::vector<double> y(q.size(), 0);
        for (int h = 0; h < heads; ++h) {
          const size_t kv = size_t(h / (heads / kv_heads) * head_dim);
          std::vector<double> p;
          double sum = 0;
          for (int j = 0; j < keys; ++j) {
            double s = 0;
            for (int c = 0; c < head_dim; ++c)
              s += double(q[size_t(h * head_dim + c)]) * k[size_t(j * stride) + kv + size_t(c)];
            p.push_back(std::exp(s * scale));
            sum += p.back();
          }
          for (int j = 0; j < keys; ++j)
            for (int c = 0; c < head_dim; ++c)
              y[size_t(h * head_dim + c)] +=
                  p[size_t(j)] / sum * v[size_t(j * stride) + kv + size_t(c)];
        }
        expect_near(dy.read(stream_), y, std::to_string(keys) + " keys");
      }
  const Device<float> x(1000);
  EXPECT_EQ(attention_decode(x.get(), x.get(), x.get(), 64, x.get(), static_cast<float*>(nullptr),
                             3, 2, 64, 5, 1.f, stream_),
            cudaErrorInvalidValue);
}

// tests/ops/device_test.cc compares the values.
TEST(Refused, HeadsThatKernelsOfPagesHaveNoRoomFor) {
  const LaneQueries q{};
  const auto tiles = [&](const PagedShape& s) {
    return paged_attention<float>(q, nullptr, nullptr, nullptr, 0, static_cast<float*>(nullptr), s,
                                  nullptr);
  };
  const auto step = [&](const PagedShape& s) {
    return paged_decode<bf16>(q, nullptr, nullptr, nullptr, 0, 1, nullptr,
                              static_cast<float*>(nullptr), s, nullptr);
  };
  EXPECT_EQ(tiles({0, 0, 4, 2, kWidestPagedHead, 1}), cudaSuccess);
  EXPECT_EQ(tiles({0, 0, 4, 2, kWidestPagedHead + 1, 1}), cudaErrorInvalidValue);
  EXPECT_EQ(tiles({0, 0, 3, 2, 64, 1}), cudaErrorInvalidValue);
  EXPECT_EQ(step({0, 0, 4, 2, kWidestDecodeHead, 1}), cudaSuccess);
  EXPECT_EQ(step({0, 0, 4, 2, kWidestDecodeHead + 1, 1}), cudaErrorInvalidValue);
  EXPECT_EQ(step({0, 0, 4, 0, 64, 1}), cudaErrorInvalidValue);
}

// What lies beside a buffer is nobody's here, where each is an allocation of its own
// (tests/ops/device_test.cc compares the values).
TEST(Bounds, OfEachKernel) {
  emu::reports().clear();
  cudaStream_t s = nullptr;
  cudaStreamCreate(&s);
  const auto buffer = [&](int64_t n) {
    return std::make_unique<Device<float>>(random_values(size_t(n), 1), s);
  };
  for (const int64_t n : {1, 8, 9, 63, 65})
    for (const int n_out : {1, 65, 129}) {
      const auto x = buffer(n * 40), w = buffer(n_out * 40), b = buffer(n_out);
      const Device<bf16> narrow_x(random_values(size_t(n) * 40, 3), s),
          narrow(random_values(size_t(n_out) * 40, 2), s);
      const Device<float> y(size_t(n * n_out)), z(size_t(n * n_out)), few(size_t(n * n_out));
      EXPECT_EQ(linear(x->get(), w->get(), b->get(), y.get(), n, 40, n_out, s), cudaSuccess);
      EXPECT_EQ(linear_tensor(narrow_x.get(), narrow.get(), b->get(), z.get(), n, 40, n_out, s),
                cudaSuccess);
      y.read(s), z.read(s);  // all of it is written
      if (n > kMostFewRows) continue;
      EXPECT_EQ(linear_few(narrow_x.get(), narrow.get(), b->get(), Into::y, few.get(), int(n), 40,
                           n_out, s),
                cudaSuccess);
      few.read(s);
    }
  for (const int n : {1, 15, 17, 40}) {
    const auto q = buffer(n * 4 * 36), kv = buffer((n + 3) * 2 * 36);
    std::vector<AttentionTile> tiles;
    for (int begin = 0; begin < n; begin += kTileQueries)
      tiles.push_back({begin, 0, std::min(kTileQueries, n - begin), n + 3});
    AttentionTile* there = nullptr;
    cudaMalloc(reinterpret_cast<void**>(&there), tiles.size() * sizeof(AttentionTile));
    cudaMemcpyAsync(there, tiles.data(), tiles.size() * sizeof(AttentionTile),
                    cudaMemcpyHostToDevice, s);
    const Device<float> y(size_t(n) * 4 * 36), w(size_t(n) * size_t(n + 3));
    EXPECT_EQ(attention(q->get(), kv->get(), kv->get() + 36, y.get(), there, int(tiles.size()),
                        {4 * 36, 2 * 36, 2 * 36, 4, 1, 36}, s),
              cudaSuccess);
    EXPECT_EQ(attention_weights(q->get(), 4 * 36, kv->get(), 2 * 36, w.get(), n, n + 3, 36, s),
              cudaSuccess);
    y.read(s), w.read(s);
    cudaFree(there);
    const auto x = buffer(n * 7), more = buffer(n * 7), bias = buffer(7), filter = buffer(12),
               columns = buffer(n * 5 * 7);
    const int64_t n_out = int64_t{n - 1} * 2 + 5 - 2;
    const Device<float> unfolded(size_t(n) * 3 * 7), folded(size_t(n_out * 7)), bent(size_t(n) * 7),
        pooled(size_t(n / 2) * 7), rows(size_t(n) * 9);
    EXPECT_EQ(unfold(x->get(), unfolded.get(), n, 7, 0, n, 3, 1, 1, 1, false, s), cudaSuccess);
    EXPECT_EQ(fold(columns->get(), bias->get(), folded.get(), n, n_out, 7, 5, 2, 1, s),
              cudaSuccess);
    EXPECT_EQ(snake_beta(x->get(), bias->get(), bias->get(), filter->get(), bent.get(), n, 7, s),
              cudaSuccess);
    EXPECT_EQ(avg_pool_pairs(x->get(), pooled.get(), n / 2, 7, s), cudaSuccess);
    EXPECT_EQ(copy_rows(rows.get() + 2, 9, x->get(), 7, n, 7, s), cudaSuccess);
    unfolded.read(s), folded.read(s), bent.read(s), pooled.read(s);
    EXPECT_EQ(gelu(x->get(), x->get(), n * 7, s), cudaSuccess);
    EXPECT_EQ(gelu_tanh(x->get(), x->get(), n * 7, s), cudaSuccess);
    EXPECT_EQ(quick_gelu(x->get(), x->get(), n * 7, s), cudaSuccess);
    EXPECT_EQ(silu(x->get(), n * 7, s), cudaSuccess);
    EXPECT_EQ(div(x->get(), 2, n * 7, s), cudaSuccess);
    EXPECT_EQ(add(x->get(), more->get(), n * 7, s), cudaSuccess);
    EXPECT_EQ(add_scaled(x->get(), more->get(), bias->get(), n, 7, s), cudaSuccess);
    EXPECT_EQ(add_gated(x->get(), more->get(), more->get(), n, 7, s), cudaSuccess);
    EXPECT_EQ(snake(x->get(), bias->get(), bias->get(), n, 7, s), cudaSuccess);
  }
  cudaStreamDestroy(s);
  EXPECT_EQ(emu::reports(), std::vector<std::string>());
}

}  // namespace
}  // namespace omni::cuda
