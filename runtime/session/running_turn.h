// The life of one turn, on the session's thread: it begins, waits until it may be spoken, the
// question goes into the dialogue, the answer is read while it is written, and what is in it is put
// out. Its events, in this order: TurnBegan · Utterance · pieces of text and calls of tools ·
// objects · text · TurnDone; of one that cannot be asked, Failed. Where it throws the turn ends
// without a TurnDone. Of one that watches (Trigger::event) the answer is read first; where it is
// not new, there is only the end of its time.
#pragma once

#include <memory>
#include <optional>

#include "interface/prompter.h"
#include "session/answer_reader.h"
#include "session/dialogue.h"
#include "session/session.h"
#include "session/session_state.h"
#include "session/watch.h"

namespace omni {

class RunningTurn {
 public:
  // What a turn is asked in. Stays until it is over.
  struct Context {
    const std::shared_ptr<SessionState>& state;
    const Prompter& prompter;
    const MakeSpeech& make_speech;
    Dialogue& dialogue;
    Tracker& tracker;
    Watches& watches;
  };
  // live: media come at the pace of a clock.
  RunningTurn(const Context& context, Turn turn, bool live);

  // Waits while others speak, and while nobody takes its events. Throws cancelled after a flush or
  // at the end of the session, and what the model throws.
  void run();

 private:
  // An answer that nobody has been told, and what is in it.
  struct Reading {
    Answer answer;
    AnswerReader reader;
  };

  void answer();
  void watch();
  Reading ask_silently();
  Meaning meaning_of(const Reading& reading) const;
  void find_beginning(const Meaning& news, std::optional<Reading>& reading);
  void say(const std::string& text, TurnId remembered_as);
  void tell(Reading& reading);
  void stay_silent(Reading& reading);
  void refuse(const Error& error);
  void begin();
  Answer write(const std::function<void(const AnswerToken&)>& on_token);
  std::vector<std::string> call_tools(const std::vector<ToolCall>& calls);
  std::vector<std::string> wait_for_results();
  void give_up_calls(ToolCalls& calls);
  Nanoseconds tool_timeout() const;
  void keep_turns();
  void send_piece(std::optional<TextPiece> piece);
  void finish(const Answer& answer, AnswerReader& reader);
  void send_objects(const TimeSpan& span, const Answer& answer, AnswerReader& reader);
  void count(const Answer& answer, const SpatialParser::Counts& counts);

  void begin_speech();
  bool may_be_spoken(bool is_news) const;
  bool wait_to_speak();
  void give_up_speech();

  Answered answered() const { return {turn_.question.text, turn_.span}; }
  TimeSpan span_of_piece(bool is_last);
  TimeSpan stamped(TimeSpan span) const;
  template <class What>
  void emit(const TimeSpan& span, What what) {
    state_.emit(turn_.id, span, std::move(what));
  }

  const Context context_;
  SessionState& state_;
  const Turn turn_;
  const bool live_;
  const SessionSettings settings_;  // as they were when it began
  const bool about_objects_, watches_;
  const SamplingOptions sampling_;
  const TurnId remembered_as_;            // 0: it is not
  TimeSpan span_;                         // of its text
  std::shared_ptr<SpeechStream> speech_;  // nullptr: it is not spoken
  int n_pieces_ = 0;                      // sent
};

}  // namespace omni
