#include "session/timeline.h"

#include <algorithm>

namespace omni {

namespace {
// A segment that ends this much before its chunk does still fills it, and one that starts this much
// early still belongs to it: time stamps are rounded and a frame may come a little before its time.
constexpr Nanoseconds kSlack = 20'000'000;
}  // namespace

bool Timeline::Track::reaches(Nanoseconds time) const {
  return reached != INT64_MIN && reached + kSlack >= time;
}

void Timeline::append(Segment segment) {
  Track& t = state(segment.modality);
  t.reached = std::max(t.reached, segment.start + segment.duration);
  if (origin_ && segment.start + kSlack < begin()) {
    ++n_late_;
    return;
  }
  t.waiting.push_back(std::move(segment));
}

std::vector<Timeline::Track*> Timeline::tracks() {
  std::vector<Track*> out;
  if (tracks_.video) out.push_back(&video_);
  if (tracks_.audio) out.push_back(&audio_);
  return out;
}

// Chunk 0 starts with the earliest segment of all tracks: known once each track has one or has
// ended.
bool Timeline::fix_origin(bool wait_for_all) {
  if (origin_) return true;
  std::optional<Nanoseconds> earliest, latest;
  bool all = true;
  for (const Track* t : tracks()) {
    if (t->waiting.empty()) {
      all &= t->ended;
      continue;
    }
    earliest = std::min(earliest.value_or(INT64_MAX), t->waiting.front().start);
    latest = std::max(latest.value_or(INT64_MIN), t->reached);
  }
  if (!earliest || (!all && (wait_for_all || *latest - *earliest < 2 * duration_))) return false;
  origin_ = earliest;
  index_ = 0;
  return true;
}

bool Timeline::find_complete(bool wait_for_all) {
  if (!fix_origin(wait_for_all)) return false;
  std::optional<Nanoseconds> first;
  bool complete = true, far_ahead = false;
  const Nanoseconds end = begin() + duration_;
  for (const Track* t : tracks()) {
    if (!t->waiting.empty()) first = std::min(first.value_or(INT64_MAX), t->waiting.front().start);
    complete &= t->ended || t->reaches(end);
    far_ahead |= t->reaches(end + duration_);
  }
  if (!first && !early_) return false;
  if (!complete && (!far_ahead || wait_for_all)) return false;
  if (early_ || *first + kSlack < end) return true;
  index_ += (*first + kSlack - begin()) / duration_;
  return find_complete(wait_for_all);
}

std::optional<Chunk> Timeline::next(bool wait_for_all) {
  if (!find_complete(wait_for_all)) return std::nullopt;
  const Nanoseconds end = begin() + duration_;
  Chunk chunk{{begin(), duration_}, {}};
  for (Track* t : {&video_, &audio_})
    while (!t->waiting.empty() && t->waiting.front().start + kSlack < end) {
      chunk.segments.push_back(std::move(t->waiting.front()));
      t->waiting.pop_front();
    }
  // The last chunk may be shorter than the others.
  Nanoseconds reached = std::max(begin(), early_.value_or(INT64_MIN));
  for (const Segment& s : chunk.segments) reached = std::max(reached, s.start + s.duration);
  if (reached + kSlack < end) chunk.span.duration = reached - begin();
  ++index_;
  early_.reset();
  return chunk;
}

std::optional<EarlySegment> Timeline::early(bool wait_for_all) {
  if (!fix_origin(wait_for_all)) return std::nullopt;
  const Nanoseconds end = begin() + duration_;
  for (Track* t : tracks()) {
    if (!t->waiting.empty() && t->waiting.front().start + kSlack < end) {
      EarlySegment out{{begin(), duration_}, std::move(t->waiting.front())};
      t->waiting.pop_front();
      early_ = std::max(early_.value_or(INT64_MIN), out.segment.start + out.segment.duration);
      return out;
    }
    if (!t->ended && !t->reaches(end)) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace omni
