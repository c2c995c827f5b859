#include "session/turns.h"

#include <algorithm>
#include <utility>

#include "session/timeline.h"

namespace omni {

namespace {
// the padding of an encoder at the end of a recording is none
constexpr Nanoseconds kWorthACaption = kSecond / 5;
constexpr Nanoseconds kSlack = Timeline::kShortestCut;
}  // namespace

TurnId Turns::add(Question question, Nanoseconds time, uint64_t after) {
  waiting_.push_back({next_id_, std::move(question), time, after});
  return next_id_++;
}

Turns::Waiting Turns::refuse_oldest() {
  Waiting oldest = std::move(waiting_.front());
  waiting_.pop_front();
  return oldest;
}

std::optional<Turn> Turns::take_due(bool at_once,
                                    const std::function<bool(const Waiting&)>& waits) {
  const auto due = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& w) {
    return (at_once || w.time <= place_.media_end) && !waits(w);
  });
  if (due == waiting_.end()) return std::nullopt;
  Waiting w = std::move(*due);
  waiting_.erase(due);
  const Nanoseconds start =
      std::max(std::max<Nanoseconds>(0, place_.media_end - chunk_duration_), w.time);
  return Turn{w.id, std::move(w.question), {start, chunk_duration_}, Audience::everyone, false};
}

Turns::Due Turns::standing(const TimeSpan& span, const SessionSettings& s) {
  Due due;
  const Tracks tracks = std::exchange(place_.since_asked, {});
  place_.asked_until = span.end();
  if (tracks.any() && (s.wants_text || !s.wants_objects))
    due.turns.push_back({next_id_++, {s.prompt}, span, Audience::text, true});
  if (tracks.video && s.wants_objects)
    due.turns.push_back({next_id_++, {s.spatial_prompt}, span, Audience::objects, true});
  if (due.turns.empty())
    due.silent_until = span.end();
  else if (!tracks.video)
    due.no_objects_until = span.end();
  return due;
}

Turns::Due Turns::chunk_entered(const TimeSpan& chunk, Tracks tracks, const SessionSettings& s) {
  const Nanoseconds start = std::max<Nanoseconds>(0, chunk.start), end = start + chunk.duration;
  if (place_.media_end == 0) place_.asked_until = start;
  place_.media_end = end;
  place_.since_asked = place_.since_asked | tracks;
  switch (s.trigger) {
    case Trigger::chunk:
    case Trigger::event:
      if (chunk.duration < kWorthACaption) return {.turns = {}, .silent_until = end};
      return standing({start, chunk.duration}, s);
    case Trigger::interval: {
      // Objects that come later are of the last picture.
      if (end < place_.asked_until + s.interval)
        return {.turns = {}, .silent_until = start, .text_waits = true};
      return standing({place_.asked_until, end - place_.asked_until}, s);
    }
    case Trigger::prompt:
    case Trigger::manual:
      return {.turns = {}, .silent_until = start};
    case Trigger::eos:
      return {.turns = {}, .silent_until = start, .text_waits = true};
    case Trigger::turn: {
      Due due = take_ended(s);
      due.silent_until = start;
      return due;
    }
  }
  return {};
}

void Turns::turn_ended(const TurnEnded& turn) {
  if (ended_.size() >= kMostQuestions) ended_.pop_front();
  ended_.push_back(turn);
}

// Turns that end in one chunk are one.
Turns::Due Turns::take_ended(const SessionSettings& s) {
  std::optional<Nanoseconds> begin;
  while (!ended_.empty() && ended_.front().time <= place_.media_end + kSlack) {
    begin = std::min(begin.value_or(INT64_MAX), ended_.front().speech.start);
    ended_.pop_front();
  }
  if (!begin) return {};
  // an answer is promised from the beginning of its media on
  const Nanoseconds start =
      std::clamp<Nanoseconds>(*begin, place_.media_end - chunk_duration_, place_.media_end);
  return standing({start, place_.media_end - start}, s);
}

Turns::Due Turns::media_ended(const SessionSettings& s) {
  if (std::exchange(end_asked_, true) || place_.media_end == 0) return {};
  if (s.trigger == Trigger::turn && !ended_.empty()) {
    place_.media_end = std::max(place_.media_end, ended_.back().time);
    return take_ended(s);
  }
  const bool owed = s.trigger == Trigger::eos ||
                    (s.trigger == Trigger::interval && place_.media_end > place_.asked_until);
  if (!owed) return {};
  return standing({place_.asked_until, place_.media_end - place_.asked_until}, s);
}

void Turns::forget_media() {
  place_ = {};
  end_asked_ = false;
}

void Turns::go_on(const Place& place, TurnId next) {
  place_ = place;
  end_asked_ = false;
  next_id_ = std::max(next_id_, next);
}

bool is_overdue(const Turn& turn, const SessionSettings& settings, const ClockReading& clock,
                bool newer_is_complete) {
  return turn.standing && clock.live && clock.now && settings.promise && newer_is_complete &&
         *clock.now > turn.span.start + *settings.promise;
}

}  // namespace omni
