// What the tokenizer elements share: a sink pad with a bounded queue (GstOmniInput) and the task of
// the source pad that does the work (GstOmniWorker).
//
//   upstream ──► input ──► task: load · convert · mel or patches · tower ──► src
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "common/gstomnicontext.h"
#include "common/gstomnielement.h"
#include "common/gstomniptr.h"
#include "omni/engine.h"
#include "streams/gstomniinput.h"
#include "streams/gstomniworker.h"

// One kind of tokenizing. Belongs to the task; every function may throw omni::Error.
class GstOmniTokenizerWork {
 public:
  using Emit = std::function<void(omni::Segment&&)>;
  virtual ~GstOmniTokenizerWork() = default;
  virtual void set_caps(GstCaps* caps) = 0;
  virtual void set_segment(const GstSegment& segment) {}
  virtual void buffer(GstBuffer* buffer, GstClockTime time, const Emit& emit) = 0;
  // False: nothing stands for this time; the GAP goes on.
  virtual bool gap(GstClockTime time, GstClockTime duration, const Emit& emit) { return false; }
  virtual void drain(const Emit& emit) = 0;  // everything that was begun, as at the end of a stream
  virtual void reset() = 0;                  // forgets what was begun
};

class GstOmniTokenizer : public GstOmniElement, GstOmniInput::Media, GstOmniWorker::Job {
 public:
  GstStructure* stats();

  void before_change(GstStateChange change) override;
  void after_change(GstStateChange change, GstStateChangeReturn result) override;
  void set_context(GstContext* context) override { engine_context_.take(context); }
  void property_set(const std::string& name) override;

 protected:
  // `settings` outlive the element's pads.
  GstOmniTokenizer(GstElement* element, GstElementClass* klass, GstOmniEngineSettings& settings,
                   omni::Modality modality, GstOmniInput::Limits limits);

  // Media time from a token buffer's PTS until its last sample or frame is there, plus the time
  // allowed for computing. Any thread.
  virtual GstClockTime own_latency() = 0;
  virtual std::unique_ptr<GstOmniTokenizerWork> make_work(const omni::Engine& engine) = 0;

  // An event from downstream that is this element's. False: it goes on.
  virtual bool take_upstream(GstEvent* event) { return false; }
  void push_event(EventPtr event) { gst_pad_push_event(src_, event.release()); }
  bool query_duration(gint64* duration) {  // of what comes, as upstream knows it
    return gst_pad_peer_query_duration(input_.pad(), GST_FORMAT_TIME, duration);
  }
  bool is_live() { return input_.is_live(); }
  bool ask_downstream(GstQuery* query) { return gst_pad_peer_query(src_, query); }

  bool query(GstQuery* query) override;  // of the sink pad
  // Throws `cancelled` once the work is no longer asked for: between the parts of a long one.
  void check_cancelled() { worker_.check_cancelled(); }

  GstElement* const element_;
  GstOmniEngineContext engine_context_;

 private:
  static gboolean src_event(GstPad* pad, GstObject* parent, GstEvent* event);
  static gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query);
  static gboolean src_activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode,
                                    gboolean active);
  bool answer_latency(GstQuery* query);

  void flush_start(EventPtr event) override { gst_pad_push_event(src_, event.release()); }
  void flush_stop(EventPtr event) override { gst_pad_push_event(src_, event.release()); }

  void begin() override;
  bool step() override;
  void restart() override { work_->reset(); }
  void failed() override;
  void end() override;
  void emit(omni::Segment&& segment);
  void handle_event(GstEvent* event);
  void handle_gap(GstClockTime time, GstClockTime duration);
  void push_sticky(GstEvent* event);
  [[noreturn]] void throw_refused();
  void push_end(GstEvent* event);

  const omni::Modality modality_;
  GstPad* const src_;
  GstOmniWorker worker_;
  GstOmniInput input_;
  std::atomic<guint64> n_segments_ = 0, n_tokens_ = 0;

  // of the task
  const GstOmniTokenizerWork::Emit emit_ = [this](omni::Segment&& s) { emit(std::move(s)); };
  std::shared_ptr<const omni::Engine> engine_;
  std::unique_ptr<GstOmniTokenizerWork> work_;
};

// The read-only properties of a tokenizer.
template <class Tokenizer>
std::vector<GstOmniReading<Tokenizer>> gst_omni_tokenizer_readings() {
  return {{[] {
             return g_param_spec_boxed("stats", "Statistics",
                                       "What went in, came out and was dropped", GST_TYPE_STRUCTURE,
                                       kGstOmniReadOnly);
           },
           [](Tokenizer& self, GValue* value) { g_value_take_boxed(value, self.stats()); }}};
}
