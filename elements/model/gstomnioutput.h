// One source pad of omnimodel: its own queue, task, segment, position and flow return. Results are put in by the worker and leave in order; where time
// advances without a result, a GAP does.
#pragma once

#include <gst/gst.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>

#include "common/gstomniptr.h"

class GstOmniOutput {
 public:
  // Gives `pad` (not yet added to its element) the functions of an output.
  enum class Kind { text, spatial };
  GstOmniOutput(GstPad* pad, Kind kind);

  GstPad* pad() const { return pad_; }
  Kind kind() const { return kind_; }

  // A result for [start, start + duration) in running time. Where an earlier one still occupies the time, it is moved up behind it.
  // Returns the PTS that it got.
  GstClockTime push_result(const std::string& text, GstClockTime start, GstClockTime duration);
  // Nothing until `until`.
  void push_gap(GstClockTime until);
  void push_event(GstEvent* event);  // takes it; behind what is queued
  void push_eos() { push_event(gst_event_new_eos()); }

  // The results' time is shifted by this much (property lateness). Has its effect with the next segment.
  void set_lateness(GstClockTime lateness);
  GstFlowReturn flow();

  // FLUSH_START and FLUSH_STOP passed through this element.
  void flush_start(GstEvent* event);
  void flush_stop(GstEvent* event);
  bool set_active(bool active);

 private:
  static void loop(gpointer self);
  void set_flushing(bool flushing);
  bool step();
  void push_head();

  GstPad* pad_;
  Kind kind_;
  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<MiniObjectPtr> queue_;  // under lock_, as all below
  bool flushing_ = true, head_due_ = true, segment_due_ = true;
  GstFlowReturn flow_ = GST_FLOW_OK;
  GstClockTime position_ = 0, lateness_ = 0;  // end of what was queued
};
