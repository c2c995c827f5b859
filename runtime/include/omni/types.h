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

// How weight matrices are kept and multiplied. float32: x stays float32, and weights stored in 16
// bits are kept so, which changes nothing. bfloat16: both factors are rounded. int8: matrices are
// made of 8-bit numbers with a scale a row. int4: those of the text model of 4-bit numbers with a
// scale and a zero every 64, the others int8. Sums are always float32.
enum class Precision { automatic, float32, bfloat16, int8, int4 };

enum class Modality { video, image, audio };  // an image is a picture without time

}  // namespace omni
