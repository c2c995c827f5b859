// Which experts rows go to, and what those make of them, on CUDA against the host.
#include "ops/device_side.h"
#include "ops/experts.h"
#include "ops/quantized_case.h"

namespace omni {
namespace {

TEST_F(Devices, Routes) {
  for (const int n_experts : {1, 5, 32, 33, 128, 1024})
    for (const int64_t n : {0, 1, 3})
      for (const bool normalize : {false, true}) {
        const int top_k = std::min(n_experts, 8);
        const auto routes = [&](Side& s) {
          return ops::route(s.cx(), s.random({n, n_experts}, 1), top_k, normalize);
        };
        const std::string what = std::to_string(n) + " to " + std::to_string(n_experts);
        same("weights " + what, [&](Side& s) { return routes(s).weights; });
        const auto experts = [&](const Device* device) {
          Side s(device);
          const Tensor there = routes(s).experts;
          if (device) s.cx().arena.queue().wait();
          const Tensor x = to_device(there, nullptr);
          const auto* e = static_cast<const int32_t*>(x.raw());
          return std::vector<int32_t>(e, e + x.numel());
        };
        EXPECT_EQ(experts(cuda()), experts(nullptr)) << what;
      }
}

TEST_F(Devices, Experts) {
  constexpr int kExperts = 5, kHidden = 64, kInner = 64;
  struct Case {
    ops::MatmulPrecision precision;
    bool quantized;
  };
  for (const auto& [precision, quantized] : {Case{ops::MatmulPrecision::f32, false},
                                             {ops::MatmulPrecision::bf16, false},
                                             {ops::MatmulPrecision::bf16, true}})
    for (const int64_t n : {0, 1, 40}) {
      const auto mixed = [&](Side& s) {
        std::vector<ops::Expert> experts;
        const auto weight = [&](int64_t n_out, int64_t n_in, uint32_t seed) {
          if (!quantized) return s.weight({n_out, n_in}, seed, precision, DType::bf16);
          const Matrix m =
              random_quantized({WeightFormat::int4, n_out, n_in, n_in / 2, true, false}, seed);
          return ops::pack_linear({&m, 1}, precision, s.is_host() ? nullptr : cuda());
        };
        for (uint32_t e = 0; e < kExperts; ++e)
          experts.push_back({weight(2 * kInner, kHidden, 10 + e), weight(kHidden, kInner, 20 + e)});
        Tensor y = s.random({n, kHidden}, 3);
        ops::add_experts_(s.cx(), y, s.random_bf16({n, kHidden}, 1),
                          ops::route(s.cx(), s.random({n, kExperts}, 2), 2, true), experts);
        return y;
      };
      const std::string what = std::to_string(n) + (quantized ? " of int4" : "");
      // of bfloat16 what is between the two products is rounded, too
      same(what, mixed, precision == ops::MatmulPrecision::f32 ? kTolerance : 2 * kBfloat16);
    }
}

}  // namespace
}  // namespace omni
