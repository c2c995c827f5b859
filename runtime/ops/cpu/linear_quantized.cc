// Products with int8 and int4 weights: W in panels of words, with the scales of a panel side by
// side. Either x stays float32, or, where the processor adds products of bytes, each segment of a
// row is rounded to int8 with a scale of its own.
#include <algorithm>
#include <bit>
#include <cstring>

#include "core/cpu_level.h"
#include "core/large_pages.h"
#include "cpu/kernels.h"
#include "cpu/packed_matrix.h"
#include "cpu/quantized.h"

namespace omni::ops::cpu {
namespace {

constexpr double kOpsPerNs = 80;    // of a thread, and
constexpr double kBytesPerNs = 12;  // the reading of weights: only to judge whether a wake-up pays
constexpr int64_t kTilesAtLeast = 16;

const Quantized& floats() {
#if defined(__x86_64__)
  return kAvx512Quantized;
#else
  return kNeonQuantized;
#endif
}

const Quantized& dots() {
#if defined(__x86_64__)
  return cpu_level() == CpuLevel::avx512 ? kAvx512VnniDots : kAvx2VnniDots;
#else
  return kNeonDots;
#endif
}

// The longest part of a group that is summed at once; the groups of a row consist of whole ones.
int64_t segment_of(const Matrix& w) {
  int64_t segment = std::min(kMostSegment, w.group);
  if (w.group < w.n_in)
    while (w.group % segment) segment -= w.format == WeightFormat::int8 ? 4 : 8;
  return segment;
}

bool fit_float16(std::span<const Matrix> parts) {
  return std::all_of(parts.begin(), parts.end(), [](const Matrix& p) {
    return std::all_of(p.scales.f32(), p.scales.f32() + p.scales.numel(),
                       [](float s) { return to_float(to_float16(s)) == s; });
  });
}

float of_22_bits(float scale) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scale) & ~uint32_t{3});
}

class QuantizedWeight final : public CpuMatrix {
 public:
  QuantizedWeight(std::span<const Matrix> parts, const Quantized& how)
      : CpuMatrix(parts),
        how_(how),
        is_int8_(parts[0].format == WeightFormat::int8),
        segment_(segment_of(parts[0])),
        n_segments_((n_in() + segment_ - 1) / segment_),
        segments_of_a_scale_((parts[0].group + segment_ - 1) / segment_),
        n_scales_(n_in() / parts[0].group),
        n_panels_((n_out() + how.columns - 1) / how.columns),
        zero_(!is_int8_          ? 8
              : how.signed_bytes ? 0
                                 : 128),
        words_(zeros_in_large_pages(DType::i32, {n_panels_, words_of_column(), how.columns})),
        scales_(zeros_in_large_pages(fit_float16(parts) ? DType::f16 : DType::f32,
                                     {n_panels_, n_scales_, how.columns})),
        inputs_(parts[0].inputs) {
    if (parts[0].zeros.defined()) zeros_ = Tensor::zeros(DType::u8, scales_.shape());
    // rows whose memory goes at a time
    const int64_t band = std::max<int64_t>(1, (int64_t{4} << 20) / n_in());
    int64_t o = 0;
    for (const Matrix& part : parts)
      for (int64_t begin = 0; begin < part.n_out; begin += band) {
        const int64_t end = std::min(part.n_out, begin + band);
        for (int64_t row = begin; row < end; ++row) lay(part, row, o++);
        let_go(part, begin, end);
      }
  }

  Rounding rounding() const override { return how_.rounds ? Rounding::int8 : Rounding::none; }

  void run(Context& cx, const float* x, int64_t n, const float* bias, float* y) const override {
    if (inputs_.defined()) x = in_order(cx, x, n);
    QuantizedTile whole{};
    whole.x = x;
    whole.n_all = n;
    whole.n_in = n_in(), whole.segment = segment_, whole.n_segments = n_segments_;
    whole.segments_of_a_scale = segments_of_a_scale_;
    whole.zero = zero_;
    whole.bias = bias;
    whole.y = y, whole.y_stride = n_out();
    prepare(cx, n, whole);
    const auto& scaled = is_int8_ ? how_.int8 : how_.int4;
    const auto multiply = scales_.dtype() == DType::f16 ? scaled.f16 : scaled.f32;
    const int64_t row_tiles = (n + kMostRows - 1) / kMostRows;
    const int64_t n_groups = (n_panels_ + how_.group - 1) / how_.group;
    const int64_t group =
        how_.group * (n <= how_.few_rows
                          ? 1
                          // panels of a tile
                          : std::max<int64_t>(1, n_groups * row_tiles / kTilesAtLeast));
    const double work = std::max(2.0 * double(n) * double(n_out() * n_in()) / kOpsPerNs,
                                 double(words_.nbytes()) / kBytesPerNs);
    cx.pool.parallel_for((n_panels_ + group - 1) / group * row_tiles, work, [&](int64_t tile) {
      const int64_t row = tile % row_tiles * kMostRows, panel = tile / row_tiles * group,
                    first = panel * how_.columns;
      QuantizedTile t = whole;
      t.n_rows = std::min(kMostRows, n - row);
      t.x += row * n_in(), t.x_sums += row;
      if (t.rounded) t.rounded += row * segment_, t.x_scales += row;
      if (t.x_begins) t.x_begins += row, t.x_bases += row;
      t.words = static_cast<const uint32_t*>(words_.raw()) + first * words_of_column();
      t.scales = static_cast<const char*>(scales_.raw()) +
                 size_t(first * n_scales_) * size_of(scales_.dtype());
      t.zeros = zeros_.defined() ? static_cast<const uint8_t*>(zeros_.raw()) + first * n_scales_
                                 : nullptr;
      t.n_out = std::min(group * how_.columns, n_out() - first);
      if (bias) t.bias += first;
      t.y += row * n_out() + first;
      multiply(t);
    });
  }

 private:
  int64_t words_of_column() const { return n_in() / (is_int8_ ? 4 : 8); }

  // Row `row` of a part as output o.
  void lay(const Matrix& part, int64_t row, int64_t o) {
    const int64_t panel = o / how_.columns, first = panel / how_.group * how_.group,
                  n = std::min<int64_t>(how_.group, n_panels_ - first), at = o % how_.columns;
    const int64_t n_words = words_of_column();
    auto* words = static_cast<uint32_t*>(words_.raw());
    const auto* bytes = static_cast<const uint8_t*>(part.values.raw()) + row * n_words * 4;
    for (int64_t k = 0; k < n_words; ++k, bytes += 4) {
      uint32_t word;
      std::memcpy(&word, bytes, 4);
      if (is_int8_) {
        if (!how_.signed_bytes) word ^= 0x80808080;
      } else {  // pairs of neighbours become pairs four columns apart
        const uint32_t even = word & 0x0f0f0f0f, odd = word >> 4 & 0x0f0f0f0f;
        const auto spread = [](uint32_t two) {
          return (two & 0xff) | (two & 0xff00) << 8;
        };  // bytes 0 and 1 to 0 and 2
        word = (spread(even) | spread(odd) << 8) | (spread(even >> 16) | spread(odd >> 16) << 8)
                                                       << 4;
      }
      words[(first * n_words + k * n + panel - first) * how_.columns + at] = word;
    }
    for (int64_t s = 0; s < n_scales_; ++s) {
      const int64_t to = (first * n_scales_ + s * n + panel - first) * how_.columns + at;
      const float scale = part.scales.f32()[row * n_scales_ + s];
      if (scales_.dtype() == DType::f16)
        static_cast<Float16*>(scales_.raw())[to] = to_float16(scale);
      else
        scales_.f32()[to] = scale;
      if (zeros_.defined())
        static_cast<uint8_t*>(zeros_.raw())[to] =
            static_cast<const uint8_t*>(part.zeros.raw())[row * n_scales_ + s];
    }
  }

  const float* in_order(Context& cx, const float* x, int64_t n) const {
    const auto* from = static_cast<const int32_t*>(inputs_.raw());
    float* ordered = cx.arena.f32({n, n_in()}).f32();
    for_rows(cx, n, [&](int64_t i) {
      for (int64_t c = 0; c < n_in(); ++c) ordered[i * n_in() + c] = x[i * n_in() + from[c]];
    });
    return ordered;
  }

  // Sums of segments, and segments as int8.
  void prepare(Context& cx, int64_t n, QuantizedTile& t) const {
    const Shape each{n_segments_, n};
    float *sums = cx.arena.f32(each).f32(), *scales = nullptr, *bases = nullptr;
    int8_t* rounded = nullptr;
    int32_t* begins = nullptr;
    if (how_.rounds) {
      scales = cx.arena.f32(each).f32();
      rounded = static_cast<int8_t*>(cx.arena.tensor(DType::i8, {n_segments_, n, segment_}).raw());
      if (n > how_.few_rows) {
        begins = static_cast<int32_t*>(cx.arena.tensor(DType::i32, each).raw());
        bases = cx.arena.f32(each).f32();
      }
    }
    const int64_t many_zero = is_int8_ ? zero_ : kHalvesZero;
    for_rows(cx, n, [&](int64_t i) {
      for (int64_t s = 0; s < n_segments_; ++s) {
        const float* x = t.x + i * n_in() + s * segment_;
        const int64_t depth = std::min(segment_, n_in() - s * segment_), of = s * n + i;
        if (!rounded) {
          sums[of] = kernels().sum(x, depth);
          continue;
        }
        kernels().round_int8(x, depth, rounded + of * segment_, scales + of, sums + of);
        scales[of] = of_22_bits(scales[of]);
        if (!begins) continue;
        // of a row that is not finite, the sum may be anything
        begins[of] = int32_t(uint32_t(kBegin - many_zero * int64_t(sums[of])));
        bases[of] = -kBase * scales[of];
      }
    });
    t.rounded = rounded, t.x_scales = scales, t.x_sums = sums;
    t.x_begins = begins, t.x_bases = bases;
  }

  template <class Row>
  void for_rows(Context& cx, int64_t n, const Row& row) const {
    constexpr int64_t kRows = 8;
    cx.pool.parallel_for((n + kRows - 1) / kRows, 0.4 * double(n * n_in()), [&](int64_t tile) {
      for (int64_t i = tile * kRows; i < std::min(n, (tile + 1) * kRows); ++i) row(i);
    });
  }

  const Quantized& how_;
  bool is_int8_;
  int64_t segment_, n_segments_, segments_of_a_scale_, n_scales_, n_panels_;
  int zero_;
  Tensor words_, scales_, zeros_;  // as QuantizedTile wants them
  Tensor inputs_;
};

}  // namespace

std::shared_ptr<const CpuMatrix> pack_quantized_floats(std::span<const Matrix> parts,
                                                       MatmulPrecision) {
  return std::make_shared<QuantizedWeight>(parts, floats());
}
std::shared_ptr<const CpuMatrix> pack_quantized_dots(std::span<const Matrix> parts,
                                                     MatmulPrecision) {
  return std::make_shared<QuantizedWeight>(parts, dots());
}
#if defined(__x86_64__)
std::shared_ptr<const CpuMatrix> pack_quantized_pairs(std::span<const Matrix> parts,
                                                      MatmulPrecision) {
  return std::make_shared<QuantizedWeight>(parts, kAvx2Pairs);
}
#endif

}  // namespace omni::ops::cpu
