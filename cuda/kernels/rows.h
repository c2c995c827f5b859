// Rows moved, picked and averaged.
#pragma once

#include <cstdint>

#include "kernels/dialect.h"

namespace omni::cuda {

// y[i] = table[rows[i]], as float. table: [any, width] of float, bf16 or half; rows: [n] on the
// device; y: [n, width]. (torch.index_select, torch.nn.functional.embedding)
template <class T>
cudaError_t index_select(const T* table, const int64_t* rows, float* y, int64_t n, int width,
                         cudaStream_t stream);

// y[i, j] = x[i, columns[j]], as bf16. x, y: [n, width], x of float or bf16; columns: [width] on
// the device.
template <class T>
cudaError_t select_columns(const T* x, const int* columns, bf16* y, int64_t n, int width,
                           cudaStream_t stream);

// [n, width] from rows `from_stride` apart to rows `to_stride` apart.
cudaError_t copy_rows(float* to, int64_t to_stride, const float* from, int64_t from_stride,
                      int64_t n, int width, cudaStream_t stream);

// y[n, width]: means of the pairs of rows of x[2n, width].
cudaError_t avg_pool_pairs(const float* x, float* y, int64_t n, int width, cudaStream_t stream);

}  // namespace omni::cuda
