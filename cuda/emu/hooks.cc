// Kernels are compiled with -fsanitize=thread and linked with these instead of that library: every
// load and store comes by here. Built without -fsanitize=thread itself.
#include <cstddef>

#include "emu/memory.h"
#include "emu/stream.h"

namespace {

using omni::emu::Memory;

void reads(const void* p, size_t n, bool aligned) {
  Memory& m = Memory::instance();
  if (m.is_launching() && m.contains(p)) m.kernel_reads(p, n, omni::emu::current_access, aligned);
}
void writes(const void* p, size_t n, bool aligned) {
  Memory& m = Memory::instance();
  if (m.is_launching() && m.contains(p)) m.kernel_writes(p, n, omni::emu::current_access, aligned);
}

}  // namespace

extern "C" {

#define OMNI_HOOKS(n)                                              \
  void __tsan_read##n(void* p) { reads(p, n, true); }              \
  void __tsan_write##n(void* p) { writes(p, n, true); }            \
  void __tsan_unaligned_read##n(void* p) { reads(p, n, false); }   \
  void __tsan_unaligned_write##n(void* p) { writes(p, n, false); } \
  void __tsan_volatile_read##n(void* p) { reads(p, n, true); }     \
  void __tsan_volatile_write##n(void* p) { writes(p, n, true); }   \
  void __tsan_read_write##n(void* p) { reads(p, n, true), writes(p, n, true); }
OMNI_HOOKS(1)
OMNI_HOOKS(2)
OMNI_HOOKS(4)
OMNI_HOOKS(8)
OMNI_HOOKS(16)
#undef OMNI_HOOKS
void __tsan_read_range(void* p, size_t n) { reads(p, n, false); }
void __tsan_write_range(void* p, size_t n) { writes(p, n, false); }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}

}  // extern "C"
