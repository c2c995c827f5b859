// Which tokens a forward computes and where the keys and values that they see lie: written once a
// forward on the host and used by every layer (paged_attention.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/ops.h"

namespace omni::ops {

constexpr int64_t kPageRows = 64;  // tokens whose keys and values share a page

// A sequence's keys and values lie in lanes, each with pages of its own: row r of a lane lies in
// its page r / kPageRows, at row r % kPageRows. Every sequence of a batch has as many lanes; some
// may be empty. One thread at a time; used again and again, it stops allocating.
class PagedBatch {
 public:
  static constexpr int kMostLanes = 4;
  static constexpr int kTileQueries = 128;  // of spans that a device cuts into tiles
  static constexpr int kStretchKeys = 128;  // of tokens alone in their span, whose keys it splits
  static constexpr int kCounters = 64;      // of such a token, for whoever splits them

  struct Lane {
    std::span<void* const> pages;  // where they lie, on the context's device
    int32_t first = 0;             // rows before it are not seen any more
    int32_t end = 0;               // rows [first, end) are there already
  };
  struct Slot {
    void* page;
    int64_t row;  // in the page
  };
  // A query sees rows [first, end) of the lane whose pages are tables()[table …].
  struct Seen {
    int32_t table, first, end;
  };
  // Tokens [begin, end) of the batch are of one sequence.
  struct Span {
    int32_t begin, end;
  };
  // Of two batches with equal shapes everything lies at the same places of the device, and ops ask
  // for the same kernels: what was recorded (Device::Queue::record) with the one runs for the
  // other.
  struct Shape {
    int64_t n_tokens, n_singles, n_tiles, most_stretches;
    const void* there;  // where it was uploaded to
    int64_t tables;     // bytes from there to the tables
    bool operator==(const Shape&) const = default;
  };

  explicit PagedBatch(int n_lanes);

  void clear();
  // The next tokens of one sequence, behind those that were added before: token i becomes the next
  // row of lane lane_of[i], and sees the rows of all lanes up to its own. The pages have room for
  // them. Throws internal where they have not.
  void add(std::span<const Lane> lanes, std::span<const uint8_t> lane_of);
  // n positions that go to the device with the rest: to be filled before upload().
  std::span<RotaryPosition> add_positions(int64_t n);
  // Ends what is added; needed on the host, too. Copies it to the context's device, always the same
  // context's; the copy stays until the next one.
  void upload(Context& cx);

  int n_lanes() const { return n_lanes_; }
  int64_t n_tokens() const { return int64_t(slots_.size()); }
  std::span<const Span> spans() const { return spans_; }
  std::span<const Slot> slots() const { return slots_; }
  std::span<void* const> tables() const { return tables_; }
  const Seen& seen(int64_t token, int lane) const { return seen_[size_t(token * n_lanes_ + lane)]; }

  // Where the ops run, after upload().
  struct There {
    const RotaryPosition* positions;
    const Slot* slots;       // [n_tokens]
    const Seen* seen;        // [n_tokens, n_lanes]
    const int32_t* singles;  // [n_singles]: tokens alone in their span
    const Span* tiles;       // [n_tiles]: the other spans, at most kTileQueries each
    void* const* tables;
    int32_t* counters;  // [n_singles, kCounters] zeros; on a device only
  };
  const There& there() const { return there_; }
  const Shape& shape() const { return shape_; }

 private:
  void cut_into_tiles();

  int n_lanes_;
  std::vector<RotaryPosition> positions_;
  std::vector<Slot> slots_;
  std::vector<Seen> seen_;
  std::vector<int32_t> singles_;
  std::vector<Span> spans_, tiles_;
  std::vector<void*> tables_;
  std::vector<int32_t> counters_;
  std::vector<std::byte> packed_;
  Tensor room_;  // of the device
  There there_{};
  Shape shape_{};
};

}  // namespace omni::ops
