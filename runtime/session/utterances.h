// Spoken answers between the model and the loudspeaker: which may begin, and when the text of each
// has its place in time. Decisions only: no lock, no clock.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "omni/session.h"

namespace omni {

class Utterances {
 public:
  // A text without any sound lasts `silent_duration`.
  explicit Utterances(Nanoseconds silent_duration) : silent_duration_(silent_duration) {}

  // Live: while one is spoken, what the clock asks for is not spoken; somebody's question is,
  // behind it. Otherwise each is spoken to its end before the next is thought of.
  enum class May { speak, wait, stay_silent };
  May may_speak(bool live, bool asked_by_user) const;

  void begin(TurnId turn, std::shared_ptr<Speech> speech, Answered answered = {});
  // What becomes known of one, in any order. Returns what is then complete: the text and its time.
  struct Timed {
    std::string text;
    TimeSpan span;
    Answered answered = {};
  };
  std::optional<Timed> set_text(TurnId turn, std::string text);
  std::optional<Timed> set_start(TurnId turn, Nanoseconds start);
  std::optional<Timed> set_duration(TurnId turn, Nanoseconds duration);
  std::optional<Timed> end(TurnId turn, SpeechEnd end, Nanoseconds start, Nanoseconds heard);

  // Of `turn`, or all (0): somebody has asked that they end.
  void cut(TurnId turn);
  bool is_cut(TurnId turn) const;
  // A voice is heard over what is spoken: it is silent until it is known what that was. Returns
  // what is to be held.
  std::vector<std::shared_ptr<Speech>> hold();
  bool is_held() const { return is_held_; }
  // It was nothing. Returns what goes on, and where: with the word that was being said.
  struct Resumed {
    std::shared_ptr<Speech> speech;
    Nanoseconds from;
  };
  std::vector<Resumed> resume();
  // Of the whole, where it is known.
  std::optional<Nanoseconds> duration(TurnId turn) const;

  bool is_speaking() const;  // or is about to
  // of `turn`, or all (0)
  std::vector<std::shared_ptr<Speech>> speeches(TurnId turn) const;
  std::vector<TurnId> speaking() const;
  std::vector<std::shared_ptr<Speech>> clear();  // returns those that had not ended
  uint64_t n_spoken() const { return n_spoken_; }
  uint64_t n_interrupted() const { return n_interrupted_; }
  uint64_t n_resumed() const { return n_resumed_; }

 private:
  struct Spoken {
    std::shared_ptr<Speech> speech;  // none once it has ended
    std::optional<std::string> text;
    std::optional<Nanoseconds> start, duration;
    Answered answered;
    bool sent = false, cut = false;
  };
  template <class T>
  std::optional<Timed> set(TurnId turn, std::optional<T> Spoken::*what, T value);
  std::optional<Timed> complete(TurnId turn);

  const Nanoseconds silent_duration_;
  std::map<TurnId, Spoken> spoken_;
  bool is_held_ = false;
  uint64_t n_spoken_ = 0, n_interrupted_ = 0, n_resumed_ = 0;
};

}  // namespace omni
