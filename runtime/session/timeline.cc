#include "session/timeline.h"

#include <algorithm>

namespace omni {

namespace {
// A segment that ends this much before its chunk does still fills it, and one that starts this much
// early still belongs to it: time stamps are rounded and a frame may come a little before its time.
constexpr Nanoseconds kSlack = 20'000'000;
}  // namespace

void Timeline::append(Segment segment) {
  Track& t = state(segment.modality);
  t.reached = std::max(t.reached, segment.start + segment.duration);
  if (origin_ && segment.start + kSlack < *origin_ + index_ * duration_) {
    ++n_late_;
    return;
  }
  t.waiting.push_back(std::move(segment));
}

void Timeline::reset() {
  video_ = audio_ = Track();
  origin_.reset();
  index_ = 0;
}

// Chunk 0 starts with the earliest segment of all tracks: known once each track has one or has
// ended.
bool Timeline::fix_origin(bool wait_for_all) {
  std::optional<Nanoseconds> earliest, latest;
  bool all = true;
  for (Modality m : {Modality::video, Modality::audio}) {
    if (m == Modality::video ? !tracks_.video : !tracks_.audio) continue;
    const Track& t = state(m);
    if (t.waiting.empty()) {
      all &= t.ended;
      continue;
    }
    earliest = std::min(earliest.value_or(INT64_MAX), t.waiting.front().start);
    latest = std::max(latest.value_or(INT64_MIN), t.reached);
  }
  if (!earliest || (!all && (wait_for_all || *latest - *earliest < 2 * duration_))) return false;
  origin_ = earliest;
  index_ = 0;
  return true;
}

std::optional<Chunk> Timeline::next(bool wait_for_all) {
  if (!origin_ && !fix_origin(wait_for_all)) return std::nullopt;
  // Nothing at all for a while: the next chunk is the one in which something lies.
  std::optional<Nanoseconds> first;
  bool complete = true, far_ahead = false;
  const Nanoseconds begin = *origin_ + index_ * duration_, end = begin + duration_;
  for (Modality m : {Modality::video, Modality::audio}) {
    if (m == Modality::video ? !tracks_.video : !tracks_.audio) continue;
    const Track& t = state(m);
    if (!t.waiting.empty()) first = std::min(first.value_or(INT64_MAX), t.waiting.front().start);
    const bool there = t.ended || (t.reached != INT64_MIN && t.reached + kSlack >= end);
    complete &= there;
    far_ahead |= t.reached != INT64_MIN && t.reached + kSlack >= end + duration_;
  }
  if (!first || !(complete || (far_ahead && !wait_for_all))) return std::nullopt;
  if (*first + kSlack >= end) {
    index_ += (*first + kSlack - begin) / duration_;
    return next(wait_for_all);
  }
  Chunk chunk{{begin, duration_}, {}};
  for (Track* t : {&video_, &audio_})
    while (!t->waiting.empty() && t->waiting.front().start + kSlack < end) {
      chunk.segments.push_back(std::move(t->waiting.front()));
      t->waiting.pop_front();
    }
  // The last chunk may be shorter than the others.
  Nanoseconds reached = begin;
  for (const Segment& s : chunk.segments) reached = std::max(reached, s.start + s.duration);
  if (reached + kSlack < end) chunk.span.duration = reached - begin;
  ++index_;
  return chunk;
}

}  // namespace omni
