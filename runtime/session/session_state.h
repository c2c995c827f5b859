// What the thread of a session shares with everybody who calls the session, under one lock with
// one way to wake. It outlives the session where a speech still tells how long it is.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "omni/session.h"
#include "session/inbox.h"
#include "session/tool_calls.h"
#include "session/turns.h"
#include "session/utterances.h"

namespace omni {

[[noreturn]] inline void throw_cancelled() { throw Error(ErrorCode::cancelled, "cancelled"); }

// What is waited for is measured with.
Nanoseconds steady_now();

// So much of a spoken answer was.
struct Heard {
  TurnId turn;
  bool is_all;
  Nanoseconds heard;
  std::optional<Nanoseconds> duration;  // of all of it, where that is known
};

// To be saved or loaded.
struct SessionFile {
  std::string path;
  bool is_load = false;
  // Behind it: Inbox::n_put() and Turns::next_id() when it was asked for.
  uint64_t first_segment = 0;
  TurnId first_turn = 0;
};

struct SessionState {
  static constexpr size_t kMostEvents = 256;  // that nobody has taken

  // Begins with a reset that is asked for.
  SessionState(const SessionOptions& of_session, Nanoseconds chunk);

  // --- by anybody, without the lock
  ClockReading read_clock() const { return options.clock ? options.clock() : ClockReading(); }
  SessionSettings settings() const;
  // Puts an event out, and waits before while nobody takes what is there. Throws cancelled.
  template <class What>
  void emit(TurnId turn, const TimeSpan& span, What what) {
    std::unique_lock guard(lock);
    wait_for_taker(guard);
    if (cancelled || stop.stop_requested()) throw_cancelled();
    push(turn, span, std::move(what));
  }

  // --- under the lock
  // While nobody takes the events that are there; not behind a flush or at the end.
  void wait_for_taker(std::unique_lock<std::mutex>& held) {
    changed.wait(held, stop.get_token(), [&] { return cancelled || events.size() < kMostEvents; });
  }
  template <class What>
  void push(TurnId turn, const TimeSpan& span, What what) {
    events.push_back({epoch, turn, span, std::move(what)});
    changed.notify_all();
  }
  // The text of a spoken answer, once its time is known.
  void push(TurnId turn, std::optional<Utterances::Timed> timed);
  void wake();
  void set_tracks();
  // What is put behind a file that waits is not taken before it.
  uint64_t first_behind_file() const {
    return files.empty() ? UINT64_MAX : files.front().first_segment;
  }
  void set_remembered(const std::deque<RememberedTurn>& those);
  // Asks the thread to begin a new dialogue.
  void ask_for_reset();
  // No more media or, where there are none, questions will come.
  bool have_streams_ended() const;
  // Of `turn`, or of all (0). The utterances returned are to be interrupted without the lock.
  std::vector<std::shared_ptr<Speech>> end_early(TurnId turn);

  const SessionOptions options;
  std::stop_source stop;
  std::atomic<bool> interrupted{false};  // the answer that is being written ends early

  mutable std::mutex lock;  // guards all below
  std::condition_variable_any changed;
  SessionSettings current_settings;
  SessionStats stats;
  Inbox inbox;
  Turns turns;
  Utterances utterances;
  std::deque<Event> events;
  std::deque<Nanoseconds> cuts;  // ends of turns that the timeline does not know of yet
  std::deque<Heard> heard;       // that the dialogue does not know of yet
  std::vector<RememberedTurn> remembered;
  ToolCalls tool_calls;  // of the turn that is answered
  std::deque<SessionFile> files;
  uint64_t epoch = 0;
  uint64_t n_inputs = 0;  // counted, so that a thread which is about to wait misses none
  TurnId answering = 0;   // the turn that is, or was the last to be, answered
  // Whoever lets go of the last one waits for its threads: the session's own does.
  std::vector<std::shared_ptr<Speech>> retired;
  bool cancelled = false;  // by a flush, until the thread begins anew
  bool reset_pending = false, failed = false, questions_ended = false, end_sent = false;
  bool has_refused = false;  // on_room is owed
};

}  // namespace omni
