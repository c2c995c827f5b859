#include "core/host_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace omni {

namespace {

constexpr size_t kAlign = 256;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kMapped = SIZE_MAX;  // its malloc sees where memory is overstepped
#else
constexpr size_t kMapped = size_t{256} << 10;
#endif

void* map(size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : data;
}

}  // namespace

void* allocate_host(size_t bytes) {
  if (bytes >= kMapped) return map(bytes);
  return std::aligned_alloc(kAlign, std::max<size_t>(1, (bytes + kAlign - 1) / kAlign) * kAlign);
}

void* allocate_host_zeroed(size_t bytes) {
  void* data = allocate_host(bytes);
  if (data && bytes < kMapped) std::memset(data, 0, bytes);
  return data;
}

void release_host(void* data, size_t bytes) noexcept {
  if (bytes < kMapped)
    std::free(data);
  else
    ::munmap(data, bytes);
}

}  // namespace omni
