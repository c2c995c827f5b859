#include "ops/cuda/integer_weight.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace omni::ops::cuda {

using omni::cuda::kBlockOutputs;
using omni::cuda::kChunkInputs;
using omni::cuda::kMostGroups;
using omni::cuda::kStepInputs;

namespace {

constexpr int kChunks = kStepInputs / kChunkInputs, kLanes = 32, kQuad = 4;
constexpr int kSymmetric = 8;  // the zero of four bits without zeros

// How many groups of a step have a scale of their own; 0: they do not come in chunks.
int groups_of(const Matrix& w) {
  const auto come_in = [&](int inputs) { return w.group == w.n_in || w.group % inputs == 0; };
  if (w.n_in % kStepInputs == 0)
    for (const int groups : {1, 2})
      if (come_in(kStepInputs / groups)) return groups;
  return come_in(kChunkInputs) ? kMostGroups : 0;
}

// The power of two of which all scales are multiples by a float16; 0: none.
float unit_of_scales(std::span<const Matrix> parts) {
  const auto all = [&](const auto& holds) {
    return std::all_of(parts.begin(), parts.end(), [&](const Matrix& w) {
      return std::all_of(w.scales.f32(), w.scales.f32() + w.scales.numel(), holds);
    });
  };
  float highest = 0;
  const auto in_float16 = [&](float unit) {
    return all([&](float x) { return to_float(to_float16(x / unit)) == x / unit; });
  };
  all([&](float x) { return highest = std::max(highest, std::abs(x)), true; });
  constexpr int kHighExponent = 14;  // of a float16, whatever the mantissa
  if (in_float16(1)) return 1;
  const float unit = std::ldexp(1.f, std::ilogb(highest) - kHighExponent);
  return unit >= std::numeric_limits<float>::min() && in_float16(unit) ? unit : 0;
}

int zero_of(const Matrix& w, int64_t row, int64_t input) {
  if (w.format == WeightFormat::int8) return 0;
  return w.zeros.defined() ? static_cast<const uint8_t*>(
                                 w.zeros.raw())[row * (w.n_in / w.group) + input / w.group]
                           : kSymmetric;
}

bool same_order(const Matrix& a, const Matrix& b) {
  if (!a.inputs.defined() || !b.inputs.defined()) return a.inputs.defined() == b.inputs.defined();
  return std::memcmp(a.inputs.raw(), b.inputs.raw(), a.inputs.nbytes()) == 0;
}

// Eight inputs from `input` on, of four bits: even ones from bit 3 on, odd ones from bit 19 on.
uint32_t word_of_int4(const Matrix& w, int64_t row, int64_t input) {
  const auto* bytes = static_cast<const uint8_t*>(w.values.raw()) + (row * w.n_in + input) / 2;
  uint32_t word = 0;
  for (int j = 0; j < 4; ++j)
    word |= uint32_t(bytes[j] & 15) << (4 * j) | uint32_t(bytes[j] >> 4) << (16 + 4 * j);
  return std::rotl(word, 3);
}

// Four inputs from `input` on, of eight bits, or of four less their zero.
uint32_t word_of_int8(const Matrix& w, int64_t row, int64_t input) {
  uint8_t q[4];
  if (w.format == WeightFormat::int8)
    std::memcpy(q, static_cast<const uint8_t*>(w.values.raw()) + row * w.n_in + input, 4);
  else
    for (int i = 0; i < 4; ++i) {
      const uint8_t pair =
          static_cast<const uint8_t*>(w.values.raw())[(row * w.n_in + input + i) / 2];
      q[i] = uint8_t((i % 2 ? pair >> 4 : pair & 15) - zero_of(w, row, input));
    }
  return uint32_t(q[0] | q[2] << 8 | q[1] << 16) | uint32_t(q[3]) << 24;
}

uint32_t scale_of(const Matrix& w, int64_t row, int64_t input, int bits, float unit) {
  const float scale = w.scales.f32()[row * (w.n_in / w.group) + input / w.group];
  if (bits == 8) return std::bit_cast<uint32_t>(scale);
  const uint16_t zero = to_bfloat16(float(-16 - zero_of(w, row, input))).bits;
  return uint32_t(zero) << 16 | to_float16(scale / unit).bits;
}

}  // namespace

std::optional<IntegerWeight> IntegerWeight::of(std::span<const Matrix> parts,
                                               const Device* device) {
  int groups = 1;
  for (const Matrix& w : parts) {
    if (!is_quantized(w.format) || w.n_in % 8 || !groups_of(w) || !same_order(w, parts[0]))
      return {};
    groups = std::max(groups, groups_of(w));
  }
  return IntegerWeight(parts, groups, device);
}

IntegerWeight::IntegerWeight(std::span<const Matrix> parts, int groups, const Device* device) {
  const bool all_int4 = std::all_of(parts.begin(), parts.end(),
                                    [](const Matrix& w) { return w.format == WeightFormat::int4; });
  const float unit = all_int4 ? unit_of_scales(parts) : 0;
  const bool four = unit > 0;
  const int bits = four ? 4 : 8, vectors = bits / 4;
  if (!four && groups > 1) groups = kMostGroups;
  const int64_t n_in = parts[0].n_in, n_steps = (n_in + kStepInputs - 1) / kStepInputs;
  int64_t n_out = 0;
  for (const Matrix& w : parts) n_out += w.n_out;
  const int64_t n_blocks = (n_out + 2 * kBlockOutputs - 1) / (2 * kBlockOutputs) * 2;
  Tensor values = Tensor::zeros(DType::i32, {n_blocks, n_steps, vectors, kLanes, 4}),
         scales = Tensor::zeros(DType::i32, {n_blocks, n_steps, kBlockOutputs, groups});
  auto* words = static_cast<uint32_t*>(values.raw());
  auto* scale_words = static_cast<uint32_t*>(scales.raw());
  int64_t out = 0;
  for (const Matrix& w : parts)
    for (int64_t row = 0; row < w.n_out; ++row, ++out)
      for (int64_t step = 0; step < n_steps; ++step) {
        const int64_t at = out / kBlockOutputs * n_steps + step, o = out % kBlockOutputs;
        for (int g = 0; g < groups; ++g) {
          const int64_t input = step * kStepInputs + g * (kStepInputs / groups);
          if (input < n_in)
            scale_words[(at * kBlockOutputs + o) * groups + g] =
                scale_of(w, row, input, bits, unit);
        }
        for (int c = 0; c < kChunks; ++c)
          for (int p = 0; p < kQuad; ++p) {
            const int64_t input = step * kStepInputs + c * kChunkInputs + 8 * p,
                          lane = kQuad * o + p;
            if (input >= n_in) break;
            if (bits == 4) {
              words[(at * kLanes + lane) * 4 + c] = word_of_int4(w, row, input);
            } else {
              uint32_t* to = words + ((at * 2 + c / 2) * kLanes + lane) * 4 + c % 2 * 2;
              to[0] = word_of_int8(w, row, input);
              to[1] = word_of_int8(w, row, input + 4);
            }
          }
      }
  values_ = to_device(values, device);
  scales_ = to_device(scales, device);
  if (parts[0].inputs.defined()) inputs_ = to_device(parts[0].inputs, device);
  shape_ = {int(n_out), int(n_in), bits, groups, four ? unit : 1, nullptr, nullptr};
}

omni::cuda::QuantizedWeight IntegerWeight::get() const {
  omni::cuda::QuantizedWeight w = shape_;
  w.values = static_cast<const uint32_t*>(values_.raw());
  w.scales = static_cast<const uint32_t*>(scales_.raw());
  return w;
}

}  // namespace omni::ops::cuda
