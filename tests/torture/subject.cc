#include "torture/subject.h"

#include <algorithm>
#include <future>

#include "torture/samples.h"
#include "torture/values.h"

#define CHECKPOINT(NAME) OMNI_SOURCE_DIR "/tests/fixtures/" NAME "/checkpoint"

namespace omni_test {
namespace {

// Of a whole stream: buffers of 200 ms, or texts.
constexpr guint64 kPieces = 25, kTexts = 3;

// The small checkpoint of an element of this factory.
const char* checkpoint_of(GstElement* element) {
  const bool transcribes =
      g_str_equal(GST_OBJECT_NAME(gst_element_get_factory(element)), "omnitranscriber");
  return transcribes ? CHECKPOINT("whisper") : CHECKPOINT("qwen2_5_omni/a");
}

// The small checkpoints have no voice.
bool wants_voice(GstPadTemplate* templ) {
  return g_strrstr(GST_PAD_TEMPLATE_NAME_TEMPLATE(templ), "speech") != nullptr;
}

std::string label(GstPad* pad) {
  GstPadTemplate* templ = gst_pad_get_pad_template(pad);
  GstElement* parent = gst_pad_get_parent_element(pad);
  const std::string label = std::string(GST_OBJECT_NAME(gst_element_get_factory(parent))) + "." +
                            (templ ? GST_PAD_TEMPLATE_NAME_TEMPLATE(templ) : GST_PAD_NAME(pad));
  if (templ) gst_object_unref(templ);
  gst_object_unref(parent);
  return label;
}

// Of the end that was pushed.
bool push_stream(Peer& peer) {
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  GstCaps* caps = plain_caps(peer.target());
  peer.begin_stream(gst_caps_ref(caps), segment);
  const bool asks =
      g_str_equal(gst_structure_get_name(gst_caps_get_structure(caps, 0)), "text/x-raw");
  for (guint64 i = 0; i < (asks ? kTexts : kPieces); ++i) {
    GstBuffer* buffer = good_buffer(caps, i);
    GST_BUFFER_PTS(buffer) = i * kPiece;
    if (peer.push(buffer) != GST_FLOW_OK) break;
  }
  gst_caps_unref(caps);
  return gst_pad_push_event(peer.pad(), gst_event_new_eos());
}

}  // namespace

std::vector<Topology> topologies() {
  std::vector<Topology> all;
  GList* features = gst_registry_get_feature_list_by_plugin(gst_registry_get(), "omni");
  for (GList* l = features; l; l = l->next)
    if (GST_IS_ELEMENT_FACTORY(l->data)) {
      const char* name = gst_plugin_feature_get_name(GST_PLUGIN_FEATURE(l->data));
      all.push_back({name, name});
    }
  gst_plugin_feature_list_free(features);
  std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.name < b.name; });
  all.push_back({"seeing", "omnivideotokenizer ! omnimodel name=m  m.text_0 ! omnicaptionformat"});
  all.push_back({"hearing", "omniaudiotokenizer ! omnimodel name=m  m.text_0 ! omnicea608enc"});
  all.push_back({"watching",
                 "omnivideotokenizer ! omnimodel name=m  omniaudiotokenizer ! m. "
                 "m.spatial_0 ! omnicombiner name=c ! omnioverlay name=o  m.text_0 ! o.text"});
  all.push_back({"captioning", "omnitranscriber ! omnicaptionformat ! omniebuttdenc"});
  return all;
}

Subject::Subject(const Topology& topology) {
  GError* error = nullptr;
  // A description of one element is that element; of several, a pipeline.
  GstElement* parsed = gst_parse_launch(topology.launch.c_str(), &error);
  if (error) g_error("%s: %s", topology.name.c_str(), error->message);
  pipeline_ = GST_IS_PIPELINE(parsed) ? parsed : gst_pipeline_new(nullptr);
  gst_object_ref_sink(pipeline_);
  if (parsed != pipeline_) gst_bin_add(GST_BIN(pipeline_), parsed);
  for (GList* l = GST_BIN_CHILDREN(pipeline_); l; l = l->next)
    elements_.push_back(GST_ELEMENT(l->data));
  set_plain();
  for (GstElement* e : elements_) add_peers(e);
}

Subject::~Subject() {
  set_state(pipeline_, GST_STATE_NULL);
  peers_.clear();
  gst_object_unref(pipeline_);
}

std::vector<std::string> Subject::destroy(std::unique_ptr<Subject> subject) {
  struct Watched {
    std::string name;
    GWeakRef ref;
  };
  std::vector<std::unique_ptr<Watched>> all;
  const auto watch = [&](gpointer object) {
    all.push_back(std::make_unique<Watched>());
    all.back()->name = GST_OBJECT_NAME(object);
    g_weak_ref_init(&all.back()->ref, object);
  };
  for (GstElement* e : subject->elements_) watch(e);
  for (const PeerPtr& p : subject->peers_) watch(p->target());
  subject.reset();
  std::vector<std::string> alive;
  for (auto& w : all) {
    if (gpointer object = g_weak_ref_get(&w->ref)) {
      alive.push_back(w->name);
      g_object_unref(object);
    }
    g_weak_ref_clear(&w->ref);
  }
  return alive;
}

std::vector<PeerPtr> Subject::peers() {
  std::lock_guard guard(lock_);
  return peers_;
}

std::vector<PeerPtr> Subject::feeders() {
  auto all = peers();
  std::erase_if(all, [](const PeerPtr& p) { return !p->feeds(); });
  return all;
}

std::vector<PeerPtr> Subject::drains() {
  auto all = peers();
  std::erase_if(all, [](const PeerPtr& p) { return p->feeds(); });
  return all;
}

void Subject::add_peers(GstElement* element) {
  for (GList* l = element->pads; l; l = l->next)
    if (!gst_pad_is_linked(GST_PAD(l->data)))
      peers_.push_back(std::make_shared<Peer>(GST_PAD(l->data)));
}

void Subject::set_plain() {
  for (GstElement* e : elements_) {
    for (GParamSpec* spec : own_properties(G_OBJECT(e)))
      g_object_set_property(G_OBJECT(e), spec->name, g_param_spec_get_default_value(spec));
    auto* klass = G_OBJECT_GET_CLASS(e);
    if (g_object_class_find_property(klass, "model-path"))
      g_object_set(e, "model-path", checkpoint_of(e), nullptr);
    if (g_object_class_find_property(klass, "max-tokens"))
      g_object_set(e, "max-tokens", 8, nullptr);
  }
}

// An element's task cannot be stopped while it waits in what is behind it: that goes first, as it
// does where a pipeline is stopped.
void Subject::stop_behind(GstElement* element, GstState state) {
  std::vector<GstElement*> behind;
  gst_element_foreach_src_pad(
      element,
      [](GstElement*, GstPad* pad, gpointer found) -> gboolean {
        GstPad* peer = gst_pad_get_peer(pad);
        GstElement* next = peer ? gst_pad_get_parent_element(peer) : nullptr;
        if (next) static_cast<std::vector<GstElement*>*>(found)->push_back(next);
        if (peer) gst_object_unref(peer);
        return TRUE;
      },
      &behind);
  for (GstElement* next : behind) {
    if (std::find(elements_.begin(), elements_.end(), next) != elements_.end()) {
      stop_behind(next, state);
      gst_element_set_state(next, state);
    }
    gst_object_unref(next);
  }
}

GstStateChangeReturn Subject::set_state(GstElement* element, GstState state) {
  const bool stops = state < GST_STATE_PAUSED;
  if (stops) {
    for (const PeerPtr& p : drains()) p->set_open(true);
    if (element != pipeline_) stop_behind(element, state);
  }
  const GstStateChangeReturn result = gst_element_set_state(element, state);
  if (!stops)
    for (const PeerPtr& p : drains()) p->set_open(false);
  return result;
}

PeerPtr Subject::request_pad(GstElement* element, GstPadTemplate* templ) {
  GstPad* pad = gst_element_request_pad(element, templ, nullptr, nullptr);
  if (!pad) return nullptr;
  auto peer = std::make_shared<Peer>(pad);
  gst_object_unref(pad);
  std::lock_guard guard(lock_);
  peers_.push_back(peer);
  return peer;
}

bool Subject::is_on_request(const PeerPtr& peer) {
  GstPadTemplate* templ = gst_pad_get_pad_template(peer->target());
  const bool is = templ && GST_PAD_TEMPLATE_PRESENCE(templ) == GST_PAD_REQUEST;
  if (templ) gst_object_unref(templ);
  return is;
}

void Subject::release_pad(const PeerPtr& peer) {
  {
    std::lock_guard guard(lock_);
    std::erase(peers_, peer);
  }
  peer->set_open(true);
  if (GstElement* element = gst_pad_get_parent_element(peer->target())) {
    gst_element_release_request_pad(element, peer->target());
    gst_object_unref(element);
  }
}

std::string Subject::take_error() {
  std::string text;
  GstBus* bus = gst_element_get_bus(pipeline_);
  while (GstMessage* m = gst_bus_pop(bus)) {
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR && text.empty()) {
      GError* error = nullptr;
      gst_message_parse_error(m, &error, nullptr);
      text = error->message;
      g_error_free(error);
    }
    gst_message_unref(m);
  }
  gst_object_unref(bus);
  return text;
}

void Subject::request_one_of_each() {
  for (const PeerPtr& p : peers())
    if (is_on_request(p)) release_pad(p);
  for (const PeerPtr& p : peers()) p->begin_anew();
  for (const PeerPtr& p : peers())
    if (!p->link()) g_error("%s cannot be linked", label(p->target()).c_str());
  if (elements_.size() > 1) return;  // the others are linked among themselves
  GstElementClass* klass = GST_ELEMENT_GET_CLASS(elements_.front());
  for (GList* l = gst_element_class_get_pad_template_list(klass); l; l = l->next) {
    auto* templ = GST_PAD_TEMPLATE(l->data);
    if (GST_PAD_TEMPLATE_PRESENCE(templ) == GST_PAD_REQUEST && !wants_voice(templ))
      request_pad(elements_.front(), templ);
  }
}

Subject::Outcome Subject::do_job() {
  set_plain();
  request_one_of_each();
  take_error();
  Outcome outcome;
  if (set_state(pipeline_, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE)
    outcome.error = "no change to PLAYING";
  std::vector<std::future<bool>> streams;
  for (const PeerPtr& p : feeders())
    streams.push_back(std::async(std::launch::async, [p] { return push_stream(*p); }));
  bool taken = true;
  for (auto& s : streams) taken &= s.get();
  if (!taken) outcome.error = "an end of stream was refused";
  if (taken)
    for (const PeerPtr& p : drains()) p->wait_for_eos();
  if (const std::string error = take_error(); !error.empty()) outcome.error = error;
  for (const PeerPtr& p : drains()) outcome.came.emplace_back(label(p->target()), p->came());
  std::sort(outcome.came.begin(), outcome.came.end(),
            [](auto& a, auto& b) { return a.first < b.first; });
  set_state(pipeline_, GST_STATE_NULL);
  return outcome;
}

}  // namespace omni_test
