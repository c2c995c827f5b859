// The one place that computes for the sequences of an engine, together what they ask for. A turn:
// draws for the sequences that wait for a token, then one forward of the next token of every
// sequence that has one and of pieces of prompts up to a budget. A token that was drawn is computed
// along with others before anybody asks for it: what a sequence's thread does with a token and the
// next forward overlap.
//
// One thread at a time computes. Whoever waits for a result while nobody computes takes turns until
// it is there: a sequence that is alone needs no switch of threads. What is left then is for the
// scheduler's own thread, which goes on until nothing is to do. On a device the own thread takes
// all turns, and computes a drawn token though it be alone: the device works meanwhile.
//
// Prompts are taken live before file, then in the order of their arrival; whoever has been computed
// a piece of waits behind the others, and whoever has been passed over some turns goes first. Where
// a prompt is cut does not depend on other sequences, and neither does any result.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "decoding/row_pool.h"
#include "decoding/sampler.h"
#include "decoding/token_mask.h"
#include "interface/kept_rows.h"
#include "interface/text_model.h"

namespace omni {

class Scheduler {
 public:
  static constexpr int64_t kMostPromptRows = 512;  // a turn of the host's
  static constexpr int64_t kMostPromptRowsOfDevice = 2048;
  static constexpr int kMostTurnsPassedOver = 4;

  struct Options {
    std::optional<DType> kv_type;  // what the model finds best
    // of pages; 0: as much as the host has of memory, and as much as can be had of a device's
    size_t most_kv_bytes = 0;
  };
  Scheduler(const TextModel& model, ThreadPool& pool) : Scheduler(model, pool, Options()) {}
  Scheduler(const TextModel& model, ThreadPool& pool, const Options& options);
  ~Scheduler();  // when all sequences are closed
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  const TextModel& model() const { return model_; }
  const Device* device() const { return arena_.device(); }  // nullptr: the host

  // A sequence as the scheduler has it.
  class Entry;
  enum class Priority { live, file };
  // keeps_rows: prefill() and decode() give the last hidden state + embedding of every row (of
  // media, the hidden state alone). tokens: the lane of what decode() adds.
  std::shared_ptr<Entry> open(Priority priority, bool keeps_rows, Lane tokens = Lane::text);
  void set_priority(Entry& entry, Priority priority);  // of what is asked for from now on

  // All from any thread, returning at once; what one sequence asks for is done in its order, when
  // somebody wait()s or start()s. Errors come through the futures:
  // cancelled, out_of_memory, and what the model throws. After an error everything fails with it
  // until truncate() goes back to rows that are there.
  using Kept = std::vector<KeptRows>;  // n rows, none unless the sequence keeps them
  // Text rows, or rows whose values are given but for the text around them: [n, hidden], there
  // until it is done. At least one.
  std::future<Kept> prefill(Entry& entry, Rows rows, const float* values);
  // One token of text.
  std::future<Kept> decode(Entry& entry, int32_t id, const Position& at);

  struct Choice {
    int32_t id;
    double probability;  // what the model gave it before mask and sampling; 0 unless asked for
  };
  // How the token behind the last row is chosen. What is pointed to stays until it is done.
  struct Draw {
    Sampler* sampler;
    const SamplingOptions* options;
    TokenMask* mask;                   // nullptr: of all tokens
    std::span<const int32_t> history;  // for the repetition penalty
    bool with_probability;
    Position next;  // of the token that is chosen
    // Nothing is computed behind such a token before it is asked for. Empty: behind none.
    std::function<bool(int32_t id)> is_stop;
  };
  std::future<Choice> draw(Entry& entry, Draw how);
  std::future<std::vector<float>> logits(Entry& entry);  // behind the last row

  // Forgets rows from `length` on, and start()s.
  void truncate(Entry& entry, int64_t length);
  std::future<void> slide(Entry& entry, int64_t begin, int64_t end, const LaneShift& shift);
  // All rows, and in place of none. Errors are those of SequenceState; nothing fails after them.
  std::future<SavedState> save(Entry& entry);
  std::future<void> load(Entry& entry, SavedState saved);
  // Fails whatever the sequence asks for, at the latest after the turn that is being computed,
  // until resume(). Edits are still done. start()s.
  void cancel(Entry& entry) noexcept;
  void resume(Entry& entry);
  // Its pages go back. Nothing else may be asked for after it.
  std::future<void> close(const std::shared_ptr<Entry>& entry);

  // The own thread shall do what was asked for.
  void start() noexcept;
  // The result, for which the caller computes if nobody else does.
  template <class T>
  T wait(std::future<T> result) {
    compute_until(
        [&] { return result.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
    return result.get();
  }

  struct Counts {
    int64_t turns = 0;                       // with a forward
    int64_t text_rows = 0, prompt_rows = 0;  // computed as single tokens, in pieces of prompts
    int64_t n_sequences = 0, pages = 0;
  };
  Counts counts() const;

 private:
  class Batch;
  struct Drawn {
    std::promise<Choice> to;
    Choice choice;
  };
  using Entries = std::vector<std::shared_ptr<Entry>>;

  template <class Request>
  auto ask(Entry& entry, Request request);
  void compute_until(const std::function<bool()>& enough);  // or another thread computes
  void run();                                               // of the own thread

  // --- the thread that computes
  bool take_turns(std::unique_lock<std::mutex>& lock, const std::function<bool()>& enough);
  void collect();
  void turn(const std::function<bool()>& enough);
  static void tell(std::vector<Drawn> drawn);
  bool has_more_to_do() const;
  bool settle(Entry& entry);
  void draw();
  void draw_from(const std::vector<Entry*>& entries, ops::Context& cx, const Tensor& logits);
  static void draw_on_device(const std::vector<Entry*>& entries, ops::Context& cx,
                             const Tensor& logits,
                             std::vector<std::optional<ops::Sampling>> samplings,
                             std::vector<std::optional<Choice>>& choices);
  void forward();
  void count(const Batch& batch);

  const TextModel& model_;
  ThreadPool& pool_;

  mutable std::mutex lock_;
  std::condition_variable wake_;
  Entries open_;            // under lock_
  bool asked_ = false;      // under lock_: something is new
  bool computing_ = false;  // under lock_: some thread takes turns
  bool called_ = false;     // under lock_: the own thread shall, and nobody else before it
  bool stopping_ = false;   // under lock_
  Counts counts_;           // under lock_

  // Of the thread that computes.
  Arena arena_;
  KvPages pages_;
  RowPool kept_;
  ForwardWorkspace workspace_{kLanes};
  Entries entries_;           // the open ones, as they were when the turn began
  bool more_to_do_ = false;   // without anything new
  std::vector<Drawn> drawn_;  // tokens that nobody was told yet
  uint64_t n_arrived_ = 0;    // prompts
  std::thread thread_;        // last: it uses everything above
};

}  // namespace omni
