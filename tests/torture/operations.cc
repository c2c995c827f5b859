#include "torture/operations.h"

#include <numeric>

#include "torture/queries.h"
#include "torture/samples.h"
#include "torture/values.h"

namespace omni_test {
namespace {

PeerPtr draw(const std::vector<PeerPtr>& peers, Random& random) {
  return peers.empty() ? nullptr : peers[random.below(peers.size())];
}

GstElement* draw_element(Subject& subject, Random& random) {
  return subject.elements()[random.below(subject.elements().size())];
}

// Takes `caps`.
void begin(Peer& peer, GstCaps* caps) {
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  peer.time = 0;
  peer.begin_stream(caps, segment);
}

// --- data

void begin_stream(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.feeders(), random);
  if (!p) return;
  begin(*p, random.one_in(3) ? good_caps(p->target(), random) : plain_caps(p->target()));
}

// The next buffers of a stream; begins it where there is none.
void push_good(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.feeders(), random);
  if (!p) return;
  GstCaps* caps = p->caps();
  if (!caps) {
    begin(*p, plain_caps(p->target()));
    caps = p->caps();
  }
  for (uint64_t i = 1 + random.below(4); i > 0; --i) {
    GstBuffer* b = good_buffer(caps, p->count++);
    GST_BUFFER_PTS(b) = p->time.fetch_add(kPiece);
    if (p->push(b) != GST_FLOW_OK) break;
  }
  gst_caps_unref(caps);
}

// Times and flags that are missing, wrong, or far away.
void push_odd(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.feeders(), random);
  GstCaps* caps = p ? p->caps() : nullptr;
  if (!caps) return;
  GstBuffer* b = good_buffer(caps, p->count++);
  gst_caps_unref(caps);
  const guint64 now = p->time;
  if (!random.one_in(4)) GST_BUFFER_PTS(b) = random.one_in(2) ? now : random.edge();
  if (random.one_in(2)) GST_BUFFER_DURATION(b) = random.edge();
  if (random.one_in(4)) GST_BUFFER_DTS(b) = random.edge();
  if (random.one_in(4)) GST_BUFFER_OFFSET(b) = random.edge();
  static constexpr GstBufferFlags kFlags[] = {GST_BUFFER_FLAG_DISCONT, GST_BUFFER_FLAG_GAP,
                                              GST_BUFFER_FLAG_HEADER,  GST_BUFFER_FLAG_CORRUPTED,
                                              GST_BUFFER_FLAG_RESYNC,  GST_BUFFER_FLAG_DROPPABLE};
  if (random.one_in(2)) GST_BUFFER_FLAG_SET(b, random.pick(kFlags));
  p->push(b);
}

void push_wild(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.feeders(), random);
  GstCaps* caps = p ? p->caps() : nullptr;
  if (!caps) return;
  GstBuffer* b = wild_buffer(caps, random);
  gst_caps_unref(caps);
  if (random.one_in(2)) GST_BUFFER_PTS(b) = p->time;
  p->push(b);
}

void push_list(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.feeders(), random);
  GstCaps* caps = p ? p->caps() : nullptr;
  if (!caps) return;
  GstBufferList* list = gst_buffer_list_new();
  for (uint64_t i = random.below(4); i > 0; --i) {
    GstBuffer* b = good_buffer(caps, p->count++);
    GST_BUFFER_PTS(b) = p->time.fetch_add(kPiece);
    gst_buffer_list_add(list, b);
  }
  gst_caps_unref(caps);
  gst_pad_push_list(p->pad(), list);
}

void push_event(Subject& subject, Random& random) {
  static const auto events = events_for(GST_PAD_SINK);
  if (const PeerPtr p = draw(subject.feeders(), random))
    gst_pad_push_event(p->pad(), events[random.below(events.size())](random));
}

void query_downstream(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.feeders(), random);
  if (!p) return;
  GstQuery* q = random_query(random);
  gst_pad_peer_query(p->pad(), q);
  gst_query_unref(q);
}

// --- control

void change_state(Subject& subject, Random& random) {
  static constexpr GstState kStates[] = {GST_STATE_NULL,   GST_STATE_READY,   GST_STATE_PAUSED,
                                         GST_STATE_PAUSED, GST_STATE_PLAYING, GST_STATE_PLAYING,
                                         GST_STATE_PLAYING};
  GstElement* e = random.one_in(3) ? draw_element(subject, random) : subject.pipeline();
  subject.set_state(e, random.pick(kStates));
}

void play(Subject& subject, Random&) { subject.set_state(subject.pipeline(), GST_STATE_PLAYING); }

void request_pad(Subject& subject, Random& random) {
  GstElement* e = draw_element(subject, random);
  GList* templates = gst_element_class_get_pad_template_list(GST_ELEMENT_GET_CLASS(e));
  auto* templ =
      GST_PAD_TEMPLATE(g_list_nth_data(templates, guint(random.below(g_list_length(templates)))));
  if (GST_PAD_TEMPLATE_PRESENCE(templ) == GST_PAD_REQUEST && subject.peers().size() < 24)
    subject.request_pad(e, templ);
}

void release_pad(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.peers(), random);
  if (p && Subject::is_on_request(p)) subject.release_pad(p);
}

void relink(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.peers(), random);
  if (!p) return;
  p->unlink();
  if (!random.one_in(8)) p->link();
}

void change_mood(Subject& subject, Random& random) {
  static constexpr Mood kMoods[] = {
      Mood::takes,        Mood::takes,      Mood::takes,    Mood::takes, Mood::blocks,
      Mood::refuses_caps, Mood::not_linked, Mood::flushing, Mood::eos,   Mood::error};
  if (const PeerPtr p = draw(subject.drains(), random)) p->set_mood(random.pick(kMoods));
}

void change_liveness(Subject& subject, Random& random) {
  if (const PeerPtr p = draw(subject.feeders(), random)) p->live = random.one_in(3);
}

// What waits for the stream would wait as long as downstream likes: that is no fault.
void send_to_element(Subject& subject, Random& random) {
  static const auto down = events_for(GST_PAD_SINK), up = events_for(GST_PAD_SRC);
  const auto& events = random.one_in(2) ? down : up;
  GstEvent* e = events[random.below(events.size())](random);
  if (GST_EVENT_IS_SERIALIZED(e))
    gst_event_unref(e);
  else
    gst_element_send_event(draw_element(subject, random), e);
}

void new_context(Subject& subject, Random& random) {
  GstContext* c = gst_context_new(random.one_in(2) ? "omni.engine" : "other", random.one_in(2));
  if (random.one_in(2))
    gst_structure_set(gst_context_writable_structure(c), "model-path", G_TYPE_STRING,
                      OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/b/checkpoint", nullptr);
  gst_element_set_context(draw_element(subject, random), c);
  gst_context_unref(c);
}

void all_plain(Subject& subject, Random&) { subject.set_plain(); }

// --- beside

void flush(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.feeders(), random);
  if (!p) return;
  const uint64_t what = random.below(8);
  if (what != 0) gst_pad_push_event(p->pad(), gst_event_new_flush_start());
  if (what != 1) gst_pad_push_event(p->pad(), gst_event_new_flush_stop(what % 2));
}

void set_property(Subject& subject, Random& random) {
  GObject* object = G_OBJECT(draw_element(subject, random));
  const PeerPtr p = random.one_in(4) ? draw(subject.peers(), random) : nullptr;
  if (p) object = G_OBJECT(p->target());
  const auto specs = own_properties(object);
  if (!specs.empty()) set_random_property(object, specs[random.below(specs.size())], random);
}

void get_properties(Subject& subject, Random& random) {
  GObject* object = G_OBJECT(draw_element(subject, random));
  guint n = 0;
  GParamSpec** all = g_object_class_list_properties(G_OBJECT_GET_CLASS(object), &n);
  for (guint i = 0; i < n; ++i) {
    if (!(all[i]->flags & G_PARAM_READABLE)) continue;
    GValue value = G_VALUE_INIT;
    g_value_init(&value, all[i]->value_type);
    g_object_get_property(object, all[i]->name, &value);
    g_value_unset(&value);
  }
  g_free(all);
}

void emit_signal(Subject& subject, Random& random) {
  GObject* object = G_OBJECT(draw_element(subject, random));
  const auto signals = action_signals(G_OBJECT_TYPE(object));
  if (!signals.empty()) emit_random(object, signals[random.below(signals.size())], random);
}

void upstream_event(Subject& subject, Random& random) {
  static const auto events = events_for(GST_PAD_SRC);
  if (const PeerPtr p = draw(subject.drains(), random))
    gst_pad_push_event(p->pad(), events[random.below(events.size())](random));
}

void query_upstream(Subject& subject, Random& random) {
  const PeerPtr p = draw(subject.drains(), random);
  GstQuery* q = random_query(random);
  if (p)
    gst_pad_peer_query(p->pad(), q);
  else
    gst_element_query(draw_element(subject, random), q);
  gst_query_unref(q);
}

void read_bus(Subject& subject, Random&) { subject.take_error(); }

}  // namespace

const std::vector<Operation>& operations() {
  static const std::vector<Operation> all = {
      {"begin stream", Role::data, 6, begin_stream},
      {"good buffers", Role::data, 30, push_good},
      {"odd buffer", Role::data, 10, push_odd},
      {"wild buffer", Role::data, 3, push_wild},
      {"buffer list", Role::data, 3, push_list},
      {"event", Role::data, 12, push_event},
      {"query downstream", Role::data, 4, query_downstream},
      {"state", Role::control, 8, change_state},
      {"play", Role::control, 12, play},
      {"request pad", Role::control, 5, request_pad},
      {"release pad", Role::control, 4, release_pad},
      {"relink", Role::control, 4, relink},
      {"mood", Role::control, 8, change_mood},
      {"liveness", Role::control, 3, change_liveness},
      {"event to the element", Role::control, 3, send_to_element},
      {"context", Role::control, 1, new_context},
      {"plain settings", Role::control, 4, all_plain},
      {"read bus", Role::control, 6, read_bus},
      {"flush", Role::beside, 8, flush},
      {"property", Role::beside, 6, set_property},
      {"read properties", Role::beside, 6, get_properties},
      {"signal", Role::beside, 5, emit_signal},
      {"event upstream", Role::beside, 10, upstream_event},
      {"query upstream", Role::beside, 10, query_upstream},
  };
  return all;
}

const Operation& draw_operation(Role role, Random& random) {
  unsigned sum = 0;
  for (const Operation& o : operations()) sum += o.role == role ? o.weight : 0;
  auto at = unsigned(random.below(sum));
  for (const Operation& o : operations()) {
    if (o.role != role) continue;
    if (at < o.weight) return o;
    at -= o.weight;
  }
  return operations().front();
}

}  // namespace omni_test
