// Video with a sparse stream beside it: frames wait, in order, for what belongs to them, are
// decorated and leave. What omnicombiner and omnioverlay share.
//
// Under a file a frame waits until the side stream has passed its time. Live it waits until
// `latency` after its own time at most, then goes as it is. In both cases at most `max-size-time`
// of video is held: then upstream waits.
//
// What upstream must still bring is never waited for while upstream waits. A video that is held up
// to the limit, or has ended, goes on as it is
// * at once where one thread brings both streams, so that the side cannot come before the video
//   leaves;
// * when the side stream has not moved for a minute, and from then on whenever it holds that much.
// A warning tells of the second, and live of a side that has not moved for a minute of video.
//
// A side stream that goes back by more than 2 s counts from there, and what it said of later times
// is void: one bad time stamp costs the frames until the next good one.
#pragma once

#include <gst/video/video.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "common/gstomniproperties.h"
#include "common/gstomniptr.h"
#include "streams/gstomnitimestamps.h"

struct GstOmniMergeSettings : GstOmniSettings {
  guint latency = 0, max_size_time = 4000;  // ms
};

template <class Settings>
std::vector<GstOmniProperty<Settings>> gst_omni_merge_properties() {
  return {{"latency", "Latency",
           "Longest wait of a live frame for what belongs to it, in ms; added to the pipeline's "
           "latency",
           &Settings::latency, 0, 60000, GstOmniMutable::playing},
          {"max-size-time", "Most video held",
           "Longest stretch of video that waits, in ms: more than the model's chunk and interval",
           &Settings::max_size_time, 100, 3600000}};
}

// Most buffers of the side stream that an element keeps; beyond, it gives up the oldest.
constexpr size_t kGstOmniMostBeside = 4096;

// What the elements do with the two streams. Called without locks held; take(), forget_after() and
// clear() from the side's thread, decorate() from the source pad's task.
class GstOmniMergeHooks {
 public:
  virtual ~GstOmniMergeHooks() = default;
  virtual bool set_info(const GstVideoInfo& info) = 0;  // before the first frame of these caps
  // A buffer of the side stream for [start, start + duration) in running time; `shown`: up to where
  // video has left already.
  virtual void take(GstBuffer* buffer, GstClockTime start, GstClockTime duration,
                    GstClockTime shown) = 0;
  // What came of later times than this was wrong.
  virtual void forget_after(GstClockTime running_time) = 0;
  virtual BufferPtr decorate(BufferPtr frame, GstClockTime running_time) = 0;
  virtual void clear() = 0;
};

class GstOmniMerge {
 public:
  // `patience`: how long a side stream may stand still while the video is held up.
  GstOmniMerge(GstElement* element, GstOmniMergeSettings& settings, GstOmniMergeHooks& hooks,
               std::chrono::nanoseconds patience = std::chrono::minutes(1));

  // Gives the element its `sink` and `src` from its templates.
  void add_video_pads();
  // Gives a pad (not yet added) the functions of the side stream, and adds it; at most one.
  void add_side_pad(GstPad* pad);
  void remove_side_pad(GstPad* pad);
  void settings_changed();
  guint64 n_undecorated();  // frames that left before the side stream had passed them

 private:
  struct Item {
    MiniObjectPtr object;                     // a frame or a serialized event
    GstClockTime time = GST_CLOCK_TIME_NONE;  // running time of a frame
  };
  using Lock = std::unique_lock<std::mutex>;

  static GstOmniMerge* of(GstPad* pad) {
    return static_cast<GstOmniMerge*>(gst_pad_get_element_private(pad));
  }
  static bool is_eos(GstMiniObject* object) {
    return GST_IS_EVENT(object) && GST_EVENT_TYPE(object) == GST_EVENT_EOS;
  }
  GstFlowReturn chain_video(BufferPtr buffer);
  bool event_video(EventPtr event);
  bool enqueue_event(EventPtr event);
  bool query_src(GstQuery* query);
  bool activate_src(bool active);
  void activate_sink(bool active);
  bool flush_start(EventPtr event);
  bool flush_stop(EventPtr event);
  void stop();
  bool resume();
  void end_round();
  bool is_flushing();
  void find_latency();
  bool set_video_segment(const GstSegment& segment);

  // gstomnimergeside.cc
  GstFlowReturn chain_side(BufferPtr buffer);
  bool event_side(EventPtr event);
  bool set_side_segment(const GstSegment& segment);
  void gap_beside(GstEvent* event);
  void side_advances(GstClockTime until);

  // gstomnimergetask.cc: of the task
  void loop();
  bool step();
  void send_event(EventPtr event);
  void send_frame(BufferPtr frame, GstClockTime time);
  void set_flow(GstFlowReturn flow);
  bool use_caps(GstEvent* event);
  void warn_of_stall();

  // under the lock
  void restart();
  GstClockTime time_of(GstBuffer* frame);
  bool is_full() const;
  bool has_ended() const;
  bool side_has_passed(GstClockTime time) const {
    return !side_ || !side_linked_ || side_eos_ || side_reached_ > time;
  }
  void wait_for_side(Lock& lock, GstClockTime time);
  void leave_alone(GstClockTime time);
  bool wait_live(Lock& lock, GstClockTime time);
  bool wait_for_file(Lock& lock);

  GstElement* element_;
  GstOmniMergeSettings& settings_;
  GstOmniMergeHooks& hooks_;
  const std::chrono::nanoseconds patience_;
  GstPad *sink_ = nullptr, *src_ = nullptr;
  std::mutex activation_;  // held while the task is started or paused, ahead of lock_
  bool active_ = false;    // under activation_

  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<Item> queue_;
  GstSegment segment_, side_segment_;
  GstOmniTimestamps stamps_;
  GstClockTime frame_duration_ = 0;  // as the caps say; 0 if they do not
  GstFlowReturn flow_ = GST_FLOW_OK;
  bool flushing_ = true;
  GstPad* side_ = nullptr;
  bool side_linked_ = false, side_eos_ = false;
  GstClockTime side_reached_ = 0;               // running time that the side stream has passed
  GstClockTime shown_ = 0;                      // running time of the last frame that left
  std::thread::id video_thread_, side_thread_;  // who pushed last
  // Since when nothing has moved while the video was held up to the limit; not while it moves.
  std::optional<std::chrono::steady_clock::time_point> stalled_since_;
  bool gave_up_ = false;
  // Since which frame all have left before the side stream had passed them.
  std::optional<GstClockTime> alone_since_;
  bool live_ = false;
  GstClockTime upstream_latency_ = 0;
  guint64 n_undecorated_ = 0;
};
