// The other end of a pad that is tortured: it pushes into a sink pad, or takes what a source pad
// pushes, as good and as bad as real neighbours do.
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace omni_test {

// What a neighbour downstream says to a buffer.
enum class Mood : int { takes, blocks, refuses_caps, not_linked, flushing, eos, error };

class Peer {
 public:
  // Linked to `target`, a pad of the element.
  explicit Peer(GstPad* target);
  ~Peer();
  Peer(const Peer&) = delete;

  GstPad* pad() const { return pad_; }        // our own
  GstPad* target() const { return target_; }  // the element's
  bool feeds() const { return GST_PAD_IS_SRC(pad_); }
  bool link();
  void unlink();
  void begin_anew();  // as a neighbour that comes from READY: no flush, no caps, nothing counted

  // --- of one that feeds

  std::atomic<guint64> time = 0, count = 0;  // of the next buffer
  std::atomic<bool> live = false;
  // What was last said on the pad; a new reference, or null.
  GstCaps* caps();
  // stream-start, caps (taken), segment.
  void begin_stream(GstCaps* caps, const GstSegment& segment);
  GstFlowReturn push(GstBuffer* buffer) { return gst_pad_push(pad_, buffer); }

  // --- of one that drains

  void set_mood(Mood mood);
  // Whoever waits in it goes back, and nobody waits any more, until it is closed: as a sink does
  // when it stops.
  void set_open(bool open);
  void wait_for_eos();
  struct Came {
    guint64 buffers = 0;
    bool eos = false;
    // How many answers there are to questions depends on what was seen before they came.
    bool operator==(const Came& o) const { return !buffers == !o.buffers && eos == o.eos; }
  };
  Came came();

 private:
  static GstFlowReturn chain(GstPad* pad, GstObject* parent, GstBuffer* buffer);
  static gboolean drain_event(GstPad* pad, GstObject* parent, GstEvent* event);
  static gboolean feed_event(GstPad* pad, GstObject* parent, GstEvent* event);
  static gboolean feed_query(GstPad* pad, GstObject* parent, GstQuery* query);

  GstPad *const target_, *const pad_;
  std::mutex lock_;
  std::condition_variable changed_;
  GstCaps* caps_ = nullptr;
  Mood mood_ = Mood::takes;
  bool open_ = false, flushing_ = false;
  Came came_;
};

using PeerPtr = std::shared_ptr<Peer>;

}  // namespace omni_test
