#include "torture/orders.h"

#include "torture/operations.h"
#include "torture/samples.h"

namespace omni_test {
namespace {

void begin(Peer& peer, guint64 n_buffers) {
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  GstCaps* caps = plain_caps(peer.target());
  peer.begin_stream(gst_caps_ref(caps), segment);
  for (guint64 i = 0; i < n_buffers; ++i) {
    GstBuffer* b = good_buffer(caps, i);
    GST_BUFFER_PTS(b) = i * kPiece;
    peer.push(b);
  }
  gst_caps_unref(caps);
}

void send(Subject& subject, GstEvent* (*make)()) {
  for (const PeerPtr& p : subject.feeders()) gst_pad_push_event(p->pad(), make());
}

GstEvent* flush_stop() { return gst_event_new_flush_stop(TRUE); }

// What a stream can be in the middle of.
struct Situation {
  const char* name;
  GstState state;
  void (*prepare)(Subject& subject);
};

constexpr Situation kSituations[] = {
    {"NULL", GST_STATE_NULL, [](Subject&) {}},
    {"READY", GST_STATE_READY, [](Subject&) {}},
    {"PAUSED, nothing came", GST_STATE_PAUSED, [](Subject&) {}},
    {"PLAYING, nothing came", GST_STATE_PLAYING, [](Subject&) {}},
    {"PLAYING, caps and segment came", GST_STATE_PLAYING,
     [](Subject& s) {
       for (const PeerPtr& p : s.feeders()) begin(*p, 0);
     }},
    {"PLAYING, a buffer came", GST_STATE_PLAYING,
     [](Subject& s) {
       for (const PeerPtr& p : s.feeders()) begin(*p, 1);
     }},
    {"PLAYING, in a flush", GST_STATE_PLAYING,
     [](Subject& s) {
       for (const PeerPtr& p : s.feeders()) begin(*p, 1);
       send(s, gst_event_new_flush_start);
     }},
    {"PLAYING, behind a flush", GST_STATE_PLAYING,
     [](Subject& s) {
       for (const PeerPtr& p : s.feeders()) begin(*p, 1);
       send(s, gst_event_new_flush_start);
       send(s, flush_stop);
     }},
    {"PLAYING, behind the end", GST_STATE_PLAYING,
     [](Subject& s) {
       for (const PeerPtr& p : s.feeders()) begin(*p, 1);
       send(s, gst_event_new_eos);
     }},
};

// Of one feeder or drain, each after the other, in a stream of its own.
void one_event(Subject& subject, const Situation& situation, GstEvent* (*make)(Random&),
               bool downstream, Random& random) {
  for (const PeerPtr& p : subject.peers()) p->begin_anew();
  subject.set_state(subject.pipeline(), situation.state);
  situation.prepare(subject);
  for (const PeerPtr& p : downstream ? subject.feeders() : subject.drains())
    gst_pad_push_event(p->pad(), make(random));
  if (downstream)
    for (const PeerPtr& p : subject.feeders()) begin(*p, 1);
  subject.set_state(subject.pipeline(), GST_STATE_NULL);
}

}  // namespace

std::string run_orders(const Topology& topology, const Subject::Outcome& wanted,
                       const std::function<void(const char*)>& on_step) {
  Random random(1);
  for (const Situation& situation : kSituations) {
    on_step(situation.name);
    auto subject = std::make_unique<Subject>(topology);
    subject->request_one_of_each();
    for (const bool downstream : {true, false})
      for (auto* make : events_for(downstream ? GST_PAD_SINK : GST_PAD_SRC))
        one_event(*subject, situation, make, downstream, random);
    if (subject->do_job() != wanted)
      return std::string("no longer does its job after: ") + situation.name;
    for (const std::string& name : Subject::destroy(std::move(subject)))
      return name + " is never freed after: " + situation.name;
  }
  return {};
}

}  // namespace omni_test
