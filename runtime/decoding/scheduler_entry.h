// A sequence as the scheduler has it: what was asked for in its order, its state, the row behind
// which the next token is chosen, and the token that was drawn and is computed before it is asked
// for. Of the thread that computes, but for what is said otherwise.
#pragma once

#include <atomic>
#include <deque>
#include <optional>
#include <utility>
#include <variant>

#include "decoding/scheduler.h"

namespace omni {

class Scheduler::Entry {
 public:
  // --- what can be asked for
  struct Prefill {
    Rows rows;
    const float* values;
    std::promise<Kept> done;
    int64_t n_done = 0;  // rows
    uint64_t arrival = 0;
    int n_passed_over = 0;
    Kept kept;
  };
  struct Decode {
    int32_t id;
    Position at;
    std::promise<Kept> done;
  };
  struct Choose {
    Draw how;
    std::promise<Choice> done;
  };
  struct Logits {
    std::promise<std::vector<float>> done;
  };
  struct Truncate {
    int64_t length;
    std::promise<void> done;
  };
  struct Slide {
    int64_t begin, end;
    LaneShift shift;
    std::promise<void> done;
  };
  struct Save {
    std::promise<SavedState> done;
  };
  struct Load {
    SavedState saved;
    std::promise<void> done;
  };
  struct Close {
    std::promise<void> done;
  };
  using Request = std::variant<Prefill, Decode, Choose, Logits, Truncate, Slide, Save, Load, Close>;

  struct Ahead {
    int32_t id;
    Position at;
    bool computed = false;
    Kept kept;
  };

  Entry(Priority p, bool keeps, Lane l) : priority(p), keeps_rows(keeps), lane_of_tokens(l) {}

  template <class R>
  R* front() {
    return todo.empty() ? nullptr : std::get_if<R>(&todo.front());
  }
  bool wants_logits() { return front<Choose>() || front<Logits>(); }
  Tensor last_hidden() const { return hidden.rows(current, current + 1); }  // [1, hidden]

  // Takes over what is new. Under the scheduler's lock.
  void collect();
  // Does what comes first, where it needs no forward and is no Close. False: there is no such
  // thing.
  bool settle(Arena& arena);
  void drop_ahead();
  // False: there is none, and the sequence was told.
  bool make_room(Arena& arena, Lane lane, int64_t n);

  // Whether a device can draw the token that is waited for.
  bool draws_on_device();
  // That token, from logits on the host, which are used up; or how a device draws it, and what it
  // drew. None: the request was not for one, or failed and was told so.
  std::optional<Choice> choose(std::span<float> logits);
  std::optional<ops::Sampling> sampling(int64_t vocabulary);
  std::optional<Choice> choose(const ops::SampledToken& drawn);
  // Goes on with it. What is to be told of it.
  Drawn accept(const Choice& choice);

  // Whatever is asked for fails, but edits.
  void fail_all(const std::exception_ptr& error);
  // And all that follows, until rows are truncated.
  void fail_for_good(const std::exception_ptr& error);

  std::atomic<Priority> priority;
  const bool keeps_rows;
  const Lane lane_of_tokens;

  std::deque<Request> incoming;  // under the scheduler's lock
  bool cancelled = false;        // likewise

  std::deque<Request> todo;
  std::unique_ptr<SequenceState> state;
  Tensor hidden;            // [2, hidden]: of the last row, and of the one ahead of it
  int64_t current = 0;      // which of them is the last row's
  bool has_hidden = false;  // it is of the row that is the last
  std::optional<Ahead> ahead;
  std::exception_ptr failed;

 private:
  bool settle_decode(Decode& decode);
  void truncate(Truncate& request);
  void slide(Slide& request);
  void save(Save& request, Arena& arena);
  void load(Load& request, Arena& arena);
};

}  // namespace omni
