// A sink pad of an element that computes in a worker: a bounded queue of buffers and serialized
// events between the thread that pushes and the worker, so that neither a tee nor a decoder stands
// still because a model computes.
//
//   upstream ──► chain, event ──► stamp · pick ──► queue ──► handle_next() in the worker
//
// Bounded by buffers, bytes and time, whatever of these a stream says. Under a live upstream the
// newest data win: the oldest are dropped, counted and reported by QoS. Otherwise upstream waits.
// Every buffer has its time by GstOmniTimestamps; the buffer itself is never written to, since
// others may hold it.
//
// Locks: `lock_` guards the queue and the flags and is never held while calling out, but for
// Media::wants(), duration_of() and restarted().
#pragma once

#include <gst/gst.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "common/gstomniptr.h"
#include "streams/gstomnitimestamps.h"
#include "streams/gstomniworker.h"

class GstOmniInput {
 public:
  struct Limits {
    guint buffers;
    guint64 bytes;
    GstClockTime time;
  };

  struct Item {
    MiniObjectPtr object;  // a buffer or a serialized event
    // of buffers and GAP events, in their segment; the duration is 0 where nobody knows it
    GstClockTime time = GST_CLOCK_TIME_NONE, duration = 0;

    GstBuffer* buffer() const { return GST_BUFFER(object.get()); }
    GstEvent* event() const { return GST_EVENT(object.get()); }
    bool is_gap() const {
      return !GST_IS_BUFFER(object.get()) && GST_EVENT_TYPE(event()) == GST_EVENT_GAP;
    }
    // any event but a GAP
    bool is_event() const { return !GST_IS_BUFFER(object.get()) && !is_gap(); }
  };

  // What an element knows of its stream. Called by the thread that pushes; may throw omni::Error.
  class Media {
   public:
    virtual ~Media() = default;
    // Of the next buffers; throws if they cannot be taken.
    virtual void set_caps(GstCaps* caps) = 0;
    // Ahead of each buffer: upstream may be asked.
    virtual void before_buffer() {}
    // By what the buffer, its data or its caps say; 0 if nothing does.
    virtual GstClockTime duration_of(GstBuffer* buffer) = 0;
    // Whether a buffer of this time is needed at all.
    virtual bool wants(GstClockTime time) { return true; }
    // A flush or a segment: what wants() remembers is void.
    virtual void restarted(const GstSegment& segment) {}
    virtual bool query(GstQuery* query) { return false; }
    // Of what the element sends on its own.
    virtual GstFlowReturn output_flow() { return GST_FLOW_OK; }
    // To be passed on; whoever takes the FLUSH_STOP is told before the worker goes on.
    virtual void flush_start(EventPtr event) = 0;
    virtual void flush_stop(EventPtr event) = 0;
  };

  struct Counts {
    guint64 in = 0, dropped = 0, jumps = 0;
    guint queued = 0;
    GstClockTime dropped_time = 0;  // as far as the dropped buffers' durations are known
  };

  // Gives `pad` (not yet added to its element) the functions of an input.
  GstOmniInput(GstElement* element, GstPad* pad, Limits limits, GstOmniWorker& worker,
               Media& media);

  GstPad* pad() const { return pad_; }

  // --- for the worker

  // Takes what is next and handles it; false if there was nothing. An event that a flush does not
  // undo, but whose handling it has cancelled, will be next again.
  bool handle_next(const std::function<void(Item& item)>& handle);
  // Until `ready`, buffers of a recording wait ahead of wants(); from `failed` on they are refused.
  enum class Worker { starting, ready, failed };
  void set_worker(Worker state);
  // Of what was pushed; for the chain function. EOS lasts until the next stream, all others that
  // are not OK until a flush.
  void set_flow(GstFlowReturn flow);
  GstFlowReturn flow();
  bool has_ended();  // EOS has come: nobody upstream will hear of the flow any more
  // The output was linked anew.
  void relinked();

  // --- for any thread

  // Whether upstream is live; asked once a stream, ahead of its first segment.
  bool is_live();
  Counts counts();

 private:
  static GstOmniInput& of(GstPad* pad);
  static GstFlowReturn chain(GstPad* pad, GstObject* parent, GstBuffer* buffer);
  static gboolean event(GstPad* pad, GstObject* parent, GstEvent* event);
  static gboolean query(GstPad* pad, GstObject* parent, GstQuery* query);
  static gboolean activate_mode(GstPad* pad, GstObject* parent, GstPadMode mode, gboolean active);

  using Lock = std::unique_lock<std::mutex>;
  std::optional<Item> take();
  void put_back(Item item);
  GstFlowReturn put(BufferPtr buffer);
  bool put_event(EventPtr event);
  bool can_take_caps(GstEvent* event);
  bool put_gap(EventPtr event);
  void note_event(GstEvent* event);
  void set_active(bool active);
  void set_flushing(bool flushing);
  void find_out_if_live();

  // Under the lock, as all below: whether events, and whether data can be taken.
  GstFlowReturn result() const;
  GstFlowReturn data_result() const;
  bool is_full() const;
  void account(const Item& item, int sign);
  GstFlowReturn enqueue(Lock& lock, Item item);
  void drop_oldest();
  void clear(bool stays);
  GstClockTime stamp(GstClockTime pts, GstClockTime duration);
  bool is_outside(GstClockTime time, GstClockTime duration) const;
  void post_messages();  // without the lock

  GstElement* const element_;
  GstPad* const pad_;
  const Limits limits_;
  GstOmniWorker& worker_;
  Media& media_;

  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<Item> queue_;
  guint queued_ = 0, queued_events_ = 0;  // queued_: buffers and GAPs
  guint64 queued_bytes_ = 0;
  GstClockTime queued_time_ = 0;
  bool active_ = false, flushing_ = false, live_ = false, live_known_ = false, ended_ = false;
  enum class Caps { none, taken, refused } caps_ = Caps::none;
  Worker state_ = Worker::starting;
  GstFlowReturn flow_ = GST_FLOW_OK;
  GstSegment segment_;
  GstClockTime now_ = GST_CLOCK_TIME_NONE;  // running time when the last buffer came; live only
  GstOmniTimestamps stamps_;
  Counts counts_;
  std::vector<GstMessage*> messages_;  // to be posted without the lock
};
