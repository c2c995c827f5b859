// What has been put into a session and not been taken by its thread: segments and ends of tracks,
// bounded, in the order of their time. No lock of its own.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "interface/prompter.h"
#include "omni/session.h"

namespace omni {

class Inbox {
 public:
  // Of each track at most `most` segments wait. When nothing is live, no track runs further ahead
  // of another than `most_ahead`: the others would have to be kept without bound.
  Inbox(size_t most, Nanoseconds most_ahead) : most_(most), most_ahead_(most_ahead) {}

  // `segment` is moved from only if it is accepted. What no track comes for is passed over.
  Admission put(Segment& segment, bool live);
  void begin(Modality track);
  void end(Modality track);

  // The earliest segment of the first `n` that were put.
  std::optional<Segment> take(bool live, uint64_t n = UINT64_MAX);
  // How many have been put, and whether any of the first `n` can be taken.
  uint64_t n_put() const { return n_put_; }
  bool has_of_first(uint64_t n, bool live) const;

  void set_tracks(bool video, bool audio);  // that come from now on
  // These run ahead of nothing, and their end is not waited for; the others are none of them.
  void set_silent(Tracks tracks);
  // Whether all tracks but these wait for room or have ended.
  bool is_held_up_by(Tracks tracks) const;
  bool has_begun(Tracks tracks) const;             // all of them, whatever came since
  void clear();                                    // everything that waits, and ends
  std::vector<Segment> waiting(uint64_t n) const;  // of the first n: video, then sound
  size_t n_waiting() const { return video_.waiting.size() + audio_.waiting.size(); }
  bool comes(Modality track) const { return state(track).comes; }
  bool has_tracks() const { return video_.comes || audio_.comes; }
  bool has_ended(Modality track) const { return state(track).has_ended(); }
  bool has_ended() const;  // all tracks that come and are not silent
  uint64_t n_dropped() const { return n_dropped_; }

 private:
  struct Item {
    Segment segment;
    uint64_t number;
  };
  struct Track {
    bool comes = false, begun = false, ended = false, silent = false;
    std::deque<Item> waiting;
    Nanoseconds reached = 0;  // end of what was taken
    bool has_ended() const { return ended && waiting.empty(); }
  };
  Track& state(Modality m) { return m == Modality::audio ? audio_ : video_; }
  const Track& state(Modality m) const { return m == Modality::audio ? audio_ : video_; }
  bool may_be_taken(const Track& t, bool live) const;
  static bool prolong(Track& t, const Segment& nothing);

  const size_t most_;
  const Nanoseconds most_ahead_;
  Track video_, audio_;
  uint64_t n_put_ = 0, n_dropped_ = 0;
};

}  // namespace omni
