#include "interface/kv_pages.h"

#include <algorithm>

namespace omni {

namespace {
constexpr size_t kSlabBytes = size_t{1} << 20;  // or one page, where that is more
}

void* KvPages::take(Arena& arena) {
  Slab& slab = slab_with_room(arena);
  if (slab.is_empty()) --n_empty_;
  void* page = slab.free.back();
  slab.free.pop_back();
  ++n_taken_;
  return page;
}

KvPages::Slab& KvPages::slab_with_room(Arena& arena) {
  Slab* empty = nullptr;
  for (auto& [begin, slab] : slabs_) {
    if (slab.free.empty()) continue;
    if (!slab.is_empty()) return slab;
    empty = &slab;
  }
  return empty ? *empty : grow(arena);
}

KvPages::Slab& KvPages::grow(Arena& arena) {
  const size_t page = layout_.page_bytes();
  const auto n_pages = int64_t(std::max<size_t>(1, kSlabBytes / page));
  const size_t bytes = size_t(n_pages) * page;
  if (bytes > most_bytes_ - bytes_)
    throw Error(ErrorCode::out_of_memory, "no room for more context: its pages hold " +
                                              std::to_string(bytes_ >> 20) + " MiB of at most " +
                                              std::to_string(most_bytes_ >> 20));
  Slab slab{
      arena.lasting(layout_.dtype, {int64_t(bytes / size_of(layout_.dtype))}, "keys and values"),
      n_pages,
      {}};
  auto* begin = static_cast<std::byte*>(slab.memory.raw());
  for (int64_t i = n_pages; i-- > 0;) slab.free.push_back(begin + size_t(i) * page);
  bytes_ += bytes;
  ++n_empty_;
  return slabs_.emplace(begin, std::move(slab)).first->second;
}

void KvPages::give(void* page) noexcept {
  const auto there = std::prev(slabs_.upper_bound(page));
  Slab& slab = there->second;
  slab.free.push_back(page);
  --n_taken_;
  if (!slab.is_empty() || n_empty_++ == 0) return;
  --n_empty_;
  bytes_ -= slab.memory.nbytes();
  slabs_.erase(there);
}

}  // namespace omni
