// What the caption elements share: one text sink pad, one source pad, all in the thread of who
// pushes. Text comes with its time, GAPs say that time passes without any; a filter makes what it
// makes of both. Times are buffer times: segments go through as they are.
#pragma once

#include <gst/gst.h>

#include <optional>
#include <string>
#include <vector>

#include "common/gstomnielement.h"
#include "common/gstomniptr.h"

class GstOmniTextFilter : public GstOmniElement {
 public:
  GstOmniTextFilter(GstElement* element, GstElementClass* klass);
  void after_change(GstStateChange change, GstStateChangeReturn) override {
    if (change == GST_STATE_CHANGE_PAUSED_TO_READY) clear();
  }

 protected:
  // All of these are called in the streaming thread, but for latency(). They may throw omni::Error.
  // of what leaves, from now on
  virtual CapsPtr output_caps(GstCaps* input) = 0;
  // A stretch of the stream, in `segment`: text(), advance() and finish() come after it, and
  // another begin() only after finish() or reset().
  virtual void begin(const GstSegment& segment) = 0;
  // Text of no duration gets the time it takes to read; where waits_for_end(), it is held until the
  // next text or until that time has passed, and ends there.
  // `source`: the buffer that brought it.
  virtual void text(const std::string& text, GstClockTime start, GstClockTime duration,
                    GstBuffer* source) = 0;
  virtual bool waits_for_end() const { return true; }
  // no text that is still to come begins before `time`
  virtual void advance(GstClockTime time) = 0;
  virtual bool event(GstEvent*) { return false; }  // a custom event; true: it goes no further
  // what was held back leaves
  virtual void finish() = 0;
  // what was held back is void
  virtual void reset() = 0;
  virtual GstClockTime latency() { return 0; }  // added to that of upstream; any thread

  void push(BufferPtr buffer);
  // [start, end) without anything.
  void push_gap(GstClockTime start, GstClockTime end);
  GstFlowReturn flow() const { return flow_; }
  GstElement* const element_;
  GstPad *sink_, *src_;

 private:
  static GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* buffer);
  static gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event);
  static gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query);
  void begin_if_needed();
  void take(GstBuffer* buffer);
  void release(GstClockTime next);
  void end();
  void clear();
  bool handle(GstPad* pad, GstEvent* event);

  GstFlowReturn flow_ = GST_FLOW_OK;
  GstSegment segment_;    // of no format before the first
  bool begun_ = false;    // between begin() and finish() or reset()
  GstClockTime end_ = 0;  // of the text that came last
  struct Held {
    std::string text;
    GstClockTime start, duration;
    BufferPtr source;
  };
  std::optional<Held> held_;  // until its end is known
};

BufferPtr gst_omni_text_buffer(const std::string& text, GstClockTime start, GstClockTime duration);

// The read-only properties of a Filter, which has GstStructure* stats().
template <class Filter>
const std::vector<GstOmniReading<Filter>>& gst_omni_text_filter_readings() {
  static const std::vector<GstOmniReading<Filter>> table = {
      {[] {
         return g_param_spec_boxed("stats", "Statistics", "What has happened so far",
                                   GST_TYPE_STRUCTURE, kGstOmniReadOnly);
       },
       [](Filter& self, GValue* value) { g_value_take_boxed(value, self.stats()); }}};
  return table;
}
