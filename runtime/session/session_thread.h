// The thread of a session: takes what was put, moves it into the dialogue, asks what is due, and
// answers it. What is decided stands in Turns, Utterances, Timeline, Silence and Inbox, what
// becomes of a turn in RunningTurn; here is the order of it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "interface/prompter.h"
#include "session/dialogue.h"
#include "session/session.h"
#include "session/session_file.h"
#include "session/session_state.h"
#include "session/silence.h"
#include "session/timeline.h"
#include "session/watch.h"

namespace omni {

class SessionThread {
 public:
  // Begins at once. Prompter and scheduler stay until it has ended.
  SessionThread(std::shared_ptr<SessionState> state, const Prompter& prompter, Scheduler& scheduler,
                MakeSpeech make_speech, std::string checkpoint, Tools tools);
  // Waits until what is being computed has ended: state->stop and a flush come before it.
  ~SessionThread();

  // From any thread, under the lock of the state: what is being asked throws cancelled.
  void cancel() noexcept;

 private:
  void run();
  bool guarded_step();
  void fail(const Error& error);
  bool step();
  bool wants_reset() const;
  void let_go_of_speeches();
  bool has_work() const;
  bool begin_anew();
  void make_anew();
  std::unique_ptr<Dialogue> make_dialogue();
  void begin_with(std::unique_ptr<Dialogue> dialogue);
  void begin_timeline();
  void give_up_dialogue();

  // --- session_thread_files.cc
  bool store_due(bool live);
  void store(const SessionFile& file);
  void save(const SessionFile& file);
  void load(const std::string& path);
  void follow_file(const Segment& first, bool live);

  // live: media come at the pace of a clock. True: there was something.
  bool take(bool live);
  void note_silent(bool live);
  bool give_up_silent(bool live);
  std::optional<Nanoseconds> patience_with(const Timeline::HeldUp& held, bool live);
  void tell_silent(std::optional<Nanoseconds> time);
  std::optional<Segment> take_one(bool live);
  bool enter(bool live);
  void chunk_entered(const TimeSpan& span, Tracks tracks, bool live);
  bool ask_ended_turns(bool live);
  void ask(Turns::Due due, const SessionSettings& settings, bool live);
  bool ask_due(bool live, bool all_entered);
  std::optional<Turn> take_due(bool live, bool all_entered);
  bool has_ended() const;
  bool knows_ends() const;
  bool end_stream();
  void drop(const Turn& turn);
  void answer(Turn turn, bool live);
  void note_heard(bool at_once);
  std::optional<Heard> heard_of(TurnId turn, bool at_once);
  void keep_stats();
  void keep_turns();

  const std::shared_ptr<SessionState> state_;
  const Prompter& prompter_;
  Scheduler& scheduler_;
  const MakeSpeech make_speech_;
  const std::string checkpoint_;
  const Tools tools_;
  AnswerMasks masks_;
  std::unique_ptr<Dialogue> dialogue_;  // made and given up under the lock
  std::optional<Timeline> timeline_;
  Silence silence_;
  std::optional<Nanoseconds> patience_left_;  // with what holds everything up
  Tracker tracker_;
  Watches watches_;
  bool is_loaded_ = false;                          // and no media have come since
  uint64_t n_changes_ = 0;                          // of the dialogue, that have been told
  bool video_ended_ = false, audio_ended_ = false;  // as the timeline knows it
  std::thread thread_;                              // last: it uses everything above
};

}  // namespace omni
