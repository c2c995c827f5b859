// Every op on CUDA against the same op on the host (which ops_test.cc checks): below, at and above
// what a block takes, odd strides, none. On the emulation, under its checker; linked with nvcc's
// kernels (OMNI_CUDA_TOOLKIT) on a GPU, where there is one.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#if !OMNI_CUDA_TOOLKIT
#include "emu/memory.h"
#endif
#include "audio/device_log_mel.h"
#include "decoding/sampler.h"
#include "interface/forward_workspace.h"
#include "interface/paged_state.h"
#include "layers/recorded.h"
#include "ops/cuda/cuda_device.h"
#include "ops/cuda/open.h"
#include "ops/ops.h"
#include "ops/paged_case.h"
#include "ops/quantized_case.h"
#include "video/colour.h"
#include "video/device_patches.h"

namespace omni {
namespace {

Error* g_why = nullptr;
const Device* cuda() {
  static const Device* device = omni_open_cuda(0, &g_why);
  return device;
}

class Side {
 public:
  explicit Side(const Device* device) : arena_(device), device_(device) {}
  ops::Context& cx() { return cx_; }
  // The same random values on either side.
  Tensor random(Shape shape, uint32_t seed) { return there(random_on_host(shape, seed)); }
  // Such as bfloat16 holds (not every level of the host rounds x), as this type.
  Tensor random_bf16(Shape shape, uint32_t seed, DType type = DType::f32) {
    Tensor x = random_on_host(shape, seed), narrow = Tensor::zeros(DType::bf16, shape);
    for (int64_t i = 0; i < x.numel(); ++i) {
      const BFloat16 value = to_bfloat16(x.f32()[i]);
      static_cast<BFloat16*>(narrow.raw())[i] = value;
      x.f32()[i] = to_float(value);
    }
    return there(type == DType::bf16 ? narrow : x);
  }
  Tensor there(const Tensor& x) { return to_device(x, device_); }
  std::shared_ptr<const ops::PackedMatrix> weight(Shape shape, uint32_t seed,
                                                  ops::MatmulPrecision precision,
                                                  DType dtype = DType::f32) {
    Tensor w = to_device(Side(nullptr).random(shape, seed), nullptr);
    if (dtype == DType::bf16) {
      Tensor b = Tensor::zeros(DType::bf16, shape);
      for (int64_t i = 0; i < w.numel(); ++i)
        static_cast<BFloat16*>(b.raw())[i] = to_bfloat16(w.f32()[i]);
      w = b;
    }
    const Matrix matrix(w);
    return ops::pack_linear({&matrix, 1}, precision, device_);
  }
  bool is_host() const { return !device_; }
  std::vector<float> read(const Tensor& x) {
    std::vector<float> room;
    if (x.dtype() == DType::bf16) {
      if (x.device()) cx_.arena.queue().wait();
      const Tensor wide = to_f32(to_device(x, nullptr));
      return {wide.f32(), wide.f32() + wide.numel()};
    }
    const auto v = ops::to_host(cx_, x, room);
    return {v.begin(), v.end()};
  }

 private:
  static Tensor random_on_host(Shape shape, uint32_t seed) {
    std::mt19937 r(seed);
    std::normal_distribution<float> d;
    Tensor x = Tensor::zeros(DType::f32, shape);
    for (int64_t i = 0; i < x.numel(); ++i) x.f32()[i] = d(r);
    return x;
  }

  ThreadPool pool_{1};
  Arena arena_;
  const Device* device_;
  ops::Context cx_{pool_, arena_};
};

class Devices : public testing::Test {
 protected:
#if OMNI_CUDA_TOOLKIT
  void SetUp() override {
    if (!cuda()) GTEST_SKIP() << g_why->what();
  }
#else
  void SetUp() override {
    ASSERT_NE(cuda(), nullptr) << g_why->what();
    emu::reports().clear();
  }
  void TearDown() override { EXPECT_EQ(emu::reports(), std::vector<std::string>()); }
#endif

  // A GPU fuses multiplications and additions and approximates exponentials.
#if OMNI_CUDA_TOOLKIT
  static constexpr double kTolerance = 5e-5;
#else
  static constexpr double kTolerance = 1e-5;
#endif
  static constexpr double kBfloat16 = 1. / 128;  // twice what rounding changes
  void same_rounded(const std::string& what, const std::function<Tensor(Side&)>& op) {
    same(what, op, kBfloat16);
  }
  void same(const std::string& what, const std::function<Tensor(Side&)>& op,
            double tolerance = kTolerance) {
    Side host(nullptr), device(cuda());
    const auto a = host.read(op(host)), b = device.read(op(device));
    ASSERT_EQ(a.size(), b.size()) << what;
    double scale = 1e-30;
    for (float x : a) scale = std::max(scale, double(std::abs(x)));
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_LE(std::abs(double(a[i]) - b[i]) / scale, tolerance) << what << " at " << i;
  }
};

// b: a with factors and result rounded to bfloat16.
void expect_rounded(const std::vector<float>& a, const std::vector<float>& b, double tolerance,
                    const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  double worst = 0, scale = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_TRUE(std::isfinite(b[i])) << what << " at " << i;
    worst = std::max(worst, std::abs(double(a[i]) - b[i]));
    scale = std::max(scale, double(std::abs(a[i])));
  }
  EXPECT_LT(worst / scale, tolerance) << what;
}

TEST_F(Devices, Linear) {
  for (const auto precision : {ops::MatmulPrecision::f32, ops::MatmulPrecision::bf16})
    for (const DType stored : {DType::f32, DType::bf16})
      for (const int64_t n : {0, 1, 7, 8, 9, 63, 64, 65})
        for (const auto& [n_in, n_out] : std::vector<std::pair<int64_t, int64_t>>{
                 {1, 1}, {16, 64}, {37, 65}, {264, 9}, {40, 131}})
          same("linear " + std::to_string(n) + " " + std::to_string(n_in) + " " +
                   std::to_string(n_out),
               [&](Side& s) {
                 const Tensor x = precision == ops::MatmulPrecision::bf16
                                      ? s.random_bf16({n, n_in}, 1)
                                      : s.random({n, n_in}, 1);
                 return ops::linear(s.cx(), x, *s.weight({n_out, n_in}, 2, precision, stored),
                                    n_out % 2 ? s.random({n_out}, 3) : Tensor());
               });
}

// What a product becomes: added to what is there, or the middle of a SwiGLU layer; from bfloat16
// where the weights are.
TEST_F(Devices, LinearIntoOthers) {
  for (const auto precision : {ops::MatmulPrecision::f32, ops::MatmulPrecision::bf16})
    for (const int64_t n : {0, 1, 8, 9, 16, 17, 70})
      for (const auto& [n_in, n_out] :
           std::vector<std::pair<int64_t, int64_t>>{{16, 64}, {37, 66}, {264, 18}, {1096, 34}})
        for (const bool biased : {false, true}) {
          const std::string what = std::to_string(n) + " " + std::to_string(n_in) + " " +
                                   std::to_string(n_out) + (biased ? " biased" : "");
          const auto input = [&](Side& s) {
            const auto w = s.weight({n_out, n_in}, 2, precision, DType::bf16);
            return s.random_bf16({n, n_in}, 1, ops::operand_of(*w));
          };
          const auto bias = [&](Side& s) { return biased ? s.random({n_out}, 3) : Tensor(); };
          same("add_linear_ " + what, [&](Side& s) {
            Tensor y = s.random({n, n_out}, 4);
            ops::add_linear_(s.cx(), y, input(s),
                             *s.weight({n_out, n_in}, 2, precision, DType::bf16), bias(s));
            return y;
          });
          same("linear_silu_mul " + what, [&](Side& s) {
            return ops::linear_silu_mul(
                s.cx(), input(s), *s.weight({n_out, n_in}, 2, precision, DType::bf16), bias(s));
          });
          if (precision == ops::MatmulPrecision::bf16 && n_in % 8 == 0)
            same_rounded("linear_silu_mul, rounded " + what, [&](Side& s) {
              return ops::linear_silu_mul(s.cx(), input(s),
                                          *s.weight({n_out, n_in}, 2, precision, DType::bf16),
                                          bias(s), s.is_host() ? DType::f32 : DType::bf16);
            });
        }
}

// A quantized weight: what of it is multiplied as integers is exact for rows of bfloat16; what has
// to be bfloat16, for its layout or for many rows, is rounded.
std::shared_ptr<const ops::PackedMatrix> quantized_weight(Side& s, std::span<const Matrix> parts) {
  if (!s.is_host()) return ops::pack_linear(parts, ops::MatmulPrecision::bf16, cuda());
  std::vector<Matrix> dense;
  for (const Matrix& w : parts) dense.emplace_back(dequantize(w, 0, w.n_out));
  return ops::pack_linear(dense, ops::MatmulPrecision::f32);
}
constexpr auto kInt4 = WeightFormat::int4, kInt8 = WeightFormat::int8;

TEST_F(Devices, QuantizedLinear) {
  struct Case {
    QuantizedCase weight;
    bool exact;
    std::vector<int64_t> rows = {1, 9};
  };
  const std::vector<int64_t> all{0, 1, 7, 8, 9, 16, 17, 64, 65};
  for (const Case& c : std::vector<Case>{
           {{kInt4, 40, 256, 64, true, false}, true, all},
           {{kInt8, 41, 200, 200, false, false}, true, all},
           {{kInt4, 24, 96, 32, true, false}, true},
           {{kInt4, 16, 384, 128, false, false}, true},
           {{kInt4, 17, 256, 256, true, false}, true},
           {{kInt4, 9, 136, 136, true, false}, true},  // a group, and no whole steps
           {{kInt8, 8, 160, 32, false, false}, true},
           {{kInt8, 8, 192, 64, false, false}, true},
           {{kInt4, 24, 1216, 64, true, false}, true},       // one round of sixteen warps
           {{kInt4, 40, 2304, 64, true, false}, true},       // two
           {{kInt8, 24, 4224, 4224, false, false}, true},    // five
           {{kInt4, 8500, 64, 32, true, false}, true, {1}},  // more tiles than blocks
           {{kInt8, 4300, 640, 640, false, false}, true, {1}},
           {{kInt4, 2200, 1152, 128, true, false}, true, {9}},
           {{kInt4, 8, 96, 48, true, false}, false},          // groups of no whole chunks
           {{kInt4, 8, 36, 36, true, false}, false},          // no eights of inputs
           {{kInt4, 8, 128, 64, true, true}, true, {1, 70}},  // in another order
       })
    for (const int64_t n : c.rows)
      for (const bool biased : {false, true}) {
        const Matrix w = random_quantized(c.weight, 2);
        same(
            "linear of " + std::string(name_of(w.format)) + " " + std::to_string(n) + " " +
                std::to_string(w.n_in) + " " + std::to_string(w.n_out),
            [&](Side& s) {
              return ops::linear(s.cx(), s.random_bf16({n, w.n_in}, 1),
                                 *quantized_weight(s, {&w, 1}),
                                 biased ? s.random({w.n_out}, 3) : Tensor());
            },
            c.exact && n <= 64 ? kTolerance : kBfloat16);
      }
}

// Scales that float16 does not hold, but bfloat16 does; or neither, which four bits have no room
// for.
TEST_F(Devices, QuantizedScales) {
  for (const float unit : {std::ldexp(1.f, -30), 0.1f}) {
    Matrix w = random_quantized({kInt4, 24, 192, 64, true, false}, 2);
    for (int64_t i = 0; i < w.scales.numel(); ++i) w.scales.f32()[i] = float(1 + i % 200) * unit;
    same("scales of " + std::to_string(unit), [&](Side& s) {
      return ops::linear(s.cx(), s.random_bf16({3, 192}, 1), *quantized_weight(s, {&w, 1}),
                         Tensor());
    });
  }
}

// q, k and v have their own groups, zeros and numbers of bits; where they want x in orders of their
// own they are rounded.
TEST_F(Devices, QuantizedPartsAreOneWeight) {
  const Matrix two[] = {random_quantized({kInt4, 16, 256, 64, true, true}, 2),
                        random_quantized({kInt4, 16, 256, 64, true, true}, 3)};
  same_rounded("linear of two orders", [&](Side& s) {
    return ops::linear(s.cx(), s.random_bf16({2, 256}, 1), *quantized_weight(s, two), Tensor());
  });
  for (const auto last : {kInt4, kInt8}) {
    const Matrix parts[] = {random_quantized({kInt4, 21, 256, 64, true, false}, 2),
                            random_quantized({kInt4, 7, 256, 128, false, false}, 3),
                            random_quantized({last, 12, 256, 256, false, false}, 4)};
    for (const int64_t n : {1, 70})
      same(
          "linear of three parts",
          [&](Side& s) {
            return ops::linear(s.cx(), s.random_bf16({n, 256}, 1), *quantized_weight(s, parts),
                               s.random({40}, 5));
          },
          n <= 64 ? kTolerance : kBfloat16);
  }
}

TEST_F(Devices, QuantizedLinearIntoOthers) {
  struct Case {
    WeightFormat format;
    int64_t n_out;
    bool ordered;  // otherwise: columns in another order
  };
  for (const auto& [format, n_out, ordered] :
       std::vector<Case>{{kInt4, 64, true},
                         {kInt8, 64, true},
                         {kInt4, 64, false},
                         {kInt4, 40, true}})  // of which a half is no whole blocks
    for (const int64_t n : {1, 16, 33, 70})
      for (const bool biased : {false, true}) {
        const Matrix m = random_quantized({format, n_out, 192, 64, format == kInt4, !ordered}, 2);
        const auto input = [&](Side& s, const ops::PackedMatrix& w) {
          return s.random_bf16({n, 192}, 1, ops::operand_of(w));
        };
        const auto bias = [&](Side& s) { return biased ? s.random({n_out}, 3) : Tensor(); };
        const std::string what = std::to_string(n) + " " + std::to_string(n_out);
        same(
            "add_linear_ " + what,
            [&](Side& s) {
              const auto w = quantized_weight(s, {&m, 1});
              Tensor y = s.random({n, n_out}, 4);
              ops::add_linear_(s.cx(), y, input(s, *w), *w, bias(s));
              return y;
            },
            n <= 64 ? kTolerance : kBfloat16);
        same_rounded("linear_silu_mul " + what, [&](Side& s) {
          const auto w = quantized_weight(s, {&m, 1});
          return ops::linear_silu_mul(s.cx(), input(s, *w), *w, bias(s),
                                      s.is_host() ? DType::f32 : DType::bf16);
        });
      }
}

// Of few rows none depends on the others, nor on where it stands.
TEST_F(Devices, FewRowsAreAlone) {
  Side device(cuda());
  const Matrix int4 = random_quantized({kInt4, 40, 192, 64, true, false}, 2),
               int8 = random_quantized({kInt8, 40, 192, 192, false, false}, 2);
  const auto bf16 = device.weight({40, 192}, 2, ops::MatmulPrecision::bf16, DType::bf16);
  const Tensor x = device.random({40, 192}, 1);
  const auto alone = [&](const ops::PackedMatrix& w, int64_t n) {
    const auto all = device.read(ops::linear(device.cx(), x.rows(0, n), w, Tensor()));
    for (int64_t i = 0; i < n; ++i) {
      const auto one = device.read(ops::linear(device.cx(), x.rows(i, i + 1), w, Tensor()));
      for (size_t o = 0; o < 40; ++o) ASSERT_EQ(one[o], all[size_t(i) * 40 + o]) << i << " " << o;
    }
  };
  alone(*bf16, 16);
  alone(*quantized_weight(device, {&int4, 1}), 40);
  alone(*quantized_weight(device, {&int8, 1}), 40);
}

// The same through cuBLASLt, where it is asked for (OMNI_CUBLASLT=1): the test above, and that it
// is really asked.
TEST_F(Devices, ProductsThroughCublasLt) {
  if (!ops::cuda::Products::wanted())
    GTEST_SKIP() << "OMNI_CUBLASLT=1 and libcublasLt.so.13 are wanted";
  Side device(cuda());
  auto& stream = static_cast<ops::cuda::Stream&>(device.cx().arena.queue());
  ASSERT_NE(stream.products(), nullptr);
  const Tensor x = device.random({70, 32}, 1), w = device.random({48, 32}, 2),
               bias = device.random({48}, 3);
  Tensor y = device.cx().arena.f32({70, 48});
  ASSERT_TRUE(stream.products()->run(
      {70, 32, 48, false, false, true, ops::cuda::Products::Into::y}, x.raw(), w.raw(),
      static_cast<const float*>(bias.raw()), y.raw(),
      device.cx().arena.allocate(ops::cuda::Products::kWorkspace), stream.get()));
  same("its own kernels", [&](Side& s) {
    return ops::linear(s.cx(), s.random({70, 32}, 1),
                       *s.weight({48, 32}, 2, ops::MatmulPrecision::f32), s.random({48}, 3));
  });
  same("rows that are not aligned", [&](Side& s) {
    return ops::linear(s.cx(), s.random({30, 6}, 1).rows(1, 30),
                       *s.weight({4, 6}, 2, ops::MatmulPrecision::f32), Tensor());
  });
  Side host(nullptr);
  const auto a = host.read(ops::linear(host.cx(), host.random({70, 32}, 1),
                                       *host.weight({48, 32}, 2, ops::MatmulPrecision::f32),
                                       host.random({48}, 3))),
             b = device.read(y);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 30 * kTolerance) << i;
}

TEST_F(Devices, NormsAndActivations) {
  for (const int64_t n : {0, 1, 5})
    for (const int64_t width : {2, 256, 258}) {
      const std::string what = std::to_string(n) + " × " + std::to_string(width);
      same("rms_norm " + what, [&](Side& s) {
        return ops::rms_norm(s.cx(), s.random({n, width}, 1), s.random({width}, 2), 1e-6f);
      });
      same("rms_norm_ of heads " + what, [&](Side& s) {
        Tensor x = s.random({n, 3 * width}, 1);
        ops::rms_norm_(s.cx(), {static_cast<float*>(x.raw()) + width, 3 * width, 2, int(width)}, n,
                       s.random({width}, 2), 1e-6f);
        return x;
      });
      same("layer_norm " + what, [&](Side& s) {
        return ops::layer_norm(s.cx(), s.random({n, width}, 1), s.random({width}, 2),
                               s.random({width}, 3), 1e-5f);
      });
      same("silu_mul " + what, [&](Side& s) {
        return ops::silu_mul(s.cx(), s.random({n, width}, 1));
      });
      const auto rounded = [&](const std::string& name,
                               const std::function<Tensor(Side&, DType)>& op) {
        same_rounded(name + ", rounded " + what,
                     [&](Side& s) { return op(s, s.is_host() ? DType::f32 : DType::bf16); });
      };
      rounded("rms_norm", [&](Side& s, DType out) {
        return ops::rms_norm(s.cx(), s.random({n, width}, 1), s.random({width}, 2), 1e-6f, out);
      });
      rounded("layer_norm", [&](Side& s, DType out) {
        return ops::layer_norm(s.cx(), s.random({n, width}, 1), s.random({width}, 2),
                               s.random({width}, 3), 1e-5f, out);
      });
      rounded("silu_mul", [&](Side& s, DType out) {
        return ops::silu_mul(s.cx(), s.random({n, width}, 1), out);
      });
      for (const auto activation : {ops::gelu_, ops::gelu_tanh_, ops::quick_gelu_})
        rounded("an activation", [&](Side& s, DType out) {
          Tensor x = s.random({n, width}, 1);
          activation(s.cx(), x, out);
          return x;
        });
      const auto in_place = [&](const char* name, const std::function<void(Side&, Tensor&)>& op) {
        same(name + (" " + what), [&](Side& s) {
          Tensor x = s.random({n, width}, 1);
          op(s, x);
          return x;
        });
      };
      in_place("gelu", [](Side& s, Tensor& x) { ops::gelu_(s.cx(), x); });
      in_place("gelu_tanh", [](Side& s, Tensor& x) { ops::gelu_tanh_(s.cx(), x); });
      in_place("quick_gelu", [](Side& s, Tensor& x) { ops::quick_gelu_(s.cx(), x); });
      in_place("silu", [](Side& s, Tensor& x) { ops::silu_(s.cx(), x); });
      in_place("div", [](Side& s, Tensor& x) { ops::div_(s.cx(), x, 3); });
      in_place("add", [&](Side& s, Tensor& x) { ops::add_(s.cx(), x, s.random({n, width}, 4)); });
      in_place("weighted_sum", [&](Side& s, Tensor& x) {
        const ops::Term terms[] = {{x, 1.f}, {s.random({n, width}, 6), .5f}, {x, -3.f}};
        ops::weighted_sum(s.cx(), x, terms);
        ops::weighted_sum(s.cx(), x, std::span(terms).last(2));
      });
      for (const bool of_x : {true, false})
        in_place("add_scaled_norm", [&](Side& s, Tensor& x) {
          const Tensor scale = s.random({width}, 5);
          Tensor normed = s.cx().arena.f32(x.shape());
          ops::add_scaled_norm_(s.cx(), x, s.random({n, width}, 4),
                                static_cast<const float*>(scale.raw()), s.random({width}, 6),
                                s.random({width}, 7), 1e-5f, normed);
          if (!of_x) x = normed;
        });
      in_place("add_scaled", [&](Side& s, Tensor& x) {
        const Tensor scale = s.random({width}, 5);
        ops::add_scaled_(s.cx(), x, s.random({n, width}, 4),
                         static_cast<const float*>(scale.raw()));
      });
    }
}

TEST_F(Devices, Rows) {
  for (const int64_t width : {1, 255, 256, 257}) {
    const std::vector<int64_t> rows{4, 0, 4, 2};
    const std::vector<int32_t> ids(rows.begin(), rows.end());
    same("index_select", [&](Side& s) {
      return ops::index_select(s.cx(), s.random({5, width}, 1), rows);
    });
    same("avg_pool_pairs", [&](Side& s) {
      return ops::avg_pool_pairs(s.cx(), s.random({7, width}, 1));
    });
    same("clone", [&](Side& s) { return ops::clone(s.cx(), s.random({3, width}, 1)); });
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
      same("embedding", [&](Side& s) {
        const Tensor values = Side(nullptr).random({5, width}, 1);
        Tensor table = Tensor::zeros(dtype, {5, width});
        for (int64_t i = 0; i < values.numel(); ++i) {
          if (dtype == DType::f32)
            table.f32()[i] = values.f32()[i];
          else if (dtype == DType::bf16)
            static_cast<BFloat16*>(table.raw())[i] = to_bfloat16(values.f32()[i]);
          else
            static_cast<uint16_t*>(table.raw())[i] = uint16_t(0x3c00 + i % 1000);
        }
        return ops::embedding(s.cx(), ids, s.there(table));
      });
  }
  for (const int64_t n : {0, 1, 9})
    same("copy_rows", [&](Side& s) {
      const Tensor from = s.random({10, 24}, 1);
      Tensor to = s.random({12, 40}, 2);
      const ops::Heads a{static_cast<float*>(const_cast<void*>(from.raw())) + 4, 24, 2, 8},
          b{static_cast<float*>(to.raw()) + 7, 40, 2, 8};
      ops::copy_rows(s.cx(), b.from(2), a.from(1), n);
      return to;
    });
}

TEST_F(Devices, Convolutions) {
  for (const int64_t n : {1, 2, 40, 67}) {
    for (const int stride : {1, 2})
      same("conv1d stride", [&](Side& s) {
        return ops::conv1d(s.cx(), s.random({n, 5}, 1),
                           *s.weight({7, 15}, 2, ops::MatmulPrecision::f32), s.random({7}, 3),
                           {.kernel = 3, .stride = stride});
      });
    for (const int dilation : {1, 3})
      for (const auto padding : {ops::Padding::zeros, ops::Padding::reflect})
        if (padding == ops::Padding::zeros || n > 2 * dilation)
          same("conv1d", [&](Side& s) {
            return ops::conv1d(s.cx(), s.random({n, 5}, 1),
                               *s.weight({6, 25}, 2, ops::MatmulPrecision::f32), s.random({6}, 3),
                               {.kernel = 5, .dilation = dilation, .padding = padding});
          });
    for (const auto& [kernel, stride, padding] :
         std::vector<std::array<int, 3>>{{4, 2, 1}, {6, 3, 0}, {5, 1, 2}})
      same("conv_transpose1d", [&, kernel = kernel, stride = stride, padding = padding](Side& s) {
        return ops::conv_transpose1d(s.cx(), s.random({n, 5}, 1),
                                     *s.weight({kernel * 6, 5}, 2, ops::MatmulPrecision::f32),
                                     s.random({6}, 3), kernel, stride, padding);
      });
    for (const int64_t c : {1, 32, 33})
      same("snake_beta", [&](Side& s) {
        const Tensor filter = s.random({12}, 4);
        return ops::snake_beta(s.cx(), s.random({n, c}, 1), s.random({c}, 2), s.random({c}, 3),
                               static_cast<const float*>(filter.raw()));
      });
  }
}

// The same through cuDNN, where it is asked for (OMNI_CUDNN=1): exactly where the weights are
// float32, with TF32 where they are bfloat16.
TEST_F(Devices, ConvolutionsThroughCudnn) {
  if (!ops::cuda::Convolutions::wanted())
    GTEST_SKIP() << "OMNI_CUDNN=1 and libcudnn.so.9 are wanted";
  Side device(cuda());
  ops::cuda::Convolutions* convolutions =
      static_cast<ops::cuda::Stream&>(device.cx().arena.queue()).convolutions();
  ASSERT_NE(convolutions, nullptr);
  const ops::cuda::ConvolutionShape shape{40, 40, 16, 24, 5, 1, 3, 6, false};
  EXPECT_NE(convolutions->plan(shape), nullptr);
  EXPECT_EQ(convolutions->plan(shape), convolutions->plan(shape));
  for (const int dilation : {1, 3})
    for (const auto precision : {ops::MatmulPrecision::f32, ops::MatmulPrecision::bf16}) {
      const auto convolved = [&](Side& s) {
        return s.read(ops::conv1d(s.cx(), s.random({40, 16}, 1), *s.weight({24, 80}, 2, precision),
                                  s.random({24}, 3), {.kernel = 5, .dilation = dilation}));
      };
      Side host(nullptr);
      const auto a = convolved(host), b = convolved(device);
      double worst = 0, scale = 0;
      for (size_t i = 0; i < a.size(); ++i)
        worst = std::max(worst, std::abs(double(a[i]) - b[i])),
        scale = std::max(scale, double(std::abs(a[i])));
      EXPECT_LT(worst / scale, precision == ops::MatmulPrecision::f32 ? kTolerance : 8e-3)
          << "dilation " << dilation;
    }
}

TEST_F(Devices, Attention) {
  const auto heads = [](const Tensor& x, int64_t offset, int n, int head_dim) {
    return ops::Heads{static_cast<float*>(const_cast<void*>(x.raw())) + offset, x.dim(1), n,
                      head_dim};
  };
  for (const int head_dim : {4, 32, 80, 128}) {
    for (const std::vector<int64_t>& spans :
         {std::vector<int64_t>{0, 1}, {0, 15, 31, 32}, {0, 16, 33, 100}}) {
      const int64_t n = spans.back(), row = int64_t{3} * 2 * head_dim;
      same("attention in spans", [&](Side& s) {
        const Tensor qkv = s.random({n, row}, 1);
        return ops::attention(s.cx(), heads(qkv, 0, 2, head_dim), heads(qkv, row / 3, 2, head_dim),
                              heads(qkv, 2 * row / 3, 2, head_dim),
                              std::span<const int64_t>(spans));
      });
    }
    const std::vector<ops::AttentionRange> ranges{{0, 3, 5, 40}, {3, 20, 0, 33}};
    same("attention over ranges", [&](Side& s) {
      const int64_t half = int64_t{2} * head_dim;
      const Tensor q = s.random({20, 2 * half + 3}, 1), kv = s.random({45, 2 * half}, 2);
      return ops::attention(s.cx(), heads(q, 1, 4, head_dim), heads(kv, 0, 2, head_dim),
                            heads(kv, half, 2, head_dim),
                            std::span<const ops::AttentionRange>(ranges));
    });
    for (const int64_t keys : {1, 40, 128, 300})
      same("attention of one over " + std::to_string(keys), [&](Side& s) {
        const ops::AttentionRange one{0, 1, 5, keys};
        const int64_t half = int64_t{2} * head_dim;
        const Tensor q = s.random({1, 2 * half}, 1), kv = s.random({5 + keys, 2 * half}, 2);
        return ops::attention(s.cx(), heads(q, 0, 4, head_dim), heads(kv, 0, 2, head_dim),
                              heads(kv, half, 2, head_dim), std::span(&one, 1));
      });
    for (const int64_t keys : {1, 127, 128, 300})
      same("attention_weights", [&](Side& s) {
        const Tensor q = s.random({3, head_dim}, 1), k = s.random({keys, int64_t{2} * head_dim}, 2);
        return ops::attention_weights(s.cx(), heads(q, 0, 1, head_dim), 3,
                                      heads(k, head_dim, 1, head_dim), keys);
      });
    same("rotary", [&](Side& s) {
      Tensor x = s.random({9, int64_t{3} * head_dim}, 1);
      const Tensor angles = s.random({2, 9, head_dim / 2}, 2);
      const auto* cos = static_cast<const float*>(angles.raw());
      ops::rotary_(s.cx(), heads(x, head_dim, 2, head_dim), 9, cos, cos + 9 * head_dim / 2);
      return x;
    });
  }
}

TEST_F(Devices, AttentionOverPages) {
  for (const PagedCase& c : paged_cases())
    same(c.str(), [&](Side& s) { return PagedMemory(s.cx(), c).run(); });
}

TEST_F(Devices, OtherSequencesInPagesChangeNoBit) {
  for (const PagedCase& c : paged_cases()) {
    if (c.sequences.size() == 1 || c.layout.dtype == DType::bf16) continue;
    Side side(cuda());
    PagedMemory memory(side.cx(), c);
    const std::vector<float> together = side.read(memory.run());
    size_t at = 0;
    for (const PagedCase::Sequence& s : c.sequences) {
      PagedCase one = c;
      one.sequences = {s};
      PagedMemory alone(side.cx(), one);
      for (const float x : side.read(alone.run())) ASSERT_EQ(x, together[at++]) << one.str();
    }
    ASSERT_EQ(at, together.size());
  }
}

// On tensor cores where heads suit them: windows, whole pictures, more keys than queries, ranges
// that begin anywhere, rows that are not aligned.
TEST_F(Devices, RoundedAttention) {
  struct Case {
    int n_heads, n_kv_heads, head_dim;
    int64_t padding;  // of a row
    std::vector<ops::AttentionRange> ranges;
  };
  const std::vector<ops::AttentionRange> windows{
      {0, 64, 0, 64}, {64, 128, 64, 64}, {128, 140, 128, 12}},
      whole{{0, 150, 0, 150}}, uneven{{0, 3, 5, 140}, {3, 120, 0, 33}, {120, 121, 149, 1}},
      one{{0, 1, 3, 140}};
  for (const Case& c : {Case{2, 2, 80, 0, windows},
                        {1, 1, 64, 0, whole},
                        {4, 2, 72, 0, uneven},
                        {2, 1, 128, 0, whole},
                        {1, 1, 96, 0, windows},
                        {2, 1, 40, 3, uneven},
                        {2, 2, 128, 1, windows},
                        {2, 1, 36, 0, uneven},
                        {2, 2, 80, 0, one},
                        {1, 1, 80, 0, whole},
                        {1, 1, 96, 0, whole}}) {
    const int64_t n = c.ranges.back().end, q_row = int64_t{c.n_heads} * c.head_dim,
                  kv_row = int64_t{c.n_kv_heads} * c.head_dim;
    const auto attend = [&](Side& s, DType out) {
      const Tensor q = s.random({n, q_row + c.padding}, 1),
                   kv = s.random({150, 2 * kv_row + c.padding}, 2);
      const auto at = [](const Tensor& x) {
        return static_cast<float*>(const_cast<void*>(x.raw()));
      };
      const int64_t stride = 2 * kv_row + c.padding;
      return ops::attention(s.cx(), {at(q), q_row + c.padding, c.n_heads, c.head_dim},
                            {at(kv), stride, c.n_kv_heads, c.head_dim},
                            {at(kv) + kv_row, stride, c.n_kv_heads, c.head_dim},
                            std::span<const ops::AttentionRange>(c.ranges), out);
    };
    Side host(nullptr), device(cuda());
    expect_rounded(host.read(attend(host, DType::f32)), device.read(attend(device, DType::bf16)),
                   1e-2, std::to_string(c.head_dim) + " of " + std::to_string(c.ranges.size()));
  }
}

// On tensor cores where pages hold bfloat16 and heads suit them, several tiles and pages long;
// rounded results of the others.
TEST_F(Devices, RoundedAttentionOverPages) {
  std::vector<PagedCase> cases = paged_cases();
  for (const auto& [n_heads, n_kv_heads, head_dim] :
       {std::tuple{2, 1, 64}, {3, 3, 72}, {2, 2, 80}, {2, 1, 96}, {4, 2, 128}}) {
    PagedCase c;
    c.layout = {DType::bf16, 2, n_kv_heads, head_dim};
    c.n_heads = n_heads, c.n_lanes = 2;
    const auto tokens = [](int n) {
      std::vector<uint8_t> lane_of;
      for (int i = 0; i < n; ++i) lane_of.push_back(uint8_t(i % 7 == 3));
      return lane_of;
    };
    c.sequences = {{{{0, 0}, {0, 0}}, tokens(130), 1},
                   {{{70, 193}, {0, 0}}, tokens(33), 2},
                   {{{0, 0}, {5, 64}}, tokens(2), 3}};
    cases.push_back(c);
    c.sharpness = 8;  // the highest score grows from page to page
    cases.push_back(c);
  }
  for (const PagedCase& c : cases) {
    if (c.layout.dtype == DType::f32 && c.layout.head_dim != 16) continue;
    Side host(nullptr), device(cuda());
    PagedMemory on_host(host.cx(), c), on_device(device.cx(), c);
    expect_rounded(host.read(on_host.run()), device.read(on_device.run(DType::bf16)),
                   1e-2 * c.sharpness, c.str());
  }
}

// A step of three sequences, recorded once and run as they grow, over pages and over stretches:
// what the batch uploads is all that differs.
TEST_F(Devices, RecordedStepsReadTheirBatch) {
  PagedCase c;
  c.n_lanes = 2, c.n_heads = 4;
  c.layout = {DType::f32, 1, 2, 16};
  c.layer = 0, c.one_variant = true;
  const auto at = [&](int more) {
    c.sequences = {{{{0, 130 + more}, {0, 5}}, {0}, 1},
                   {{{0, 0}, {0, 62 + more}}, {1}, 2},
                   {{{3, 40}, {70, 120 + more}}, {1}, 3}};
    return c;
  };
  Side host(nullptr), device(cuda());
  auto& queue = device.cx().arena.queue();
  const Tensor result = device.cx().arena.lasting(DType::f32, {3, 64}),
               queries = device.cx().arena.lasting(DType::f32, {3, c.q_stride()}),
               kv = device.cx().arena.lasting(DType::f32, {3, 2 * c.layout.row()});
  ops::PagedBatch batch(2);
  ops::PagedBatch::Shape recorded{};
  std::unique_ptr<Device::Recording> recording;
  int n_recorded = 0;
  for (int more = 0; more < 6; ++more) {
    Arena::Scope scope(device.cx().arena);
    PagedMemory on_host(host.cx(), at(more)), memory(device.cx(), at(more));
    memory.fill(batch, queries, kv);
    batch.upload(device.cx());
    const auto work = [&] {
      Arena::Scope inner(device.cx().arena);
      const ops::Heads k{static_cast<float*>(const_cast<void*>(kv.raw())), 2 * c.layout.row(), 2,
                         16},
          q{static_cast<float*>(const_cast<void*>(queries.raw())), c.q_stride(), 4, 16};
      ops::append_to_pages(device.cx(), batch, c.layout, 0, k,
                           {k.data + c.layout.row(), k.stride, 2, 16});
      const ops::Heads variants[] = {q, q};
      Tensor y = result;
      ops::copy_(device.cx(), y, ops::paged_attention(device.cx(), variants, batch, c.layout, 0));
    };
    if (batch.shape() != recorded) {
      work();  // the arena grows
      recorded = batch.shape();
      recording.reset();
    } else if (!recording) {
      recording = queue.record(work);
      ++n_recorded;
    }
    if (recording) queue.run(*recording);
    const auto a = host.read(on_host.run()), b = device.read(result);
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], kTolerance * 4) << more;
  }
  EXPECT_EQ(n_recorded, 1);
}

// Rows of logits, how a token is drawn from each, and the host's opinion of it.
class Draws {
 public:
  explicit Draws(int vocabulary) : vocabulary_(vocabulary) {}

  struct How {
    int top_k;
    float top_p = 1, penalty = 1, draw = 0;
    std::vector<int32_t> seen = {};  // each once
    std::vector<uint32_t> allowed = {};
  };
  void add(std::span<const float> logits, const How& how) {
    logits_.insert(logits_.end(), logits.begin(), logits.end());
    how_.push_back(how);
    ops::Sampling s{.row = int64_t(samplings_.size()),
                    .top_k = how.top_k,
                    .temperature = kTemperature,
                    .top_p = how.top_p,
                    .penalty = how.penalty,
                    .draw = how.draw,
                    .allowed = how.allowed,
                    .seen = {}};
    if (how.penalty != 1) s.seen.resize(size_t(vocabulary_ + 31) / 32);
    for (const int32_t id : how.seen)
      if (!s.seen.empty()) s.seen[size_t(id) / 32] |= 1u << (id % 32);
    samplings_.push_back(std::move(s));
  }
  std::vector<ops::Sampling>& samplings() { return samplings_; }
  Tensor logits(Side& side) {
    return side.there(Tensor::view(logits_.data(), DType::f32,
                                   {int64_t(samplings_.size()), int64_t(vocabulary_)}));
  }

  void expect(size_t i, const ops::SampledToken& token) const {
    const How& how = how_[i];
    const auto row = std::span(logits_).subspan(i * size_t(vocabulary_), size_t(vocabulary_));
    std::vector<float> left(row.begin(), row.end());
    double whole = 0;
    for (const float x : left) whole += std::exp(double(x));
    if (!how.allowed.empty())
      for (int id = 0; id < vocabulary_; ++id)
        if (!(how.allowed[size_t(id) / 32] >> (id % 32) & 1)) left[size_t(id)] = -INFINITY;
    const auto choices = Sampler::distribution(left, how.seen,
                                               {.temperature = kTemperature,
                                                .top_p = how.top_p,
                                                .top_k = how.top_k,
                                                .repetition_penalty = how.penalty});
    double rest = how.draw;
    size_t at = 0;
    while (at + 1 < choices.size() && (rest -= choices[at].first) >= 0) ++at;
    // Sums of floats: a draw at the edge of a token may be its neighbour's.
    const bool edge = std::abs(rest) < 1e-5 || std::abs(rest + choices[at].first) < 1e-5;
    if (!edge) {
      EXPECT_EQ(token.id, choices[at].second)
          << vocabulary_ << " tokens, top_k " << how.top_k << ", top_p " << how.top_p << ", draw "
          << how.draw << ", penalty " << how.penalty << ", masked " << !how.allowed.empty();
    }
    ASSERT_TRUE(token.id >= 0 && token.id < vocabulary_) << token.id;
    EXPECT_NEAR(token.probability, std::exp(double(row[size_t(token.id)])) / whole, 1e-5);
  }

 private:
  static constexpr float kTemperature = 0.7f;
  const int vocabulary_;
  std::vector<float> logits_;
  std::vector<How> how_;
  std::vector<ops::Sampling> samplings_;
};

// The tokens that the host's sampler draws, too: with ties, penalties and what is not allowed, for
// vocabularies below and above a warp, a block, and what is sorted; all of a vocabulary at once,
// and each as if it were alone.
TEST_F(Devices, SamplesAsTheHost) {
  Side device(cuda());
  std::mt19937 random(3);
  size_t n_drawn = 0;
  for (const int vocabulary : {1, 31, 1000, 2500}) {
    Draws draws(vocabulary);
    for (const int top_k : {1, 2, 7, 100, 1024})
      for (const float top_p : {0.1f, 0.9f, 1.f}) {
        std::vector<float> logits;
        // many are equal, and all are negative
        for (int i = 0; i < vocabulary; ++i)
          logits.push_back(float(int(random() % 90)) / 10 - (top_k % 2 ? 4.f : 9.f));
        Draws::How how{.top_k = top_k, .top_p = top_p};
        for (int32_t id = 0; id < vocabulary; id += 3) how.seen.push_back(id);
        if (random() % 2) how.penalty = 1.3f;
        if (random() % 2)
          for (int i = 0; i < vocabulary; i += 32) how.allowed.push_back(uint32_t(random()) | 1);
        for (const float draw : {0.f, 0.31f, 0.77f, 0.9999f}) {
          how.draw = draw;
          draws.add(logits, how);
        }
      }
    const Tensor logits = draws.logits(device);
    const auto tokens = ops::sample(device.cx(), logits, draws.samplings());
    ASSERT_EQ(tokens.size(), draws.samplings().size());
    for (size_t i = 0; i < tokens.size(); ++i) draws.expect(i, tokens[i]);
    for (size_t i = 0; i < tokens.size(); i += 7) {
      const auto alone = ops::sample(device.cx(), logits, {&draws.samplings()[i], 1});
      EXPECT_EQ(alone[0].id, tokens[i].id);
      EXPECT_EQ(alone[0].probability, tokens[i].probability);
    }
    n_drawn += tokens.size();
  }
  EXPECT_EQ(n_drawn, 240u);
}

// Vocabularies of several blocks, in which more groups than are wanted have something to say; where
// all likely ones are in one place; where nothing is likelier than anything else; where a mask
// leaves one, few or a stretch; where whole parts can never come.
TEST_F(Devices, SamplesFromMany) {
  Side device(cuda());
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  for (const int vocabulary : {4097, 9000}) {
    Draws draws(vocabulary);
    for (const char* kind : {"normal", "rising", "equal", "one", "few", "stretch", "holes"})
      for (const int top_k : {1, 50, 1024}) {
        const std::string is = kind;
        std::vector<float> logits;
        for (int i = 0; i < vocabulary; ++i)
          logits.push_back(is == "holes" && i / 512 % 2 ? -INFINITY
                           : is == "equal"              ? 1.5f
                           : is == "rising"             ? float(i) / 500 - 9
                                                        : normal(random));
        Draws::How how{.top_k = top_k,
                       .top_p = random() % 2 ? 1 : 0.83f,
                       .penalty = random() % 2 ? 1 : 1.2f,
                       .draw = float(random() % 1000) / 1000};
        for (int i = 0; i < 60; ++i) how.seen.push_back(int32_t(i * 13 + random() % 13));
        const auto allow = [&](int id) { how.allowed[size_t(id) / 32] |= 1u << (id % 32); };
        if (is == "one" || is == "few" || is == "stretch")
          how.allowed.resize(size_t(vocabulary + 31) / 32);
        if (is == "one") allow(vocabulary - 1);
        for (int i = 0; is == "few" && i < 20; ++i) allow(int(random() % unsigned(vocabulary)));
        for (int i = 1000; is == "stretch" && i < 3999; ++i) allow(i);
        draws.add(logits, how);
      }
    const auto tokens = ops::sample(device.cx(), draws.logits(device), draws.samplings());
    for (size_t i = 0; i < tokens.size(); ++i) draws.expect(i, tokens[i]);
  }
}

// What is no number gives a probability that is none, whether or not it may be drawn; the other
// sequences have their tokens.
TEST_F(Devices, WhatIsNoNumberIsOneSequencesError) {
  constexpr int kVocabulary = 3000;
  Side device(cuda());
  for (const float bad : {NAN, -NAN, INFINITY})
    for (const int top_k : {1, 50}) {
      Draws draws(kVocabulary);
      std::vector<float> logits(kVocabulary, 0.5f);
      logits[7] = 2;
      std::vector<uint32_t> allowed(size_t(kVocabulary + 31) / 32, ~0u);
      allowed[2000 / 32] = 0;
      draws.add(logits, {.top_k = top_k});
      logits[2000] = bad;
      draws.add(logits, {.top_k = top_k});
      draws.add(logits, {.top_k = top_k, .allowed = allowed});
      draws.add(std::vector<float>(kVocabulary, -INFINITY), {.top_k = top_k});
      const auto tokens = ops::sample(device.cx(), draws.logits(device), draws.samplings());
      draws.expect(0, tokens[0]);
      for (size_t i = 1; i < tokens.size(); ++i)
        EXPECT_FALSE(std::isfinite(tokens[i].probability)) << bad << ", top_k " << top_k;
    }
}

TEST_F(Devices, SamplesOfWhatCannotBeAreRefused) {
  Side device(cuda());
  const Tensor logits = device.random({2, 40}, 1);
  for (const ops::Sampling& wrong :
       {ops::Sampling{.row = 2}, ops::Sampling{.row = -1}, ops::Sampling{.top_k = 0},
        ops::Sampling{.top_k = 1025}, ops::Sampling{.temperature = 0},
        ops::Sampling{.allowed = {1}}, ops::Sampling{.seen = {1}}})
    EXPECT_THROW(ops::sample(device.cx(), logits, {&wrong, 1}), Error);
  EXPECT_TRUE(ops::sample(device.cx(), logits, {}).empty());
}

// A decoder of one layer, token by token in pages that grow, for one sequence and for two: what is
// recorded and run again is what the host computes.
TEST_F(Devices, StepsAreTheSameForEveryRow) {
  constexpr int kHeads = 2, kHeadDim = 12, kWidth = kHeads * kHeadDim;
  const ops::KvLayout layout{DType::f32, 1, kHeads, kHeadDim};
  Side host(nullptr), device(cuda());
  std::vector<std::vector<float>> results[2];
  int side = 0;
  for (Side* s : {&host, &device}) {
    auto& cx = s->cx();
    KvPages pages(layout);
    PagedState one(pages, 1), two(pages, 1);
    ForwardWorkspace workspace(1);
    const Tensor frequency = s->random({kHeadDim / 2}, 7);
    Tensor axes = Tensor::zeros(DType::i32, {kHeadDim / 2});
    for (int i = 0; i < kHeadDim / 2; ++i) static_cast<int32_t*>(axes.raw())[i] = i % 3;
    const Tensor axis = s->there(axes);
    ops::PagedBatch& batch = workspace.batch;
    const auto work = [&](const Tensor& x) {
      Tensor q = ops::clone(cx, x);
      const int64_t n = x.dim(0);
      const ops::Heads heads{static_cast<float*>(q.raw()), kWidth, kHeads, kHeadDim};
      const Tensor angles = ops::rotary_table(cx, batch.there().positions, n, frequency, axis);
      const auto* cos = static_cast<const float*>(angles.raw());
      const ops::Rotary rotary{cos, cos + angles.numel() / 2};
      const Tensor k = ops::clone(cx, x);
      ops::rotate_and_append(
          cx, batch, layout, 0, heads,
          {static_cast<float*>(const_cast<void*>(k.raw())), kWidth, kHeads, kHeadDim},
          {static_cast<float*>(const_cast<void*>(x.raw())), kWidth, kHeads, kHeadDim}, rotary,
          rotary);
      return ops::paged_attention(cx, {&heads, 1}, batch, layout, 0);
    };
    for (int row = 0; row < 150; ++row) {
      Arena::Scope scope(cx.arena);
      std::vector<PagedState*> states{&one};
      if (row % 5 > 1) states.push_back(&two);
      if (row == 145) one.truncate(10);
      batch.clear();
      for (PagedState* state : states) {
        state->reserve(cx.arena, Lane::text, 1);
        batch.add(state->lanes(), std::vector<uint8_t>{0});
      }
      const auto n = int64_t(states.size());
      for (ops::RotaryPosition& p : batch.add_positions(n)) p = {row, 2 * row + 1, 3};
      batch.upload(cx);
      results[side].push_back(
          s->read(workspace.run(cx, s->random({n, kWidth}, uint32_t(row)), 0, work)));
      for (PagedState* state : states) state->advance(Lane::text, 1);
    }
    EXPECT_EQ(one.length(), 15);
    EXPECT_EQ(two.length(), 90);
    ++side;
  }
  for (size_t row = 0; row < results[0].size(); ++row)
    for (size_t i = 0; i < results[0][row].size(); ++i)
      ASSERT_NEAR(results[0][row][i], results[1][row][i], kTolerance * 4) << "row " << row;
}

// A layer of a tower, again and again with other values: one run, one recording, then replays, a
// shape apart from the other; another owner and another arena have their own.
TEST_F(Devices, RecordedWork) {
  Side host(nullptr), device(cuda());
  constexpr int64_t kWidth = 24;
  const Recorded recorded, other;  // of the weights, which last as long
  const auto on_host = host.weight({3 * kWidth, kWidth}, 2, ops::MatmulPrecision::f32),
             on_device = device.weight({3 * kWidth, kWidth}, 2, ops::MatmulPrecision::f32);
  int n_asked = 0;
  const auto layer = [&](Side& s, const Recorded& by, int64_t n, uint32_t seed, float divisor) {
    const auto work = [&](ops::Context& cx, std::span<const Tensor> inputs) {
      if (cx.arena.device()) ++n_asked;
      const Tensor qkv =
          ops::linear(cx, inputs[0], cx.arena.device() ? *on_device : *on_host, Tensor());
      const auto heads = [&](int part) {
        return ops::Heads{static_cast<float*>(const_cast<void*>(qkv.raw())) + part * kWidth,
                          3 * kWidth, 2, kWidth / 2};
      };
      const int64_t spans[] = {0, n / 3, n}, last[] = {n - 1, 0};
      Tensor y = ops::attention(cx, heads(0), heads(1), heads(2), std::span<const int64_t>(spans));
      y = ops::attention(cx, heads(2), heads(0), heads(1), std::span<const int64_t>(spans));
      ops::add_(cx, y, inputs[1]);
      ops::div_(cx, y, divisor);
      return Recorded::Tensors{y, ops::index_select(cx, y, last)};
    };
    const Tensor inputs[] = {s.random({n, kWidth}, seed), s.random({n, kWidth}, seed + 1),
                             Tensor()};
    Arena::Scope scope(s.cx().arena);
    const auto results = by(s.cx(), inputs, int64_t(divisor), work);
    auto all = s.read(results[0]);
    for (const float x : s.read(results[1])) all.push_back(x);
    return all;
  };
  const auto compare = [&](Side& side, const Recorded& by, int64_t n, uint32_t seed,
                           float divisor) {
    const auto a = layer(host, by, n, seed, divisor), b = layer(side, by, n, seed, divisor);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a[i], b[i], 50 * kTolerance) << n << " rows, " << seed << ", at " << i;
  };
  for (uint32_t seed = 0; seed < 5; ++seed)
    for (const int64_t n : {40, 3, 90}) compare(device, recorded, n, seed, 1);
  EXPECT_EQ(n_asked, 6) << "two times a shape";
  for (uint32_t seed = 0; seed < 3; ++seed) compare(device, recorded, 40, seed, 3);
  EXPECT_EQ(n_asked, 8) << "and a variant";
  for (uint32_t seed = 0; seed < 3; ++seed) compare(device, other, 40, seed, 1);
  EXPECT_EQ(n_asked, 10) << "and an owner";
  Side second(cuda());
  for (uint32_t seed = 0; seed < 3; ++seed) compare(second, recorded, 40, seed, 1);
  EXPECT_EQ(n_asked, 12) << "and an arena";
  for (size_t i = 1; i < Recorded::kMost; ++i) compare(second, recorded, 3, 0, float(i));
  n_asked = 0;
  compare(second, recorded, 40, 9, 1);
  EXPECT_EQ(n_asked, 0);
  compare(second, recorded, 3, 0, Recorded::kMost);
  compare(second, recorded, 40, 9, 1);
  EXPECT_EQ(n_asked, 1) << "it was used after the others";
  compare(second, recorded, 3, 0, 1);
  EXPECT_EQ(n_asked, 2) << "the one longest unused was forgotten";
}

TEST_F(Devices, RecordingRefusesToWait) {
  Side device(cuda());
  const Tensor x = device.random({1, 4}, 1), elsewhere = Side(nullptr).random({1, 4}, 2);
  EXPECT_THROW(device.cx().arena.queue().record([&] { device.read(x); }), Error);
  EXPECT_THROW(device.cx().arena.queue().record([&] { ops::from_host(device.cx(), elsewhere); }),
               Error);
  EXPECT_EQ(device.read(x).size(), 4u);  // and is usable after
}

// A stream of sound in pieces, its head mirrored and its tail silent; loud beside quiet, and bands
// with little in them.
TEST_F(Devices, LogMel) {
  Side device(cuda());
  for (const int n_mels : {80, 128}) {
    std::vector<float> sound, host, there;
    for (int i = 0; i < 4321; ++i)
      sound.push_back(i < 2000 ? 0.5f * std::sin(0.3f * float(i))
                               : 1e-4f * std::sin(1.1f * float(i)) + 1e-6f * float(i % 7));
    LogMel a(n_mels), b = make_log_mel(device.cx().arena, n_mels);
    for (size_t at = 0; at < sound.size(); at += 700) {
      const auto piece = std::span(sound).subspan(at, std::min<size_t>(700, sound.size() - at));
      a.push(piece, host), b.push(piece, there);
      ASSERT_EQ(host.size(), there.size());
    }
    a.finish(host), b.finish(there);
    ASSERT_EQ(host.size(), there.size());
    ASSERT_EQ(host.size(), size_t(28 * n_mels));
    for (size_t i = 0; i < host.size(); ++i) ASSERT_NEAR(host[i], there[i], 1e-5) << i;
  }
}

// Both ways from raw frames to patches: the same 8-bit components.
TEST_F(Devices, FramesBecomePatches) {
  Side device(cuda());
  std::mt19937 random(1);
  struct {
    int width, height, padding;
    PictureSize size;
  } const cases[] = {{64, 36, 0, {28, 56}},
                     {101, 67, 13, {56, 84}},
                     {56, 28, 0, {28, 56}},
                     {20, 15, 5, {56, 56}},
                     {400, 30, 0, {28, 28}}};
  DevicePatches patches;  // one for all, as sizes change in a stream
  FrameScaler scaler;
  for (const auto& c : cases)
    for (const PixelFormat format :
         {PixelFormat::nv12, PixelFormat::p010, PixelFormat::i420, PixelFormat::rgb,
          PixelFormat::bgr, PixelFormat::rgba, PixelFormat::bgra, PixelFormat::gray8})
      for (const bool on_device : {false, true}) {
        const int step = interleaved(format).step, chroma = (c.width + 1) / 2;
        VideoFrame frame{format, c.width, c.height, {}, {}, ColourMatrix::bt709, c.padding != 0, 0};
        std::vector<uint8_t> planes[3];
        Tensor there[3];
        const int widths[] = {c.width * std::max(step, 1) * sample_bytes(format),
                              format == PixelFormat::nv12 || format == PixelFormat::p010
                                  ? 2 * chroma * sample_bytes(format)
                              : format == PixelFormat::i420 ? chroma
                                                            : 0,
                              format == PixelFormat::i420 ? chroma : 0};
        for (int p = 0; p < 3; ++p) {
          if (!widths[p]) continue;
          frame.stride[p] = widths[p] + c.padding;
          planes[p].resize(size_t(frame.stride[p]) * size_t(p ? (c.height + 1) / 2 : c.height));
          for (uint8_t& x : planes[p]) x = uint8_t(random());
          frame.data[p] = planes[p].data();
        }
        std::vector<uint8_t> rgb(size_t(3) * size_t(c.size.width) * size_t(c.size.height));
        scaler.run(frame, c.size, rgb.data());
        const int64_t n = int64_t{c.size.width / 14} * (c.size.height / 14);
        std::vector<float> host(size_t(n * 1176));
        patchify({}, c.size, rgb.data(), rgb.data(), host.data());
        if (on_device) {
          frame.on_device = true;
          for (int p = 0; p < 3; ++p) {
            if (!widths[p]) continue;
            there[p] = to_device(
                Tensor::view(planes[p].data(), DType::u8, {int64_t(planes[p].size())}), cuda());
            frame.data[p] = static_cast<const uint8_t*>(there[p].raw());
          }
        }
        Tensor out = device.cx().arena.f32({n, 1176});
        for (int index : {0, 1}) patches.run(device.cx().arena, {}, frame, c.size, index, out);
        if (on_device)  // what was read is the producer's again
          for (int p = 0; p < 3; ++p)
            if (widths[p])
              cuda()->make_queue()->upload(
                  there[p].raw(), std::vector<uint8_t>(planes[p].size()).data(), planes[p].size());
        const auto got = device.read(out);
        ASSERT_EQ(got.size(), host.size());
        double worst = 0;
        for (size_t i = 0; i < host.size(); ++i)
          worst = std::max(worst, std::abs(double(got[i]) - host[i]));
        // a level of 255 is above 0.014
        EXPECT_LT(worst, 1e-6) << c.width << "x" << c.height << " format " << int(format);
      }
}

// Frames of which one fills the staging, so that it is on the device before the computation with
// the frame before it was even begun.
TEST_F(Devices, FramesWaitForTheirReaders) {
  Side device(cuda());
  DevicePatches patches;
  FrameScaler scaler;
  constexpr int kWidth = 840, kHeight = 60, kStride = 84000;
  const PictureSize size{420, 28};
  constexpr int64_t kGrid = 30 * 2;
  std::vector<uint8_t> frames[4];
  std::vector<Tensor> outs;
  for (int i = 0; i < 4; ++i) {
    for (int at = 0; at < kStride * kHeight; ++at)
      frames[i].push_back(uint8_t(at % kStride / 9 + 50 * i));
    outs.push_back(device.cx().arena.lasting(DType::f32, {kGrid, 1176}));
    device.cx().arena.queue().upload(outs.back().raw(),
                                     std::vector<float>(size_t(outs.back().numel())).data(),
                                     outs.back().nbytes());
  }
  const auto frame = [&](int i) {
    VideoFrame f{PixelFormat::gray8, kWidth, kHeight, {}, {}, ColourMatrix::bt709, true, 0};
    // far apart: what lies between is copied, too
    f.data[0] = frames[i].data(), f.stride[0] = kStride;
    return f;
  };
  for (int i = 0; i < 4; ++i)
    patches.run(device.cx().arena, {}, frame(i), size, i % 2, outs[size_t(i)]);
  for (int i = 0; i < 4; ++i) {
    std::vector<uint8_t> rgb(size_t(3) * size_t(size.width) * size_t(size.height));
    scaler.run(frame(i), size, rgb.data());
    std::vector<float> host(size_t(kGrid * 1176));
    patchify({}, size, rgb.data(), rgb.data(), host.data());
    const auto got = device.read(outs[size_t(i)]);
    for (size_t at = 0; at < got.size(); ++at) {
      const bool written = int(at % 1176 / 196 % 2) == i % 2;  // its half of the pair
      ASSERT_NEAR(got[at], written ? host[at] : 0, 1e-6) << "frame " << i;
    }
  }
}

TEST_F(Devices, UploadsLargerThanTheStaging) {
  Side device(cuda());
  std::vector<float> values(size_t(3) << 20);  // 12 MiB through 4
  for (size_t i = 0; i < values.size(); ++i) values[i] = float(i);
  std::vector<float> more{1, 2, 3};
  const Tensor a = ops::from_host(device.cx(), Tensor::view(more.data(), DType::f32, {3})),
               b = ops::from_host(
                   device.cx(), Tensor::view(values.data(), DType::f32, {int64_t(values.size())}));
  const std::vector<float> again = device.read(b);
  EXPECT_EQ(again, values);
  EXPECT_EQ(device.read(a), more);
}

TEST_F(Devices, SeveralPartsAreOneWeight) {
  same("linear of three parts", [](Side& s) {
    const Tensor parts[] = {Side(nullptr).random({5, 16}, 1), Side(nullptr).random({7, 16}, 2),
                            Side(nullptr).random({1, 16}, 3)};
    std::vector<Matrix> kept;
    for (const Tensor& p : parts) kept.push_back(p);
    return ops::linear(s.cx(), s.random({3, 16}, 4),
                       *ops::pack_linear(kept, ops::MatmulPrecision::f32, s.cx().arena.device()),
                       Tensor());
  });
}

TEST_F(Devices, AHostTensorOnADeviceIsRefused) {
  Side device(cuda());
  Tensor x = device.random({2, 2}, 1);
  EXPECT_THROW(x.f32(), Error);
}

}  // namespace
}  // namespace omni
