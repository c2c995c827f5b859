// Cuts several tracks of segments into chunks of equal duration, counted from the earliest start.
// (models.md 1.5: within a chunk video comes first)
//
// A chunk waits for every track that has not ended; not for one that was called silent, until that
// brings something in time.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <vector>

#include "interface/prompter.h"
#include "omni/session.h"

namespace omni {

struct Chunk {
  TimeSpan span;
  std::vector<Segment> segments;  // video, then sound; without those that early() gave before
  Tracks tracks;                  // of which it has something, with those
};

struct EarlySegment {
  TimeSpan chunk;  // whole, though the last of a stream may turn out shorter
  Segment segment;
};

class Timeline {
 public:
  static constexpr Nanoseconds kShortestCut = kSecond / 10;

  Timeline(Tracks tracks, Nanoseconds chunk_duration)
      : tracks_(tracks), duration_(chunk_duration) {}

  void append(Segment segment);
  void end(Modality track) { set_ended(track, true); }
  // The chunk that holds `time` ends there and the next begins there. Where not all tracks are
  // waited for, it is complete once the sound has come so far; what others still bring of it
  // belongs to the next. Nothing where that chunk has gone, or would be shorter than kShortestCut.
  void cut(Nanoseconds time);
  void set_ended(Modality track, bool ended) { state(track).ended = ended; }
  // Of the next chunk of which something has come, where it waits for tracks that have brought
  // nothing of it.
  struct HeldUp {
    Nanoseconds begin;
    Tracks by;
  };
  std::optional<HeldUp> held_up() const;
  void set_silent(Tracks tracks);                                // in addition
  void goes_on(Modality track) { state(track).silent = false; }  // though too late
  Tracks silent() const { return {video_.silent, audio_.silent}; }
  // The next chunk, once it is complete. Unless it has to `wait_for_all`, a chunk goes when one
  // track has brought the whole of the next one, too.
  std::optional<Chunk> next(bool wait_for_all);
  bool next_is_complete(bool wait_for_all) { return find_complete(wait_for_all); }
  // The next segment of a chunk that is not complete yet, as soon as none can come that belongs
  // before it.
  std::optional<EarlySegment> early(bool wait_for_all);
  int64_t n_late() const { return n_late_; }

  // What another one needs to go on as this one does, but for cuts that lie ahead.
  struct Saved {
    std::optional<Nanoseconds> begin;  // of the next chunk
    Nanoseconds tolerated = 0;
    std::optional<Nanoseconds> early;
    Tracks early_tracks;
    std::array<std::optional<Nanoseconds>, 2> reached;  // video, audio
    std::vector<Segment> waiting;                       // video, then sound
  };
  Saved save() const;
  void load(Saved saved);  // of one that was just made
  // Whether a segment comes where the last one of its track ended, or little later: of another
  // clock it does not.
  bool follows(const Segment& segment) const;

 private:
  struct Track {
    std::deque<Segment> waiting;
    Nanoseconds reached = INT64_MIN;  // end of the last segment
    bool ended = false, silent = false;
    bool reaches(Nanoseconds time) const;
    bool is_awaited() const { return !ended && !silent; }
  };
  Track& state(Modality m) { return m == Modality::audio ? audio_ : video_; }
  const Track& state(Modality m) const { return m == Modality::audio ? audio_ : video_; }
  std::vector<Track*> tracks();  // that will come, video first
  bool fix_origin(bool wait_for_all);
  // Of the next chunk, which lies where the first waiting segment does if nothing came for a while.
  bool find_complete(bool wait_for_all);
  Nanoseconds begin() const { return *origin_ + index_ * duration_; }
  Nanoseconds end_of_chunk() const;
  bool is_cut() const;  // the next chunk ends early
  void skip_to(Nanoseconds time);
  void next_chunk();

  Tracks tracks_;
  Nanoseconds duration_;
  Track video_, audio_;
  std::optional<Nanoseconds> origin_;  // start of chunk 0
  int64_t index_ = 0;                  // of the next chunk
  std::deque<Nanoseconds> cuts_;
  Nanoseconds tolerated_ = 0;         // what begins so much before the next chunk is not late
  std::optional<Nanoseconds> early_;  // end of what early() gave of it
  Tracks early_tracks_;
  int64_t n_late_ = 0;
};

}  // namespace omni
