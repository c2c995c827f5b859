// What is asked when: the standing questions by the trigger, users' questions as they come, and
// what is not asked any more because it is too late. Decisions only: no lock, no clock, no model.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "interface/prompter.h"
#include "omni/session.h"

namespace omni {

// Whom an answer is for.
enum class Audience { text, objects, everyone };

struct Turn {
  TurnId id = 0;
  Question question;
  TimeSpan span;  // of the media that it is about
  Audience audience = Audience::everyone;
  bool standing = false;
};

class Turns {
 public:
  explicit Turns(Nanoseconds chunk_duration) : chunk_duration_(chunk_duration) {}

  // --- questions of users
  static constexpr size_t kMostQuestions = 256;  // that wait
  struct Waiting {
    TurnId id;
    Question question;
    Nanoseconds time = 0;  // running time of the media that must be there first
    uint64_t after = 0;    // Inbox::n_put() when it came
  };
  bool is_full() const { return waiting_.size() >= kMostQuestions; }
  bool has_questions() const { return !waiting_.empty(); }
  TurnId add(Question question, Nanoseconds time, uint64_t after);
  // The oldest, to make room for another.
  Waiting refuse_oldest();
  // The first that may be asked now: its media are there, or `at_once`; and it `waits` for none of
  // what was put before it.
  std::optional<Turn> take_due(bool at_once, const std::function<bool(const Waiting&)>& waits);

  // --- the standing questions
  struct Due {
    std::vector<Turn> turns;
    std::optional<Nanoseconds> silent_until;      // until then nothing will be said
    bool text_waits = false;                      // but by text: that is of all since it was asked
    std::optional<Nanoseconds> no_objects_until;  // there are none where there is no picture
  };
  // `chunk` has entered the context, with something of these tracks. About nothing, nothing is
  // asked; about objects only where there are pictures.
  Due chunk_entered(const TimeSpan& chunk, Tracks tracks, const SessionSettings& settings);
  // Somebody has finished speaking: asked about with the chunk that ends there, and once that has
  // entered by take_ended(). Of more than kMostQuestions that wait the oldest is forgotten.
  void turn_ended(const TurnEnded& turn);
  Due take_ended(const SessionSettings& settings);
  // All media have: what the trigger still owes. Once.
  Due media_ended(const SessionSettings& settings);
  Nanoseconds media_end() const { return place_.media_end; }
  TurnId next_id() const { return next_id_; }

  // Of the media in the context, so that others go on as these do.
  struct Place {
    Nanoseconds media_end = 0, asked_until = 0;  // before asked_until nothing is owed
    Tracks since_asked;                          // what has come from there on
  };
  const Place& place() const { return place_; }
  // next: of the turns behind that context.
  void go_on(const Place& place, TurnId next);

  void forget_media();
  void forget_questions() { waiting_.clear(); }
  void forget_ended() { ended_.clear(); }

 private:
  Due standing(const TimeSpan& span, const SessionSettings& settings);

  const Nanoseconds chunk_duration_;
  std::deque<Waiting> waiting_;
  std::deque<TurnEnded> ended_;
  TurnId next_id_ = 1;
  Place place_;
  bool end_asked_ = false;
};

// Live, of a standing question: its promise has passed, and newer media are complete, so that the
// answer to the next one is worth more.
bool is_overdue(const Turn& turn, const SessionSettings& settings, const ClockReading& clock,
                bool newer_is_complete);

}  // namespace omni
