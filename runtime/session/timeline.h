// Cuts several tracks of segments into chunks of equal duration, counted from the earliest start.
// (models.md 1.5: within a chunk video comes first)
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "interface/prompter.h"
#include "omni/session.h"

namespace omni {

struct Chunk {
  TimeSpan span;
  std::vector<Segment> segments;  // video, then sound; without those that early() gave before
};

struct EarlySegment {
  TimeSpan chunk;  // whole, though the last of a stream may turn out shorter
  Segment segment;
};

class Timeline {
 public:
  Timeline(Tracks tracks, Nanoseconds chunk_duration)
      : tracks_(tracks), duration_(chunk_duration) {}

  void append(Segment segment);
  void end(Modality track) { set_ended(track, true); }
  void set_ended(Modality track, bool ended) { state(track).ended = ended; }
  // The next chunk, once it is complete.
  std::optional<Chunk> next(bool wait_for_all);
  bool next_is_complete(bool wait_for_all) { return find_complete(wait_for_all); }
  // The next segment of a chunk that is not complete yet, as soon as none can come that belongs
  // before it.
  std::optional<EarlySegment> early(bool wait_for_all);
  int64_t n_late() const { return n_late_; }

 private:
  struct Track {
    std::deque<Segment> waiting;
    Nanoseconds reached = INT64_MIN;  // end of the last segment
    bool ended = false;
    bool reaches(Nanoseconds time) const;
  };
  Track& state(Modality m) { return m == Modality::audio ? audio_ : video_; }
  std::vector<Track*> tracks();  // that will come, video first
  bool fix_origin(bool wait_for_all);
  // Of the next chunk, which lies where the first waiting segment does if nothing came for a while.
  bool find_complete(bool wait_for_all);
  Nanoseconds begin() const { return *origin_ + index_ * duration_; }

  Tracks tracks_;
  Nanoseconds duration_;
  Track video_, audio_;
  std::optional<Nanoseconds> origin_;  // start of chunk 0
  int64_t index_ = 0;                  // of the next chunk
  std::optional<Nanoseconds> early_;   // end of what early() gave of it
  int64_t n_late_ = 0;
};

}  // namespace omni
