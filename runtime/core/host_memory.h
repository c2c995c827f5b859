// Memory of the host, aligned to 256 bytes. What is large is mapped on its own and goes back to the
// system as soon as it is released: malloc keeps what is free, in pieces, once for each of its
// arenas, and a process whose streams come and go never gets smaller again. Any thread.
#pragma once

#include <cstddef>

namespace omni {

// nullptr where there is none. `bytes` may be 0.
void* allocate_host(size_t bytes);
void* allocate_host_zeroed(size_t bytes);

// What was allocated with as many bytes.
void release_host(void* data, size_t bytes) noexcept;

}  // namespace omni
