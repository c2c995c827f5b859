// What one forward computes for many sequences: a token of every one that has one, then pieces of
// prompts. Of the thread that computes.
#pragma once

#include <vector>

#include "decoding/scheduler_entry.h"

namespace omni {

class Scheduler::Batch {
 public:
  // The arena is the scheduler's: pages are taken from it.
  // kept: where rows go that sequences keep.
  Batch(const TextModel& model, Arena& arena, RowPool& kept)
      : model_(model), arena_(arena), kept_(kept) {}

  // Sequences that have failed, or find no pages, are told and stay out.
  void add_tokens(const Entries& entries);
  // Live before file, then in the order of their arrival, up to most_prompt_rows(). n_arrived: so
  // far.
  void add_prompts(const Entries& entries, uint64_t& n_arrived);

  bool empty() const { return parts_.empty(); }
  int64_t n_prompt_rows() const;
  int64_t n_text_rows() const;  // single tokens

  // What the layers are given: values, and where they belong.
  Tensor embed(ops::Context& cx);  // [n, hidden]
  std::vector<SequenceRows> rows() const;
  bool keeps_rows() const;  // of any sequence
  // Tells the sequences. x, y [n, hidden]: ahead of the layers and behind them; states: what is
  // kept of media.
  void hand_out(ops::Context& cx, const Tensor& x, const Tensor& y, const Tensor& states);
  void fail(const std::exception_ptr& error);

 private:
  // Rows of one sequence.
  struct Part {
    Entry* entry;
    std::span<const int32_t> ids;
    std::span<const Position> positions;
    int64_t n_before = 1, n_behind = 0;  // rows of text, at both ends
    const float* values = nullptr;       // of the rows between
    Lane lane = Lane::text;
    Entry::Prefill* prompt = nullptr;  // of which it is a piece; nullptr: a token
    bool is_ahead = false;
    DeepFeatures deep = {};  // when it is embedded
    Kept kept = {};          // when it is computed
    int64_t n() const { return int64_t(ids.size()); }
    int64_t n_given() const { return n() - n_before - n_behind; }
  };
  struct Waiting {
    Entry* entry;
    Entry::Prefill* prompt;
  };

  int64_t most_prompt_rows() const {
    return model_.device() ? kMostPromptRowsOfDevice : kMostPromptRows;
  }
  static std::vector<Waiting> waiting(const Entries& entries, uint64_t& n_arrived);
  bool add_piece(const Waiting& waiting, int64_t most_rows);
  Part piece_of(const Waiting& waiting, int64_t n) const;  // the next n rows
  void hand_out(ops::Context& cx, Part& part, const Tensor& y);
  void mark_kept();
  void keep(ops::Context& cx, Part& part, const Tensor& x, const Tensor& states);

  const TextModel& model_;
  Arena& arena_;
  RowPool& kept_;
  std::vector<Part> parts_;
};

}  // namespace omni
