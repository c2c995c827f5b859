// A sequence of a scheduler for the one thread that writes it: what its rows are, and verbs that
// wait until they are done. Only cancel() may be called from other threads.
#pragma once

#include <span>
#include <vector>

#include "decoding/kept_list.h"
#include "decoding/scheduler.h"
#include "decoding/sliding_positions.h"

namespace omni {

class Sequence {
 public:
  // The last rows that lie side by side: what follows a slide counts from them.
  struct Block {
    Lane lane = Lane::text;
    std::optional<Modality> track;
    Position highest{};  // on each axis
  };
  // A place to come back to.
  struct Mark {
    int64_t length = 0;
    Cursor cursor;
    Block block;
  };
  using Choice = Scheduler::Choice;

  struct Options {
    Scheduler::Priority priority = Scheduler::Priority::file;
    // The last hidden state + embedding of every row is kept (of media, the hidden state alone):
    // what a Talker is told.
    bool keeps_rows = false;
    // Behind such a token no other comes.
    std::function<bool(int32_t id)> is_stop;
    Lane lane_of_tokens = Lane::text;  // of decode()
  };
  explicit Sequence(Scheduler& scheduler) : Sequence(scheduler, Options()) {}
  Sequence(Scheduler& scheduler, Options options);
  ~Sequence();
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  Cursor& cursor() { return cursor_; }
  int64_t length() const { return int64_t(ids_.size()); }
  std::span<const int32_t> ids() const { return ids_.span(); }
  std::vector<Position> positions() const { return positions_.all(); }
  const KeptList::Pieces& kept_rows() const { return kept_.pieces(); }

  // Text rows, or rows whose values are given but for the text around them ([n, hidden]). Where it
  // throws (cancelled, out_of_memory) none of them were added.
  void prefill(const Rows& rows, const float* values = nullptr);
  // Logits behind the last row that was added.
  std::vector<float> logits();
  // The token that the sampler picks behind the last row, of those that the mask allows (nullptr:
  // of all); on the model's device, so that the logits stay there, where it can be. `probability`
  // is what the model gave it before mask and sampling, and wrong unless it was asked for.
  Choice choose(Sampler& sampler, const SamplingOptions& options, TokenMask* mask,
                bool with_probability);
  // Adds one token at the cursor. Waits only where rows are kept: otherwise it is computed with
  // what comes next, which throws what goes wrong.
  void decode(int32_t id);

  Mark mark() const { return {length(), cursor_, block_}; }
  void back_to(const Mark& mark);
  // Rows [begin, end), the oldest of their lanes, leave; all others of each lane move by −shift.
  // Costs what leaves, not what stays.
  void slide(int64_t begin, int64_t end, const LaneShift& shift);
  // Wakes whoever waits: that and all that follows throws cancelled, until clear().
  void cancel() noexcept { scheduler_.cancel(*entry_); }
  void clear();

  void set_priority(Scheduler::Priority priority) { scheduler_.set_priority(*entry_, priority); }

  // All of it on the host, and in place of nothing. What it throws leaves it as it was:
  // corrupt_file, out_of_memory.
  struct Saved {
    SavedState state;
    std::vector<int32_t> ids;
    std::vector<Position> positions;
    Tensor kept;  // [n, hidden], where rows are kept
    Mark end;
  };
  Saved save();
  void load(Saved saved);

 private:
  void add(std::span<const int32_t> ids, std::span<const Position> positions, Lane lane,
           const Scheduler::Kept& kept);
  void keep(const Tensor& rows);

  Scheduler& scheduler_;
  Options options_;
  std::shared_ptr<Scheduler::Entry> entry_;
  Cursor cursor_;
  Block block_;
  SlidingVector<int32_t> ids_;
  SlidingPositions positions_;
  KeptList kept_;
};

}  // namespace omni
