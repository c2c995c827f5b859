#include "session/timeline.h"

#include <algorithm>
#include <utility>

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
  if (origin_ && segment.start + kSlack < begin() - tolerated_) {
    ++n_late_;
    return;
  }
  t.silent = false;
  t.waiting.push_back(std::move(segment));
}

void Timeline::cut(Nanoseconds time) {
  if (!origin_ || time > begin() + kShortestCut) cuts_.push_back(time);
}

bool Timeline::is_cut() const { return !cuts_.empty() && cuts_.front() < begin() + duration_; }

Nanoseconds Timeline::end_of_chunk() const {
  return is_cut() ? cuts_.front() : begin() + duration_;
}

// The next chunk is the one that holds `time`, if it is not an earlier one; it begins behind the
// cuts that lie between.
void Timeline::skip_to(Nanoseconds time) {
  while (!cuts_.empty() && cuts_.front() <= time) {
    origin_ = cuts_.front();
    index_ = 0;
    cuts_.pop_front();
  }
  index_ += std::max<Nanoseconds>(0, (time - begin()) / duration_);
}

void Timeline::next_chunk() {
  tolerated_ = 0;
  if (is_cut()) {
    tolerated_ = cuts_.front() - begin();
    origin_ = cuts_.front();
    index_ = 0;
    cuts_.pop_front();
  } else {
    ++index_;
  }
  while (!cuts_.empty() && cuts_.front() <= begin() + kShortestCut) cuts_.pop_front();
  early_.reset();
  early_tracks_ = {};
}

std::optional<Timeline::HeldUp> Timeline::held_up() const {
  std::optional<Nanoseconds> begin;
  if (early_) begin = this->begin();
  for (const Track* t : {&video_, &audio_}) {
    if (early_ || t->waiting.empty()) continue;
    const Nanoseconds start = t->waiting.front().start;
    const Nanoseconds chunk =
        origin_ ? this->begin() + std::max<Nanoseconds>(0, start + kSlack - this->begin()) /
                                      duration_ * duration_
                : start;
    begin = std::min(begin.value_or(INT64_MAX), chunk);
  }
  if (!begin) return std::nullopt;
  const auto holds_up = [&](const Track& t) {
    return t.is_awaited() && t.waiting.empty() && t.reached <= *begin + kSlack;
  };
  const Tracks by{tracks_.video && holds_up(video_), tracks_.audio && holds_up(audio_)};
  if (!by.any()) return std::nullopt;
  return HeldUp{*begin, by};
}

void Timeline::set_silent(Tracks tracks) {
  video_.silent |= tracks.video;
  audio_.silent |= tracks.audio;
}

std::vector<Timeline::Track*> Timeline::tracks() {
  std::vector<Track*> out;
  if (tracks_.video) out.push_back(&video_);
  if (tracks_.audio) out.push_back(&audio_);
  return out;
}

// Chunk 0 starts with the earliest segment of all tracks: known once each track has one or is not
// awaited.
bool Timeline::fix_origin(bool wait_for_all) {
  if (origin_) return true;
  std::optional<Nanoseconds> earliest, latest;
  bool all = true;
  for (const Track* t : tracks()) {
    if (t->waiting.empty()) {
      all &= !t->is_awaited();
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
  const Nanoseconds end = end_of_chunk();
  for (const Track* t : tracks()) {
    if (!t->waiting.empty()) first = std::min(first.value_or(INT64_MAX), t->waiting.front().start);
    complete &= !t->is_awaited() || t->reaches(end);
    far_ahead |= t->reaches(end + duration_);
  }
  if (!first && !early_) return false;
  const bool is_enough = far_ahead || (is_cut() && audio_.reaches(end));
  if (!complete && (!is_enough || wait_for_all)) return false;
  if (early_ || *first + kSlack < end) return true;
  skip_to(*first + kSlack);
  return find_complete(wait_for_all);
}

std::optional<Chunk> Timeline::next(bool wait_for_all) {
  if (!find_complete(wait_for_all)) return std::nullopt;
  const Nanoseconds end = end_of_chunk();
  Chunk chunk{{begin(), end - begin()}, {}, std::exchange(early_tracks_, {})};
  for (Track* t : {&video_, &audio_})
    while (!t->waiting.empty() && t->waiting.front().start + kSlack < end) {
      chunk.tracks = chunk.tracks | tracks_of(t->waiting.front());
      chunk.segments.push_back(std::move(t->waiting.front()));
      t->waiting.pop_front();
    }
  // The last chunk may be shorter than the others.
  Nanoseconds reached = std::max(begin(), early_.value_or(INT64_MIN));
  for (const Segment& s : chunk.segments) reached = std::max(reached, s.start + s.duration);
  if (reached + kSlack < end) chunk.span.duration = reached - begin();
  next_chunk();
  return chunk;
}

std::optional<EarlySegment> Timeline::early(bool wait_for_all) {
  if (!fix_origin(wait_for_all)) return std::nullopt;
  const Nanoseconds end = end_of_chunk();
  for (Track* t : tracks()) {
    if (!t->waiting.empty() && t->waiting.front().start + kSlack < end) {
      EarlySegment out{{begin(), end - begin()}, std::move(t->waiting.front())};
      t->waiting.pop_front();
      early_ = std::max(early_.value_or(INT64_MIN), out.segment.start + out.segment.duration);
      early_tracks_ = early_tracks_ | tracks_of(out.segment);
      return out;
    }
    if (t->is_awaited() && !t->reaches(end)) return std::nullopt;
  }
  return std::nullopt;
}

// --- in a file and out of it

Timeline::Saved Timeline::save() const {
  Saved saved{.begin = {},
              .tolerated = tolerated_,
              .early = early_,
              .early_tracks = early_tracks_,
              .reached = {},
              .waiting = {}};
  if (origin_) saved.begin = begin();
  for (const Track* t : {&video_, &audio_}) {
    saved.waiting.insert(saved.waiting.end(), t->waiting.begin(), t->waiting.end());
    if (t->reached != INT64_MIN) saved.reached[t == &audio_] = t->reached;
  }
  return saved;
}

void Timeline::load(Saved saved) {
  origin_ = saved.begin;
  tolerated_ = saved.tolerated;
  early_ = saved.early;
  early_tracks_ = saved.early_tracks;
  for (Segment& s : saved.waiting) state(s.modality).waiting.push_back(std::move(s));
  video_.reached = saved.reached[0].value_or(INT64_MIN);
  audio_.reached = saved.reached[1].value_or(INT64_MIN);
}

bool Timeline::follows(const Segment& segment) const {
  Nanoseconds reached = state(segment.modality).reached;
  if (reached == INT64_MIN) {  // as the other track
    if (!origin_) return true;
    reached = begin();
  }
  const Nanoseconds ahead = segment.start - reached;
  return ahead >= -segment.duration / 2 && ahead <= duration_;
}

}  // namespace omni
