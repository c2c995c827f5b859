#include "session/inbox.h"

#include <algorithm>
#include <utility>

namespace omni {

Admission Inbox::put(Segment& segment, bool live) {
  Track& t = state(segment.modality);
  if (!t.comes) return {};
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

void Inbox::begin(Modality track) { state(track).ended = false; }
void Inbox::end(Modality track) { state(track).ended = true; }

bool Inbox::may_be_taken(const Track& t, bool live) const {
  if (t.waiting.empty()) return false;
  if (live) return true;
  Nanoseconds slowest = INT64_MAX;
  for (const Track* other : {&video_, &audio_})
    if (other->comes && !other->has_ended()) slowest = std::min(slowest, other->reached);
  return t.reached - slowest <= most_ahead_;
}

std::optional<Segment> Inbox::take(bool live) {
  Track* earliest = nullptr;
  for (Track* t : {&video_, &audio_}) {
    if (!may_be_taken(*t, live)) continue;
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

void Inbox::clear() {
  for (Track* t : {&video_, &audio_}) *t = {.comes = t->comes, .waiting = {}};
}

bool Inbox::has_ended() const {
  for (const Track* t : {&video_, &audio_})
    if (t->comes && !t->has_ended()) return false;
  return true;
}

}  // namespace omni
