// The memory of keys and values of all sequences of an engine: pages of ops::kPageRows rows of all
// layers, taken and given back one by one. It is had in slabs, when pages are asked for; a slab
// goes back when all its pages have been given back, but for one, so that a sequence which comes
// and goes at the edge of a slab asks for no memory. One thread at a time, always the same arena:
// on a device pages change hands in the order of its queue's work.
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <vector>

#include "core/arena.h"
#include "ops/paged_attention.h"

namespace omni {

class KvPages {
 public:
  explicit KvPages(const ops::KvLayout& layout,
                   size_t most_bytes = std::numeric_limits<size_t>::max())
      : layout_(layout), most_bytes_(most_bytes) {}
  KvPages(const KvPages&) = delete;
  KvPages& operator=(const KvPages&) = delete;

  const ops::KvLayout& layout() const { return layout_; }
  // Uninitialised. Throws out_of_memory.
  void* take(Arena& arena);
  void give(void* page) noexcept;

  int64_t n_taken() const { return n_taken_; }
  size_t bytes() const { return bytes_; }  // of all slabs

 private:
  struct Slab {
    Tensor memory;
    int64_t n_pages;
    std::vector<void*> free;  // the next one last
    bool is_empty() const { return int64_t(free.size()) == n_pages; }
  };
  Slab& slab_with_room(Arena& arena);
  Slab& grow(Arena& arena);

  ops::KvLayout layout_;
  size_t most_bytes_, bytes_ = 0;
  int64_t n_taken_ = 0;
  int n_empty_ = 0;                    // slabs of which no page is taken: at most one
  std::map<const void*, Slab> slabs_;  // by where they begin
};

}  // namespace omni
