#include "emu/memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace omni::emu {

std::vector<std::string>& reports() {
  static std::vector<std::string> all;
  return all;
}

void report(const std::string& kind, const std::string& detail) {
  for (const std::string& r : reports())
    if (r.starts_with(kind)) return;
  reports().push_back(kind + ": " + detail);
  const char* faults = std::getenv("OMNI_CUDA_FAULTS");
  if (!faults || std::strcmp(faults, "abort") != 0) return;
  std::fprintf(stderr, "emulated CUDA: %s\n", reports().back().c_str());
  std::abort();
}

Memory& Memory::instance() {
  static Memory memory;
  return memory;
}

Memory::Memory() {
  const auto map = [](size_t bytes) {
    void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    return p;
  };
  base_ = static_cast<char*>(map(kReserved));
  shadow_ = static_cast<Byte*>(map(kReserved * sizeof(Byte)));
  last_ = blocks_.end();
}

size_t Memory::limit() const {
  const char* bytes = std::getenv("OMNI_CUDA_MEMORY");
  return bytes ? std::strtoull(bytes, nullptr, 10) : limit_;
}

void* Memory::allocate(size_t bytes, const char* what) {
  if (in_use_ + bytes > limit() || used_ + bytes + 512 > kReserved) return nullptr;
  char* p = base_ + used_;
  used_ = (used_ + bytes + 256 + 255) / 256 * 256;  // a gap behind each
  in_use_ += bytes;
  std::memset(p, 0xff, bytes);
  blocks_[p] = {bytes, true, what};
  return p;
}

bool Memory::release(void* pointer) {
  const auto it = blocks_.find(static_cast<const char*>(pointer));
  if (it == blocks_.end() || !it->second.live) return false;
  it->second.live = false;
  in_use_ -= it->second.bytes;
  std::memset(pointer, 0xff, it->second.bytes);
  return true;
}

bool Memory::is_live(const void* p, size_t bytes) const {
  const char* c = static_cast<const char*>(p);
  if (last_ == blocks_.end() || c < last_->first || c >= last_->first + last_->second.bytes) {
    auto it = blocks_.upper_bound(c);
    if (it == blocks_.begin()) return false;
    last_ = --it;
  }
  return last_->second.live && c + bytes <= last_->first + last_->second.bytes;
}

void Memory::host_wrote(void* p, size_t bytes) {
  for (Byte *b = shadow(p), *end = b + bytes; b < end; ++b) *b = {1, 0};
}

bool Memory::is_written(const void* p, size_t bytes) const {
  for (const Byte *b = shadow(p), *end = b + bytes; b < end; ++b)
    if (b->writer == 0) return false;
  return true;
}

void Memory::forget(void* p, size_t bytes) {
  std::memset(p, 0xff, bytes);
  std::memset(static_cast<void*>(shadow(p)), 0, bytes * sizeof(Byte));
}

void Memory::begin_launch(const std::string& kernel) {
  kernel_ = kernel;
  launching_ = true;
  first_ += uint32_t(accesses_.size());
  accesses_.clear();
  counted_.clear();
}

void Memory::warp_came_by(uint32_t block, uint32_t warp, const int* counter, bool is_last) {
  check_range(counter, sizeof *counter, true, "count");
  counted_[{block, warp}] = {counter, first_ + uint32_t(accesses_.size()), is_last};
}

const Memory::Counted* Memory::counted(const Access& who) const {
  const auto it = counted_.find({who.block, who.thread / 32});
  return it == counted_.end() ? nullptr : &it->second;
}

uint32_t Memory::note(const Access& who) {
  accesses_.push_back(who);
  return first_ + uint32_t(accesses_.size()) - 1;
}

bool Memory::is_unordered(uint32_t earlier, uint32_t now) const {
  if (!in_this_launch(earlier)) return false;
  const Access &a = accesses_[(earlier & kNumber) - first_], &b = accesses_[now - first_];
  if (a.block != b.block) {
    const Counted *one = counted(a), *last = counted(b);
    return !one || !last || !last->is_last || one->counter != last->counter ||
           (earlier & kNumber) >= one->number || now < last->number;
  }
  if (a.block_phase < b.block_phase) return false;
  if (earlier & kSeveral || a.thread / 32 != b.thread / 32) return true;
  return a.warp_phase >= b.warp_phase && (a.thread != b.thread || earlier & kLanes);
}

uint32_t Memory::joined(uint32_t earlier, uint32_t now) const {
  if (earlier == 0 || !is_unordered(earlier, now)) return now;
  const Access &a = accesses_[(earlier & kNumber) - first_], &b = accesses_[now - first_];
  const bool lanes = !(earlier & kSeveral) && a.block == b.block && a.thread / 32 == b.thread / 32;
  return now | (lanes ? kLanes : kSeveral);
}

std::string Memory::place(const void* p) const {
  auto it = blocks_.upper_bound(static_cast<const char*>(p));
  if (it == blocks_.begin()) return "no allocation";
  --it;
  return "byte " + std::to_string(static_cast<const char*>(p) - it->first) + " of " +
         it->second.what + " of " + std::to_string(it->second.bytes) + " bytes";
}

std::string Memory::who(uint32_t access) const {
  const Access& a = accesses_[(access & kNumber) - first_];
  return "thread " + std::to_string(a.thread) + " of block " + std::to_string(a.block);
}

bool Memory::check_range(const void* p, size_t size, bool aligned, const char* verb) {
  if (aligned && reinterpret_cast<uintptr_t>(p) % size != 0)
    report(kernel_ + ": misaligned",
           std::string(verb) + " of " + std::to_string(size) + " bytes at " + place(p));
  if (is_live(p, size)) return true;
  report(kernel_ + ": out of bounds",
         std::string(verb) + " of " + std::to_string(size) + " bytes at " + place(p));
  return false;
}

template <class Update>
void Memory::each_alike(Byte* b, size_t size, const Update& update) {
  for (Byte* end = b + size; b < end;) {
    const Byte old = *b, now = update(old);
    for (; b < end && b->writer == old.writer && b->reader == old.reader; ++b) *b = now;
  }
}

void Memory::kernel_reads(const void* p, size_t size, uint32_t now, bool aligned) {
  if (!check_range(p, size, aligned, "read")) return;
  each_alike(shadow(p), size, [&](Byte b) {
    if (b.writer == 0)
      report(kernel_ + ": uninitialised read", who(now) + " reads " + place(p));
    else if (is_unordered(b.writer, now))
      report(kernel_ + ": race",
             who(now) + " reads " + place(p) + ", which " + who(b.writer) + " writes");
    return Byte{b.writer, joined(b.reader, now)};
  });
}

void Memory::kernel_writes(const void* p, size_t size, uint32_t now, bool aligned) {
  if (!check_range(p, size, aligned, "write")) return;
  each_alike(shadow(p), size, [&](Byte b) {
    if (b.writer > 1 && is_unordered(b.writer, now))
      report(kernel_ + ": race",
             who(now) + " writes " + place(p) + ", which " + who(b.writer) + " writes");
    if (b.reader > 1 && is_unordered(b.reader, now))
      report(kernel_ + ": race",
             who(now) + " writes " + place(p) + ", which " + who(b.reader) + " reads");
    return Byte{now, 0};
  });
}

void Memory::kernel_will_write(void* p, size_t size, uint32_t now) {
  kernel_writes(p, size, now, true);
  if (is_live(p, size)) forget(p, size);
}

}  // namespace omni::emu
