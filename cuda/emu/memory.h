// The emulated device's memory and what the checker knows of each byte of it: whether it was ever
// written, and who wrote and read it last.
//
// Order of accesses inside a launch: a thread's own; before and after a __syncthreads of the block;
// before and after a __syncwarp of the warp (a shuffle orders nothing); those of blocks before they
// were counted and of the last one of them after. Everything else is a race if one of the two
// writes. Needs no unlucky schedule to be seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace omni::emu {

// What went wrong, one line each; the same kind of thing in the same kernel is told once. With
// OMNI_CUDA_FAULTS=abort in the environment the program ends at the first.
std::vector<std::string>& reports();
void report(const std::string& kind, const std::string& detail);

// An emulated thread between two barriers.
struct Access {
  uint32_t block, thread, block_phase, warp_phase;
};

class Memory {
 public:
  static Memory& instance();

  // Poisoned with NaNs; never the same address twice. nullptr: beyond the limit.
  void* allocate(size_t bytes, const char* what);
  bool release(void* pointer);
  // Of an allocation only its first bytes are there from now on.
  void trim(void* pointer, size_t bytes) { blocks_[static_cast<char*>(pointer)].bytes = bytes; }
  void set_limit(size_t bytes) { limit_ = bytes; }
  // What the environment says with OMNI_CUDA_MEMORY=bytes goes before what was set.
  size_t limit() const;
  size_t in_use() const { return in_use_; }

  bool contains(const void* p) const { return p >= base_ && p < base_ + kReserved; }
  // A live range of one allocation?
  bool is_live(const void* p, size_t bytes) const;
  // What the host's copies do.
  void host_wrote(void* p, size_t bytes);
  bool is_written(const void* p, size_t bytes) const;

  // A launch begins: accesses before it are in the past.
  void begin_launch(const std::string& kernel);
  void end_launch() { launching_ = false; }
  // Shared memory of a block that begins: unwritten again.
  void forget(void* p, size_t bytes);
  uint32_t note(const Access& who);  // its number in this launch
  // A warp was counted (is_last_warp in device.h): its accesses so far are in the past of the last
  // one, as far as this one's are behind it.
  void warp_came_by(uint32_t block, uint32_t warp, const int* counter, bool is_last);

  // From the hooks of -fsanitize=thread. `size` bytes at p by access number `who`.
  void kernel_reads(const void* p, size_t size, uint32_t who, bool aligned);
  void kernel_writes(const void* p, size_t size, uint32_t who, bool aligned);
  // Written at some time from now on: nothing can be read until kernel_writes() tells when.
  void kernel_will_write(void* p, size_t size, uint32_t who);
  bool is_launching() const { return launching_; }

 private:
  struct Byte {
    uint32_t writer = 0;  // 0: nobody; 1: before this launch; else number of an access
    uint32_t reader = 0;  // as writer, with kLanes or kSeveral
  };
  static constexpr size_t kReserved = size_t{16} << 30;
  // threads of several warps since the last barrier of the block
  static constexpr uint32_t kSeveral = 1u << 31;
  // several lanes of this one's warp since its last operation
  static constexpr uint32_t kLanes = 1u << 30;
  static constexpr uint32_t kNumber = kLanes - 1;

  Memory();
  Byte* shadow(const void* p) const { return shadow_ + (static_cast<const char*>(p) - base_); }
  // *b ← update(*b) for each of them, asked once for neighbours that are alike.
  template <class Update>
  static void each_alike(Byte* b, size_t size, const Update& update);
  bool in_this_launch(uint32_t access) const { return (access & kNumber) >= first_; }
  bool is_unordered(uint32_t earlier, uint32_t now) const;
  uint32_t joined(uint32_t earlier, uint32_t now) const;  // the reader to remember
  bool check_range(const void* p, size_t size, bool aligned, const char* verb);
  std::string place(const void* p) const;
  std::string who(uint32_t access) const;

  char* base_;
  Byte* shadow_;
  size_t used_ = 0, in_use_ = 0, limit_ = kReserved;
  struct Block {
    size_t bytes;
    bool live;
    const char* what;
  };
  std::map<const char*, Block> blocks_;
  mutable std::map<const char*, Block>::const_iterator last_{};
  std::string kernel_;
  bool launching_ = false;
  uint32_t first_ = 2;            // number of this launch's first access
  std::vector<Access> accesses_;  // of this launch
  struct Counted {
    const int* counter;
    uint32_t number;  // of the next access
    bool is_last;
  };
  const Counted* counted(const Access& who) const;            // nullptr: its warp was not yet
  std::map<std::pair<uint32_t, uint32_t>, Counted> counted_;  // by block and warp, in this launch
};

}  // namespace omni::emu
