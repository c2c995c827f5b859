// Products on CUDA against those of the host: dense, quantized, few rows and many, through
// cuBLASLt.
#include "ops/device_side.h"
#include "ops/quantized_case.h"

namespace omni {
namespace {

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

// Of normed rows: what the host has, and the very bits of norm and product one after the other.
TEST_F(Devices, NormedLinear) {
  for (const int64_t n : {0, 1, 4, 7, 8, 9})
    for (const int64_t n_in : {8, 37, 264, 2064, 4104})
      for (const bool is_silu_mul : {false, true}) {
        const auto product = [&](Side& s, const auto& x, const ops::PackedMatrix& w) {
          const Tensor bias = n % 2 ? s.random({38}, 3) : Tensor();
          return is_silu_mul ? ops::linear_silu_mul(s.cx(), x, w, bias, ops::operand_of(w))
                             : ops::linear(s.cx(), x, w, bias);
        };
        const auto weight = [&](Side& s) {
          return s.weight({38, n_in}, 2, ops::MatmulPrecision::bf16, DType::bf16);
        };
        const auto at_once = [&](Side& s) {
          const auto w = weight(s);
          const Tensor x = s.random({n, n_in}, 1), gain = s.random({n_in}, 4);
          return product(s, ops::Normed{x, gain, 1e-6f}, *w);
        };
        const std::string what = std::to_string(n) + " normed rows of " + std::to_string(n_in);
        same_rounded(what, at_once);
        Side device(cuda());
        const auto w = weight(device);
        const Tensor x = device.random({n, n_in}, 1), gain = device.random({n_in}, 4);
        ASSERT_EQ(device.read(at_once(device)),
                  device.read(product(
                      device, ops::rms_norm(device.cx(), x, gain, 1e-6f, ops::operand_of(*w)), *w)))
            << what;
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
  const std::vector<int64_t> all{0, 1, 7, 8, 9, 16, 17, 32, 33, 64, 65, 130, 257};
  for (const Case& c : std::vector<Case>{
           {{kInt4, 40, 256, 64, true, false}, true, all},
           {{kInt8, 41, 200, 200, false, false}, true, all},
           {{kInt4, 24, 96, 32, true, false}, true, {1, 9, 33}},
           {{kInt4, 16, 384, 128, false, false}, true},
           {{kInt4, 17, 256, 256, true, false}, true},
           {{kInt4, 9, 136, 136, true, false}, true, {1, 9, 20}},  // a group, and no whole steps
           {{kInt8, 8, 160, 32, false, false}, true},
           {{kInt8, 8, 192, 64, false, false}, true, {1, 9, 40}},
           {{kInt4, 24, 1216, 64, true, false}, true},  // one round of sixteen warps
           {{kInt4, 40, 2304, 64, true, false},
            true,
            {1, 9, 40}},  // two; several blocks of 40 rows
           {{kInt8, 24, 4224, 4224, false, false}, true, {1, 9, 20}},  // five
           {{kInt4, 8500, 64, 32, true, false}, true, {1}},            // more tiles than blocks
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
            c.exact && n <= 256 ? kTolerance : kBfloat16);
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
    for (const int64_t n : {1, 300})
      same(
          "linear of three parts",
          [&](Side& s) {
            return ops::linear(s.cx(), s.random_bf16({n, 256}, 1), *quantized_weight(s, parts),
                               s.random({40}, 5));
          },
          n <= 256 ? kTolerance : kBfloat16);
  }
}

TEST_F(Devices, QuantizedLinearIntoOthers) {
  struct Case {
    WeightFormat format;
    int64_t n_out;
    bool ordered;  // otherwise: columns in another order
    int64_t n_in = 192;
    std::vector<int64_t> rows = {1, 16, 33, 70, 300};
  };
  for (const auto& [format, n_out, ordered, n_in, rows] :
       std::vector<Case>{{kInt4, 64, true},
                         {kInt8, 64, true},
                         {kInt4, 64, false},
                         {kInt4, 40, true},                 // of which a half is no whole blocks
                         {kInt4, 80, true, 640, {20, 40}},  // several blocks add their parts
                         {kInt8, 80, true, 576, {20, 40}}})
    for (const int64_t n : rows)
      for (const bool biased : {false, true}) {
        const Matrix m = random_quantized({format, n_out, n_in, 64, format == kInt4, !ordered}, 2);
        const auto input = [&](Side& s, const ops::PackedMatrix& w) {
          return s.random_bf16({n, n_in}, 1, ops::operand_of(w));
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
            n <= 256 ? kTolerance : kBfloat16);
        same_rounded("linear_silu_mul " + what, [&](Side& s) {
          const auto w = quantized_weight(s, {&m, 1});
          return ops::linear_silu_mul(s.cx(), input(s, *w), *w, bias(s),
                                      s.is_host() ? DType::f32 : DType::bf16);
        });
      }
}

// Of normed rows, as NormedLinear; here the host does not round them, and both halves of a SwiGLU
// layer are off by that.
TEST_F(Devices, NormedQuantizedLinear) {
  for (const QuantizedCase& c : std::vector<QuantizedCase>{
           {kInt4, 64, 256, 64, true, false},
           {kInt4, 40, 2048, 64, true, false},  // of which a half is no whole blocks
           {kInt4, 48, 1280, 128, false, false},
           {kInt4, 32, 136, 136, true, false},
           {kInt8, 32, 1152, 1152, false, false},
           {kInt8, 32, 192, 64, false, false},
           {kInt4, 32, 256, 64, true, true},    // in another order
           {kInt4, 32, 2304, 64, true, false},  // more than a warp has at once
       })
    for (const int64_t n : {0, 1, 5, 8, 9})
      for (const bool is_silu_mul : {false, true}) {
        const Matrix m = random_quantized(c, 2);
        const auto product = [&](Side& s, const auto& x, const ops::PackedMatrix& w) {
          const Tensor bias = n % 2 ? s.random({c.n_out}, 3) : Tensor();
          return is_silu_mul ? ops::linear_silu_mul(s.cx(), x, w, bias, ops::operand_of(w))
                             : ops::linear(s.cx(), x, w, bias);
        };
        const auto at_once = [&](Side& s) {
          const auto w = quantized_weight(s, {&m, 1});
          const Tensor x = s.random({n, c.n_in}, 1), gain = s.random({c.n_in}, 4);
          return product(s, ops::Normed{x, gain, 1e-6f}, *w);
        };
        const std::string what = std::to_string(n) + " normed rows of " + std::to_string(c.n_in);
        same(what, at_once, (is_silu_mul ? 2 : 1) * kBfloat16);
        Side device(cuda());
        const auto w = quantized_weight(device, {&m, 1});
        const Tensor x = device.random({n, c.n_in}, 1), gain = device.random({c.n_in}, 4);
        ASSERT_EQ(device.read(at_once(device)),
                  device.read(product(
                      device, ops::rms_norm(device.cx(), x, gain, 1e-6f, ops::operand_of(*w)), *w)))
            << what;
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
  alone(*quantized_weight(device, {&int4, 1}), 16);
  alone(*quantized_weight(device, {&int8, 1}), 16);
}

// Nor of those that integers are widened for at once, as long as there are as many of them.
TEST_F(Devices, TileRowsAreAlone) {
  Side device(cuda());
  const Matrix int4 = random_quantized({kInt4, 40, 640, 64, true, false}, 2),
               int8 = random_quantized({kInt8, 40, 640, 640, false, false}, 2);
  const Tensor x = device.random({75, 640}, 1);
  for (const Matrix* m : {&int4, &int8})
    for (const int64_t n : {30, 70}) {
      const auto w = quantized_weight(device, {m, 1});
      const auto some = device.read(ops::linear(device.cx(), x.rows(0, n), *w, Tensor())),
                 others = device.read(ops::linear(device.cx(), x.rows(5, n + 5), *w, Tensor()));
      for (size_t i = 0; i < size_t(n - 5) * 40; ++i)
        ASSERT_EQ(some[i + size_t{5 * 40}], others[i]) << n << " " << i;
    }
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
  const auto product = [&](ops::MatmulPrecision precision) {
    Tensor y = device.cx().arena.f32({70, 48});
    EXPECT_TRUE(stream.products()->run(
        {70, 32, 48, precision, false, true, ops::cuda::Products::Into::y}, x.raw(), w.raw(),
        static_cast<const float*>(bias.raw()), y.raw(),
        device.cx().arena.allocate(ops::cuda::Products::kWorkspace), stream.get()));
    return device.read(y);
  };
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
             exact = product(ops::MatmulPrecision::f32),
             rounded = product(ops::MatmulPrecision::tf32);
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_NEAR(a[i], exact[i], 30 * kTolerance) << i;
    worst = std::max(worst, std::abs(double(a[i]) - rounded[i]));
  }
  EXPECT_LT(worst, 1e-2);
  if (kAlwaysRounds) {
    EXPECT_GT(worst, 1e-4);
  }
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

}  // namespace
}  // namespace omni
