// One rule for time stamps that are missing or jump, the same in every element.
//
// * A buffer without a time stamp begins where the one before ended.
// * A stamp within 2 s of that is taken as it is (a minute where nobody knows how long a buffer
//   lasts).
// * Beyond, it is not believed until the stamps have gone on from there for a second of media:
// until
//   then, and for ever after one bad stamp, buffers go on where the one before ended.
// * What has jumped ahead for good is a hole in the stream, and is followed. A live stream is
//   followed at once where the clock has come as far too, and not at all where it has not.
// * What has gone back for good (a camera that starts anew, 33 bits of 90 kHz that are over) counts
//   from another origin: the stream goes on without a hole.
//
// So time never goes back by more than 2 s, and no single stamp moves it by more than that.
// Streams that are played in reverse are the same with time running down. One thread at a time.
#pragma once

#include <gst/gst.h>

#include <optional>

// Of a SEGMENT event, so that GStreamer can compute with it (it calls the rest a mistake of the
// program). It does not count backwards from an end that nobody knows: such a segment gets the
// latest there is; nor from one in front of the offset: nothing of such a segment is ever on.
GstSegment gst_omni_segment_of(GstEvent* event);

class GstOmniTimestamps {
 public:
  struct Stamp {
    GstClockTime time;          // always valid
    GstClockTimeDiff jump = 0;  // not 0: stamps have begun to jump here, by this much
  };

  // A new segment, or a flush.
  void restart(const GstSegment& segment);
  // `pts` may be none; `duration` 0 where it is not known. `latest`: no live buffer can be of a
  // later time than this; none where nobody knows.
  Stamp next(GstClockTime pts, GstClockTime duration, GstClockTime latest = GST_CLOCK_TIME_NONE);

 private:
  GstClockTime give(gint64 at, GstClockTime duration);

  // Times as this class counts them: upwards, also in reverse.
  struct Jump {
    gint64 first, last;
  };
  bool reverse_ = false, started_ = false;
  gint64 expected_ = 0;       // end of the last buffer
  gint64 offset_ = 0;         // what stamps are moved by since they went back
  std::optional<Jump> jump_;  // that is not believed yet
};
