// Small words used by the whole public API.
#pragma once

#include <cstdint>

namespace omni {

using Nanoseconds = int64_t;
constexpr Nanoseconds kSecond = 1'000'000'000;

struct Rational {
  int num = 0, den = 1;
  double value() const { return double(num) / den; }
  bool operator==(const Rational&) const = default;
};

// How weight matrices are kept and multiplied. float32: x stays float32, and weights stored in 16 bits are kept so, which changes nothing.
// bfloat16: both factors are rounded. Sums are always float32.
enum class Precision { automatic, float32, bfloat16, int8, int4 };

enum class Modality { video, image, audio };  // an image is a picture without time

}  // namespace omni
