// Products of our own for every level with vectors: W in panels of neighbouring outputs,
// [panel][n_in][columns], in the format it was stored in.
#include <algorithm>

#include "core/cpu_level.h"
#include "core/large_pages.h"
#include "cpu/packed_matrix.h"
#include "cpu/panels.h"

namespace omni::ops::cpu {
namespace {

// rows of x that stay in the second cache while panels pass by
constexpr int64_t kRowTile = 192;
constexpr double kFlopPerNs = 50;      // of a thread: only to judge whether a wake-up pays
constexpr double kBytesPerNs = 12;     // and the reading of weights
constexpr int64_t kTilesAtLeast = 16;  // for the pool to share out

const Panels& panels() {
#if defined(__x86_64__)
  return cpu_level() == CpuLevel::avx512 ? kAvx512Panels : kAvx2Panels;
#else
  return kNeonPanels;
#endif
}

class PanelWeight final : public CpuMatrix {
 public:
  explicit PanelWeight(std::span<const Matrix> parts)
      : CpuMatrix(parts),
        columns_(panels().columns),
        n_panels_((n_out() + columns_ - 1) / columns_),
        data_(zeros_in_large_pages(parts[0].values.dtype(), {n_panels_, n_in(), columns_})) {
    int64_t first = 0;
    for (const Matrix& part : parts) {
      if (data_.dtype() == DType::f32)
        lay<uint32_t>(part, first);
      else
        lay<uint16_t>(part, first);
      first += part.n_out;
    }
  }

  void run(Context& cx, const float* x, int64_t n, const float* bias, float* y) const override {
    const auto multiply = data_.dtype() == DType::f32   ? panels().f32
                          : data_.dtype() == DType::f16 ? panels().f16
                                                        : panels().bf16;
    const int64_t row_tiles = (n + kRowTile - 1) / kRowTile;
    const int64_t group =
        n <= panels().few_rows
            ? 4
            : std::max<int64_t>(1, n_panels_ * row_tiles / kTilesAtLeast);  // panels of a tile
    const double work = std::max(2.0 * double(n) * double(n_out() * n_in()) / kFlopPerNs,
                                 double(data_.nbytes()) / kBytesPerNs);
    cx.pool.parallel_for((n_panels_ + group - 1) / group * row_tiles, work, [&](int64_t tile) {
      const int64_t row = tile % row_tiles * kRowTile, panel = tile / row_tiles * group,
                    first = panel * columns_;
      const char* w =
          static_cast<const char*>(data_.raw()) + size_t(first * n_in()) * size_of(data_.dtype());
      multiply({x + row * n_in(), std::min(kRowTile, n - row), n_in(), w,
                std::min(group * columns_, n_out() - first), bias ? bias + first : nullptr,
                y + row * n_out() + first, n_out()});
    });
  }

 private:
  template <class Bits>
  void lay(const Matrix& part, int64_t first) {
    for (int64_t o = first; o < first + part.n_out; ++o) {
      const Bits* from = static_cast<const Bits*>(part.values.raw()) + (o - first) * n_in();
      Bits* to = static_cast<Bits*>(data_.raw()) + o / columns_ * columns_ * n_in() + o % columns_;
      for (int64_t i = 0; i < n_in(); ++i) to[i * columns_] = from[i];
    }
  }

  int64_t columns_, n_panels_;
  Tensor data_;
};

}  // namespace

std::shared_ptr<const CpuMatrix> pack_panels(std::span<const Matrix> parts, MatmulPrecision) {
  return std::make_shared<PanelWeight>(parts);
}

}  // namespace omni::ops::cpu
