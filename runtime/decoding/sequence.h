// The text model's cache with everything that belongs to its rows, and the two ways to add to it:
// prefill in pieces, decode one token at a time.
#pragma once

#include <atomic>
#include <span>
#include <vector>

#include "decoding/sampler.h"
#include "decoding/token_mask.h"
#include "interface/text_model.h"

namespace omni {

class Sequence {
 public:
  Sequence(const TextModel& model, ThreadPool& pool, const std::atomic<bool>& cancelled)
      : model_(model),
        pool_(pool),
        cancelled_(cancelled),
        arena_(model.device()),
        cache_(model.new_cache()),
        step_(model.new_step()),
        last_hidden_(arena_.lasting(DType::f32, {1, model.hidden()})) {}

  Cursor& cursor() { return cursor_; }
  int64_t length() const { return cache_.length(); }
  std::span<const int32_t> ids() const { return ids_; }
  std::span<const Position> positions() const { return positions_; }

  // From now on the last hidden state + embedding of every row is kept (of media, the hidden state
  // alone): what a Talker is told. Before the first row.
  void keep_rows() { keeps_rows_ = true; }
  std::span<const float> kept_rows() const { return kept_; }  // [length, hidden]

  // Text rows, or rows whose values are given ([n, hidden]). Throws cancelled between pieces.
  void prefill(const Rows& rows, const float* values = nullptr);
  // Logits behind the last row that was added. Valid until the next call.
  std::span<float> logits();
  // The token that the sampler picks behind the last row, of those that the mask allows (nullptr:
  // of all); on the model's device, so that the logits stay there, where it can be. `probability`
  // is what the model gave it before mask and sampling, and wrong unless it was asked for.
  struct Choice {
    int32_t id;
    double probability;
  };
  Choice choose(Sampler& sampler, const SamplingOptions& options, TokenMask* mask,
                bool with_probability);
  // Adds one token at the cursor.
  void decode(int32_t id);

  // A place to come back to.
  struct Mark {
    int64_t length;
    Cursor cursor;
  };
  Mark mark() const { return {cache_.length(), cursor_}; }
  void back_to(const Mark& mark);
  // Takes rows [begin, end) out; positions stay.
  void erase(int64_t begin, int64_t end);
  // Rows from `begin` on move by −delta(row).
  void shift(int64_t begin, const std::function<Position(int64_t)>& delta);
  void clear() { back_to({0, {}}); }

 private:
  const TextModel& model_;
  ThreadPool& pool_;
  const std::atomic<bool>& cancelled_;
  Arena arena_;
  KvCache cache_;
  DecoderStep step_;
  Cursor cursor_;
  std::vector<int32_t> ids_;
  std::vector<Position> positions_;
  Tensor last_hidden_;                    // [1, hidden] of the last row
  std::vector<float> logits_, unmasked_;  // unmasked_: where somebody asks for the probability
  void keep(ops::Context& cx, const Tensor& hidden, const Tensor* embedded);
  bool keeps_rows_ = false;
  std::vector<float> kept_;
};

}  // namespace omni
