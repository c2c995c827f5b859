// Runs a launch block by block: a fiber for each thread, resumed in turn until it waits at a
// barrier or a warp operation, or is done.
#include <algorithm>
#include <map>

#include "emu/device.h"
#include "emu/fiber.h"
#include "emu/memory.h"
#include "emu/stream.h"

thread_local uint3 threadIdx, blockIdx;
thread_local dim3 blockDim, gridDim;

namespace omni::emu {

namespace {

constexpr size_t kSharedLimit = 48 << 10;  // of arrays
constexpr size_t kMostShared = 227 << 10;  // with what a launch asks for
constexpr unsigned kMostThreads = 1024;

struct Thread {
  Fiber fiber;
  uint32_t block_phase = 0, warp_phase = 0, access = 0;
  uint3 index{};
  enum class Waits { no, block, warp } waits = Waits::no;
  int line = 0;  // of the barrier
  uint32_t mask = 0, value = 0, result = 0;
  bool orders = false;  // is a __syncwarp: other operations of a warp say nothing about its memory
  const void* offered = nullptr;
  const void* offers[32] = {};
  int source = 0;
  struct Copy {
    void* to;
    const void* from;  // nullptr: zeros
    size_t bytes;
    int group;
  };
  std::vector<Copy> copies;  // that it has not waited for
  int group = 0;             // of its next copy
};

class Block {
 public:
  Block(const LaunchShape& shape, const char* name)
      : shape_(shape), name_(name), n_(shape.block.x * shape.block.y * shape.block.z) {
    for (auto it = threads().size(); it < n_; ++it) threads().push_back(std::make_unique<Thread>());
  }

  void run(uint32_t number, const std::function<void()>& body) {
    number_ = number;
    Memory::instance().forget(shared_memory(), used_);  // what the block before left
    used_ = 0;
    Memory::instance().trim(shared_memory(), 0);
    sites_.clear();
    dynamic_ = shape_.shared ? take(shape_.shared, kMostShared) : nullptr;
    for (unsigned i = 0; i < n_; ++i) {
      Thread& t = *threads()[i];
      t.index = {i % shape_.block.x, i / shape_.block.x % shape_.block.y,
                 i / (shape_.block.x * shape_.block.y)};
      t.block_phase = t.warp_phase = 0;
      t.waits = Thread::Waits::no;
      t.copies.clear(), t.group = 0;
      note(i);
    }
    bool begun = false;
    for (;;) {
      bool moved = false;
      for (unsigned i = 0; i < n_; ++i) {
        Thread& t = *threads()[i];
        if (begun && (t.fiber.finished() || t.waits != Thread::Waits::no)) continue;
        now_ = i;
        ::threadIdx = t.index;
        current_access = t.access;
        if (begun)
          t.fiber.resume();
        else
          t.fiber.start(&body);
        moved = true;
      }
      begun = true;
      moved |= release_warps();
      moved |= release_block();
      if (std::all_of(threads().begin(), threads().begin() + n_,
                      [](const auto& t) { return t->fiber.finished(); }))
        return look_for_open_copies();
      if (!moved) return stuck();
    }
  }

  void* shared(const void* site, size_t bytes) {
    void*& p = sites_[site];
    // a launch asks for more where what it has of its own is more, not where both are
    if (!p) p = take(bytes, kSharedLimit + (shape_.shared > kSharedLimit ? shape_.shared : 0));
    return p;
  }
  void* dynamic_shared() { return dynamic_; }

  void copy_async(void* to, const void* from, size_t bytes) {
    auto& memory = Memory::instance();
    Thread& t = current();
    if (reinterpret_cast<char*>(to) < shared_memory() ||
        reinterpret_cast<char*>(to) >= shared_memory() + kMostShared)
      report(std::string(name_) + ": copy_async", "to memory that is not shared");
    if (from) memory.kernel_reads(from, bytes, t.access, true);
    memory.kernel_will_write(to, bytes, t.access);
    t.copies.push_back({to, from, bytes, t.group});
  }
  void end_copies() { ++current().group; }
  void wait_for_copies(int n_open) {
    Thread& t = current();
    std::erase_if(t.copies, [&](const Thread::Copy& c) {
      if (c.group >= t.group - n_open) return false;
      Memory::instance().kernel_writes(c.to, c.bytes, t.access, true);
      c.from ? std::memcpy(c.to, c.from, c.bytes) : std::memset(c.to, 0, c.bytes);
      return true;
    });
  }

  void wait_block(int line) { wait(Thread::Waits::block, line); }
  uint32_t wait_warp(uint32_t mask, uint32_t value, int source, int line, bool orders = false) {
    Thread& t = current();
    if (!(mask >> (now_ % 32) & 1))
      report(std::string(name_) + ": warp operation",
             "line " + std::to_string(line) + ": a lane that its own mask leaves out");
    t.mask = mask, t.value = value, t.source = source, t.orders = orders;
    wait(Thread::Waits::warp, line);
    return current().result;
  }

  const void* const* exchange(uint32_t mask, const void* mine, int line) {
    current().offered = mine;
    wait_warp(mask, 0, int(now_ % 32), line);
    current().offered = nullptr;
    return current().offers;
  }

 private:
  static std::vector<std::unique_ptr<Thread>>& threads() {
    static std::vector<std::unique_ptr<Thread>> all;
    return all;
  }
  // One for all launches: they run one after the other.
  static char* shared_memory() {
    static auto* all =
        static_cast<char*>(Memory::instance().allocate(kMostShared, "shared memory"));
    return all;
  }
  Thread& current() { return *threads()[now_]; }

  void* take(size_t bytes, size_t limit) {
    limit = std::min(limit, kMostShared);
    const size_t at = (used_ + 15) / 16 * 16;
    used_ = at + bytes;
    Memory::instance().trim(shared_memory(), std::min(used_, kMostShared));
    if (used_ <= limit) return shared_memory() + at;
    report(std::string(name_) + ": shared memory",
           std::to_string(used_) + " bytes of shared memory; a block has " + std::to_string(limit));
    used_ = kMostShared;
    return shared_memory();
  }
  void look_for_open_copies() {
    for (unsigned i = 0; i < n_; ++i)
      if (!threads()[i]->copies.empty())
        return report(std::string(name_) + ": copy_async",
                      "thread " + std::to_string(i) + " does not wait for its copies");
  }
  void note(unsigned i) {
    Thread& t = *threads()[i];
    t.access = Memory::instance().note({number_, i, t.block_phase, t.warp_phase});
  }
  void wait(Thread::Waits what, int line) {
    Thread& t = current();
    t.waits = what, t.line = line;
    t.fiber.yield();
  }

  bool release_warps() {
    bool any = false;
    for (unsigned first = 0; first < n_; first += 32) {
      for (unsigned i = first; i < std::min(first + 32, n_); ++i) {
        Thread& t = *threads()[i];
        if (t.fiber.finished() || t.waits != Thread::Waits::warp) continue;
        // All lanes of its mask that are still there must wait at the same operation.
        bool all = true;
        for (unsigned l = 0; l < 32 && all; ++l) {
          if (!(t.mask >> l & 1) || first + l >= n_) continue;
          const Thread& o = *threads()[first + l];
          if (o.fiber.finished())
            report(std::string(name_) + ": warp operation",
                   "line " + std::to_string(t.line) + ": its mask names a lane that is done");
          else
            all = o.waits == Thread::Waits::warp && o.line == t.line && o.mask == t.mask;
        }
        if (!all) continue;
        const uint32_t mask = t.mask;
        for (unsigned l = 0; l < 32; ++l) {
          if (!(mask >> l & 1) || first + l >= n_) continue;
          Thread& o = *threads()[first + l];
          const unsigned source = unsigned(o.source) % 32;
          if (!(mask >> source & 1) || first + source >= n_)
            report(std::string(name_) + ": warp operation",
                   "line " + std::to_string(o.line) + ": reads a lane that takes no part");
          o.result = first + source < n_ ? threads()[first + source]->value : 0;
        }
        for (unsigned l = 0; l < 32; ++l)
          if ((mask >> l & 1) && first + l < n_) {
            Thread& o = *threads()[first + l];
            for (unsigned m = 0; m < 32 && o.offered; ++m)
              o.offers[m] = first + m < n_ ? threads()[first + m]->offered : nullptr;
            o.waits = Thread::Waits::no;
            o.warp_phase += o.orders;
            note(first + l);
          }
        any = true;
      }
    }
    return any;
  }

  bool release_block() {
    int line = 0;
    bool done = false;
    for (unsigned i = 0; i < n_; ++i) {
      const Thread& t = *threads()[i];
      if (t.fiber.finished()) {
        done = true;
        continue;
      }
      if (t.waits != Thread::Waits::block) return false;
      if (line && t.line != line)
        report(std::string(name_) + ": divergent barrier",
               "__syncthreads of line " + std::to_string(line) + " and of line " +
                   std::to_string(t.line));
      line = t.line;
    }
    if (!line) return false;
    if (done)
      report(std::string(name_) + ": divergent barrier",
             "line " + std::to_string(line) + ": threads are done that others wait for");
    for (unsigned i = 0; i < n_; ++i) {
      Thread& t = *threads()[i];
      t.waits = Thread::Waits::no;
      ++t.block_phase;
      note(i);
    }
    return true;
  }

  void stuck() {
    std::string where;
    for (unsigned i = 0; i < n_ && where.size() < 60; ++i)
      if (!threads()[i]->fiber.finished())
        where += " thread " + std::to_string(i) + " at line " + std::to_string(threads()[i]->line);
    report(std::string(name_) + ": deadlock", "waiting for ever:" + where);
  }

  const LaunchShape& shape_;
  const char* name_;
  const unsigned n_;
  static inline size_t used_ = 0;  // of shared_memory()
  std::map<const void*, void*> sites_;
  void* dynamic_ = nullptr;
  uint32_t number_ = 0;
  unsigned now_ = 0;
};

Block* g_block = nullptr;  // that is running

void run_launch(const LaunchShape& shape, const char* name, const std::function<void()>& body) {
  auto& memory = Memory::instance();
  memory.begin_launch(name);
  ::blockDim = shape.block, ::gridDim = shape.grid;
  Block block(shape, name);
  g_block = &block;
  const uint64_t n_blocks = uint64_t(shape.grid.x) * shape.grid.y * shape.grid.z;
  for (uint64_t b = 0; b < n_blocks; ++b) {
    ::blockIdx = {unsigned(b % shape.grid.x), unsigned(b / shape.grid.x % shape.grid.y),
                  unsigned(b / (uint64_t(shape.grid.x) * shape.grid.y))};
    block.run(uint32_t(b), body);
  }
  g_block = nullptr;
  memory.end_launch();
}

}  // namespace

cudaError_t launch(const LaunchShape& shape, cudaStream_t stream, const char* name,
                   std::function<void()> body) {
  const uint64_t threads = uint64_t(shape.block.x) * shape.block.y * shape.block.z,
                 blocks = uint64_t(shape.grid.x) * shape.grid.y * shape.grid.z;
  if (threads == 0 || threads > kMostThreads || shape.block.z > 64 || blocks == 0 ||
      shape.grid.y > 65535 || shape.grid.z > 65535 || shape.grid.x > 0x7fffffffu ||
      shape.shared > kMostShared)
    return cudaErrorInvalidConfiguration;
  return enqueue(stream, [shape, name, body = std::move(body)] { run_launch(shape, name, body); });
}

void* shared_array(const void* site, size_t bytes) { return g_block->shared(site, bytes); }
void* dynamic_shared() { return g_block->dynamic_shared(); }
void copy_async(void* to, const void* from, size_t bytes) { g_block->copy_async(to, from, bytes); }
void end_copies() { g_block->end_copies(); }
void wait_for_copies(int n_open) { g_block->wait_for_copies(n_open); }
void sync_threads(int line) { g_block->wait_block(line); }
void sync_warp(unsigned mask, int line) { g_block->wait_warp(mask, 0, int(lane()), line, true); }
const void* const* exchange(unsigned mask, const void* mine, int line) {
  return g_block->exchange(mask, mine, line);
}
bool any(unsigned mask, bool predicate, int line) {
  const void* const* all = exchange(mask, &predicate, line);
  bool found = false;
  for (unsigned l = 0; l < 32; ++l)
    if (mask >> l & 1 && all[l]) found = found || *static_cast<const bool*>(all[l]);
  leave_exchange(line);
  return found;
}
uint32_t shuffle(unsigned mask, uint32_t value, int source_lane, int line) {
  return g_block->wait_warp(mask, value, source_lane, line);
}
int atomic_add(int* address, int value) {
  const int before = *address;
  *address += value;
  return before;
}
bool is_last_warp(int* counter, int n) {
  const bool is_last = ++*counter == n;
  if (is_last) *counter = 0;
  Memory::instance().warp_came_by(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z),
                                  threadIdx.x / 32, counter, is_last);
  return is_last;
}
uint32_t current_access = 0;

}  // namespace omni::emu
