// The state of a sequence that attends to all of its rows: keys and values in pages, a list of them
// a lane. Keys stay as they were stored when the window slides: what moves is the offset of their
// lane, which a query adds to its own position to meet them (rotary embeddings see differences
// only).
#pragma once

#include <array>
#include <vector>

#include "core/sliding_vector.h"
#include "interface/kv_pages.h"
#include "interface/sequence_state.h"
#include "ops/paged_batch.h"

namespace omni {

class PagedState final : public SequenceState {
 public:
  // Position as it is stored; grows as long as the stream runs.
  using StoredPosition = std::array<int64_t, 3>;

  PagedState(KvPages& pages, int n_lanes) : pages_(pages), lanes_(size_t(n_lanes)) {}
  ~PagedState() override { truncate(0); }
  PagedState(const PagedState&) = delete;
  PagedState& operator=(const PagedState&) = delete;

  int64_t length() const override { return int64_t(lane_of_.size()); }
  void reserve(Arena& arena, Lane lane, int64_t n) override;
  void truncate(int64_t length) override;
  void slide(int64_t begin, int64_t end, const LaneShift& shift) override;
  SavedState save(Arena& arena) const override;
  void load(Arena& arena, const SavedState& saved) override;

  // --- the text model's side
  // Where the rows lie. Valid until the state changes.
  std::span<const ops::PagedBatch::Lane> lanes() const;
  int n_lanes() const { return int(lanes_.size()); }
  const ops::KvLayout& layout() const { return pages_.layout(); }
  // Stored position of a row − its position.
  const StoredPosition& offset(int lane) const { return lanes_[size_t(lane)].offset; }
  // n rows of the lane were computed into the room that reserve() made.
  void advance(Lane lane, int64_t n);

 private:
  struct LanePages {
    std::vector<void*> pages;
    int32_t first = 0, end = 0;  // rows of `pages`; whole pages before `first` are gone
    StoredPosition offset{};
  };
  void give_back_unused(LanePages& lane);
  void save_rows(Arena& arena, std::byte* to, const void* page, int64_t first, int64_t end) const;
  void require_fitting(const SavedState& saved) const;
  void begin_anew(LanePages& lane);  // where no row is left
  void forget_oldest(LanePages& lane, int32_t n);

  KvPages& pages_;
  std::vector<LanePages> lanes_;
  SlidingVector<Lane> lane_of_;  // of each row
  mutable std::vector<ops::PagedBatch::Lane> views_;
};

}  // namespace omni
