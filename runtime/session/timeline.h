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
  std::vector<Segment> segments;  // video, then sound
};

class Timeline {
 public:
  Timeline(Tracks tracks, Nanoseconds chunk_duration)
      : tracks_(tracks), duration_(chunk_duration) {}

  void append(Segment segment);
  void end(Modality track) { state(track).ended = true; }
  std::optional<Chunk> next(bool wait_for_all);
  void reset();
  int64_t n_late() const { return n_late_; }

 private:
  struct Track {
    std::deque<Segment> waiting;
    Nanoseconds reached = INT64_MIN;  // end of the last segment
    bool ended = false;
  };
  Track& state(Modality m) { return m == Modality::audio ? audio_ : video_; }
  bool fix_origin(bool wait_for_all);

  Tracks tracks_;
  Nanoseconds duration_;
  Track video_, audio_;
  std::optional<Nanoseconds> origin_;  // start of chunk 0
  int64_t index_ = 0;                  // of the next chunk
  int64_t n_late_ = 0;
};

}  // namespace omni
