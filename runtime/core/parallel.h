// A loop over tiles on a pool's threads, or on the caller's where there is no pool.
#pragma once

#include "core/thread_pool.h"

namespace omni {

// As ThreadPool::parallel_for().
template <class Body>
void parallel_for(ThreadPool* pool, int64_t n_tiles, double work, const Body& body) {
  if (pool) return pool->parallel_for(n_tiles, work, body);
  for (int64_t tile = 0; tile < n_tiles; ++tile) body(tile);
}

}  // namespace omni
