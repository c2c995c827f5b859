// One source pad of results: its own queue, task, segment, position and flow return. Results are
// put in by the worker and leave in order; where time advances without a result, a GAP does. It
// lives no longer than its pad.
#pragma once

#include <gst/gst.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "common/gstomniptr.h"
#include "streams/gstomnianswermeta.h"

class GstOmniOutput {
 public:
  enum class Kind { text, spatial, speech, tool };
  // Gives `pad` (not yet added to its element) the functions of an output.
  GstOmniOutput(GstPad* pad, Kind kind) : pad_(pad), kind_(kind) {}
  virtual ~GstOmniOutput() = default;

  GstPad* pad() const { return pad_; }
  Kind kind() const { return kind_; }

  // Nothing until `until`.
  virtual void push_gap(GstClockTime until) = 0;
  virtual void push_event(GstEvent* event) = 0;  // takes it; behind what is queued
  void push_eos() { push_event(gst_event_new_eos()); }
  // Waits while too much is queued; not while the pad flushes or is not active.
  void wait_for_room();

  // The results' time is shifted by this much (property lateness). Has its effect with the next
  // segment.
  void set_lateness(GstClockTime lateness);
  GstFlowReturn flow();

  // FLUSH_START and FLUSH_STOP passed through this element.
  void flush_start(GstEvent* event);
  void flush_stop(GstEvent* event);
  bool set_active(bool active);

 protected:
  // One round of the task. False: pause.
  virtual bool step() = 0;
  virtual void clear() = 0;             // under lock_: what is queued is void
  virtual size_t n_queued() const = 0;  // under lock_
  virtual void woken() {}               // flushing has begun

  // stream-start (sparse), caps and segment, where they are due; called before anything else
  // leaves. `caps` is made when needed.
  void push_head(const std::function<GstCaps*()>& caps);
  void push(MiniObjectPtr object);  // a buffer or event; notes the flow return

  GstPad* const pad_;
  std::mutex lock_;
  std::condition_variable changed_;
  bool flushing_ = true;       // under lock_, as all below
  GstClockTime position_ = 0;  // end of what was given out

 private:
  static void loop(gpointer self);
  void set_flushing(bool flushing);
  void post_flow_error(GstFlowReturn flow);

  const Kind kind_;
  std::mutex task_lock_;    // the pad's task starts and stops under it
  bool is_active_ = false;  // under task_lock_
  bool head_due_ = true, segment_due_ = true;
  GstFlowReturn flow_ = GST_FLOW_OK;
  GstClockTime lateness_ = 0;
};

// Text, spatial documents and calls of tools.
class GstOmniTextOutput final : public GstOmniOutput {
 public:
  using GstOmniOutput::GstOmniOutput;
  // A result for [start, start + duration) in running time. Where an earlier one still occupies the
  // time, it is moved up behind it (calls are not: those of a turn have its time). Returns the PTS
  // that it got. Text leaves as one_cue() of
  // omni/text.h, and carries what it answers; where that leaves nothing, the time is a GAP.
  GstClockTime push_result(const std::string& result, GstClockTime start, GstClockTime duration,
                           const GstOmniAnswered* answered = nullptr);
  // The next piece of an answer; the last one carries GST_BUFFER_FLAG_MARKER.
  void push_piece(const std::string& piece, GstClockTime start, GstClockTime duration, bool is_last,
                  const GstOmniAnswered& answered);
  void push_gap(GstClockTime until) override;
  void push_event(GstEvent* event) override;

 private:
  bool step() override;
  void clear() override { queue_.clear(); }
  size_t n_queued() const override { return queue_.size(); }
  // Takes the buffer.
  GstClockTime push_text(GstBuffer* text, GstClockTime start, GstClockTime duration);

  std::deque<MiniObjectPtr> queue_;  // position_ is that of its end
};
