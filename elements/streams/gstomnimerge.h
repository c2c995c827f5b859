// Video with a sparse stream beside it: frames wait, in order, for what belongs to them, are
// decorated and leave. What omnicombiner and omnioverlay share.
//
// Under a file a frame waits until the side stream has passed its time. Live it waits until
// `latency` after its own time at most, then goes as it is. In both cases at most `max-size-time`
// of video is held.
#pragma once

#include <gst/video/video.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "common/gstomniproperties.h"
#include "common/gstomniptr.h"

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

// What the elements do with the two streams. Called without locks held; take() and clear() from the
// side's thread, decorate() from the source pad's task.
class GstOmniMergeHooks {
 public:
  virtual ~GstOmniMergeHooks() = default;
  virtual bool set_info(const GstVideoInfo& info) = 0;  // before the first frame of these caps
  // A buffer of the side stream for [start, start + duration) in running time; `shown`: up to where
  // video has left already.
  virtual void take(GstBuffer* buffer, GstClockTime start, GstClockTime duration,
                    GstClockTime shown) = 0;
  virtual BufferPtr decorate(BufferPtr frame, GstClockTime running_time) = 0;
  virtual void clear() = 0;
};

class GstOmniMerge {
 public:
  GstOmniMerge(GstElement* element, GstOmniMergeSettings& settings, GstOmniMergeHooks& hooks)
      : element_(element), settings_(settings), hooks_(hooks) {}

  // Gives the element its `sink` and `src` from its templates.
  void add_video_pads();
  // Gives a pad (not yet added) the functions of the side stream, and adds it; at most one.
  void add_side_pad(GstPad* pad);
  void remove_side_pad(GstPad* pad);
  void settings_changed();
  guint64 n_undecorated();  // frames that left before the side stream had passed them

 private:
  struct Item {
    MiniObjectPtr object;
    GstClockTime time = GST_CLOCK_TIME_NONE;  // running time of a frame
  };

  static GstOmniMerge* of(GstPad* pad) {
    return static_cast<GstOmniMerge*>(gst_pad_get_element_private(pad));
  }
  GstFlowReturn chain_video(BufferPtr buffer);
  GstFlowReturn chain_side(BufferPtr buffer);
  bool event_video(EventPtr event);
  bool event_side(EventPtr event);
  bool query_src(GstQuery* query);
  bool activate_src(bool active);
  void set_flushing(bool flushing);
  bool step();
  enum class Wait { over, flushed };
  Wait wait_for_side(std::unique_lock<std::mutex>& lock, GstClockTime time);
  GstClockTime held() const;
  bool side_has_passed(GstClockTime time) const {
    return !side_ || !side_linked_ || side_eos_ || side_reached_ > time;
  }
  void side_advances(GstClockTime until);
  void find_latency();

  GstElement* element_;
  GstOmniMergeSettings& settings_;
  GstOmniMergeHooks& hooks_;
  GstPad *sink_ = nullptr, *src_ = nullptr;

  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<Item> queue_;
  GstSegment segment_, side_segment_;
  GstFlowReturn flow_ = GST_FLOW_OK;
  bool flushing_ = true;
  GstPad* side_ = nullptr;
  bool side_linked_ = false, side_eos_ = false;
  GstClockTime side_reached_ = 0;  // running time that the side stream has passed
  GstClockTime shown_ = 0;         // running time of the last frame that left
  bool live_ = false;
  GstClockTime upstream_latency_ = 0;
  guint64 n_undecorated_ = 0;
  bool warned_ = false;
};
