#include "session/inbox.h"

#include <algorithm>
#include <utility>

namespace omni {

Admission Inbox::put(Segment& segment, bool live) {
  Track& t = state(segment.modality);
  if (!t.comes) return {};
  t.begun = true;
  if (segment.n_tokens == 0 && prolong(t, segment)) return {};
  Admission admission;
  if (t.waiting.size() >= most_) {
    if (!live) return {.accepted = false};
    const Segment& oldest = t.waiting.front().segment;
    admission.dropped = TimeSpan{oldest.start, oldest.duration};
    t.waiting.pop_front();
    ++n_dropped_;
  }
  t.waiting.push_back({std::move(segment), n_put_++});
  return admission;
}

// Time in which nothing comes may be told in many small pieces: they take no more room than one.
bool Inbox::prolong(Track& t, const Segment& nothing) {
  if (t.waiting.empty() || t.waiting.back().segment.n_tokens > 0) return false;
  Segment& before = t.waiting.back().segment;
  before.duration = std::max(before.duration, nothing.start + nothing.duration - before.start);
  return true;
}

void Inbox::begin(Modality track) {
  state(track).ended = false;
  state(track).begun = true;
}
void Inbox::end(Modality track) { state(track).ended = true; }

bool Inbox::may_be_taken(const Track& t, bool live) const {
  if (t.waiting.empty()) return false;
  if (live) return true;
  Nanoseconds slowest = INT64_MAX;
  for (const Track* other : {&video_, &audio_})
    if (other->comes && !other->silent && !other->has_ended())
      slowest = std::min(slowest, other->reached);
  return t.reached - slowest <= most_ahead_;
}

std::optional<Segment> Inbox::take(bool live, uint64_t n) {
  Track* earliest = nullptr;
  for (Track* t : {&video_, &audio_}) {
    if (!may_be_taken(*t, live) || t->waiting.front().number >= n) continue;
    if (!earliest || t->waiting.front().segment.start < earliest->waiting.front().segment.start)
      earliest = t;
  }
  if (!earliest) return std::nullopt;
  Segment segment = std::move(earliest->waiting.front().segment);
  earliest->waiting.pop_front();
  earliest->reached = segment.start + segment.duration;
  return segment;
}

bool Inbox::has_of_first(uint64_t n, bool live) const {
  for (const Track* t : {&video_, &audio_})
    if (may_be_taken(*t, live) && t->waiting.front().number < n) return true;
  return false;
}

void Inbox::set_tracks(bool video, bool audio) {
  video_.comes = video;
  audio_.comes = audio;
}

void Inbox::set_silent(Tracks tracks) {
  video_.silent = tracks.video;
  audio_.silent = tracks.audio;
}

bool Inbox::is_held_up_by(Tracks tracks) const {
  const auto stands = [this](const Track& t) {
    return !t.comes || t.ended || t.waiting.size() >= most_;
  };
  return (tracks.video || stands(video_)) && (tracks.audio || stands(audio_));
}

bool Inbox::has_begun(Tracks tracks) const {
  return (!tracks.video || video_.begun) && (!tracks.audio || audio_.begun);
}

void Inbox::clear() {
  for (Track* t : {&video_, &audio_}) *t = {.comes = t->comes, .begun = t->begun, .waiting = {}};
}

std::vector<Segment> Inbox::waiting(uint64_t n) const {
  std::vector<Segment> all;
  for (const Track* t : {&video_, &audio_})
    for (const Item& item : t->waiting)
      if (item.number < n) all.push_back(item.segment);
  return all;
}

bool Inbox::has_ended() const {
  for (const Track* t : {&video_, &audio_})
    if (t->comes && !t->silent && !t->has_ended()) return false;
  return true;
}

}  // namespace omni
