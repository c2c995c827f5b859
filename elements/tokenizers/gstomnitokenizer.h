// What the tokenizer elements share: a bounded queue between the chain function and a task of the
// source pad that does the work, so that neither a tee nor a decoder ever stands still because a
// tower computes. Under a live upstream the newest data win and what is dropped is counted and
// reported by QoS; otherwise the chain function waits.
//
//   chain ──► queue (buffers, events) ──► task: load · convert · mel or patches · tower ──► src
//
// Locks: `lock` guards queue and flags and is never held while calling out. The work object belongs
// to the task.
#pragma once

#include <gst/gst.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "common/gstomnicontext.h"
#include "common/gstomniptr.h"
#include "omni/engine.h"

// One kind of tokenizing. Used by one thread at a time; every function may throw omni::Error.
class GstOmniTokenizerWork {
 public:
  using Emit = std::function<void(omni::Segment&&)>;
  virtual ~GstOmniTokenizerWork() = default;
  virtual void set_caps(GstCaps* caps) = 0;
  virtual void buffer(GstBuffer* buffer, const Emit& emit) = 0;
  virtual void gap(GstClockTime start, GstClockTime duration, const Emit& emit) {}
  virtual void drain(const Emit& emit) = 0;  // everything that was begun, as at the end of a stream
  virtual void reset() = 0;                  // forgets what was begun
};

struct GstOmniTokenizer {
  GstElement element;
  GstPad *sink, *src;
  struct State;
  State* state;

  struct State {
    explicit State(GstOmniTokenizer* self, GstOmniEngineSettings& settings)
        : engine_context(GST_ELEMENT(self), settings) {}
    GstOmniEngineContext engine_context;

    std::mutex lock;
    std::condition_variable changed;
    std::deque<MiniObjectPtr> queue;  // buffers and serialized events
    guint queued_buffers = 0;
    GstClockTime queued_time = 0;
    bool flushing = true;
    GstFlowReturn flow = GST_FLOW_OK;  // of the last push, for the chain function
    bool live = false, live_known = false;
    bool ready = false;  // the checkpoint is loaded: accepts() knows what it asks for
    GstSegment segment;
    guint64 n_in = 0, n_dropped = 0, n_segments = 0, n_tokens = 0;

    // of the task
    std::shared_ptr<const omni::Engine> engine;
    std::unique_ptr<GstOmniTokenizerWork> work;
  };
};

struct GstOmniTokenizerClass {
  GstElementClass parent_class;
  guint max_buffers;  // of the queue
  GstClockTime max_time;
  omni::Modality modality;
  // Throws omni::Error if these caps cannot be tokenized; called before they are queued.
  void (*check_caps)(GstOmniTokenizer* self, GstCaps* caps);
  // Whether to queue this buffer at all. With state->lock held.
  bool (*accepts)(GstOmniTokenizer* self, GstBuffer* buffer);
  // A flush or a new segment: what accepts() remembers is void. With state->lock held.
  void (*restart)(GstOmniTokenizer* self);
  // Answers a query of the sink pad before anybody else; may be nullptr.
  bool (*query)(GstOmniTokenizer* self, GstQuery* query);
  std::unique_ptr<GstOmniTokenizerWork> (*make_work)(GstOmniTokenizer* self,
                                                     const omni::Engine& engine);
  // Media time from a token buffer's PTS until its last sample or frame is there, plus the time
  // allowed for computing.
  GstClockTime (*own_latency)(GstOmniTokenizer* self);
};

GType gst_omni_tokenizer_get_type();
#define GST_TYPE_OMNI_TOKENIZER (gst_omni_tokenizer_get_type())
#define GST_OMNI_TOKENIZER(o) reinterpret_cast<GstOmniTokenizer*>(o)

// For a subclass's instance_init: makes pads and state; `settings` must outlive the element's
// state.
void gst_omni_tokenizer_setup(GstOmniTokenizer* self, GstOmniEngineSettings& settings);
// For a subclass's class_init: sets the pad templates and the read-only property "stats" under
// `stats_id`.
void gst_omni_tokenizer_class_setup(GstOmniTokenizerClass* klass, const char* sink_caps,
                                    guint stats_id);
GstStructure* gst_omni_tokenizer_stats(GstOmniTokenizer* self);
