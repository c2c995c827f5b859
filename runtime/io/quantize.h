// Makes a quantized matrix of a dense one, without calibration: the numbers nearest to the weights
// in the sense of the squared error, which is what the error of y = x · Wᵀ is when nothing is known
// of x.
#pragma once

#include <functional>
#include <string>

#include "core/matrix.h"

namespace omni {

class ThreadPool;

// Columns that share a scale in an int4 matrix of this width: 64; 32 where 64 does not divide it; 0
// where neither does. Smaller groups cost memory, larger ones accuracy: error of whisper-base's
// weights 8.1, 9.5, 10.8 % and 5.25, 4.6, 4.3 bits a weight for groups of 32, 64, 128.
int64_t int4_group(int64_t n_in);

struct QuantizeOptions {
  ThreadPool* pool = nullptr;
  // Called, on any thread, when rows [begin, end) have been read: their pages may leave memory.
  std::function<void(int64_t begin, int64_t end)> read;
};

// int8: symmetric, a scale a row. int4: by groups of int4_group(), each with a zero of 4 bits and a
// scale that is a float16; a matrix that no group divides, or whose weights are too large for such
// a scale, becomes int8. Throws corrupt_file with `name` if a weight is NaN or infinite.
Matrix quantize(const Matrix& dense, WeightFormat format, const std::string& name,
                const QuantizeOptions& options = {});

}  // namespace omni
