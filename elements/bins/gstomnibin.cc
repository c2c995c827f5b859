/**
 * element-omnibin:
 *
 * Everything in one element: raw video, raw audio and questions in; text, speech, what is where,
 * and the video with that as metadata out. Made of omnivideotokenizer, omniaudiotokenizer,
 * omnimodel and omnicombiner; it has their properties and signals. Odd video formats are converted
 * on the way to the model, and interlaced video is deinterlaced; the video that leaves is the one
 * that came. Video in a GPU's memory reaches the model as it is, where omnivideotokenizer takes it.
 *
 * A sink pad counts once something is linked to it. One that was asked for and never linked is told
 * of by a warning when the others end. Where no source pad is linked, answers leave as messages,
 * and the bin is a sink: it ends the pipeline.
 *
 * ## Example
 * |[
 * gst-launch-1.0 omnibin name=o model-path=models/nano  videotestsrc is-live=true pattern=ball !
 * o.sink_video  audiotestsrc is-live=true ! o.sink_audio o.src_text ! fakesink dump=true
 * ]|
 */
#include "bins/gstomnibin.h"

#include <string>
#include <utility>
#include <vector>

#include "common/gstomniguard.h"
#include "common/gstomniptr.h"

namespace {

struct GstOmniBin {
  GstBin bin;
  // all but the model join the bin when their pad is asked for; owned
  GstElement *model, *video, *audio, *combiner;
  GstElement *tee, *convert, *deinterlace, *end;
  bool video_in, audio_in, video_out;
};

struct GstOmniBinClass {
  GstBinClass parent_class;
};

GstBinClass* g_parent_class = nullptr;
std::vector<std::string>& names() {  // of property i + 1
  static std::vector<std::string> n;
  return n;
}

GstOmniBin* cast(gpointer p) { return static_cast<GstOmniBin*>(p); }

GstElement* make(const char* factory, const char* name) {
  GstElement* e = gst_element_factory_make(factory, name);
  if (!e) throw omni::Error(omni::ErrorCode::not_found, std::string("no element ") + factory);
  return GST_ELEMENT(gst_object_ref_sink(e));
}

bool has(GstElement* e, const std::string& name) {
  return e && g_object_class_find_property(G_OBJECT_GET_CLASS(e), name.c_str());
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec*) {
  auto* self = cast(object);
  const std::string& name = names()[id - 1];
  // Latency is each element's own; the bin's is the model's.
  if (name == "latency") {
    g_object_set_property(G_OBJECT(self->model), name.c_str(), value);
    return;
  }
  for (GstElement* e : {self->video, self->audio, self->model, self->combiner})
    if (has(e, name)) g_object_set_property(G_OBJECT(e), name.c_str(), value);
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec*) {
  auto* self = cast(object);
  const std::string& name = names()[id - 1];
  for (GstElement* e : {self->model, self->video, self->audio, self->combiner})
    if (has(e, name)) return g_object_get_property(G_OBJECT(e), name.c_str(), value);
}

// The same property on the bin: the specification that the child has.
GParamSpec* clone(GParamSpec* p) {
  const auto* n = g_param_spec_get_name(p);
  const char *nick = g_param_spec_get_nick(p), *blurb = g_param_spec_get_blurb(p);
  if (auto* s = G_IS_PARAM_SPEC_STRING(p) ? G_PARAM_SPEC_STRING(p) : nullptr)
    return g_param_spec_string(n, nick, blurb, s->default_value, p->flags);
  if (auto* s = G_IS_PARAM_SPEC_UINT(p) ? G_PARAM_SPEC_UINT(p) : nullptr)
    return g_param_spec_uint(n, nick, blurb, s->minimum, s->maximum, s->default_value, p->flags);
  if (auto* s = G_IS_PARAM_SPEC_UINT64(p) ? G_PARAM_SPEC_UINT64(p) : nullptr)
    return g_param_spec_uint64(n, nick, blurb, s->minimum, s->maximum, s->default_value, p->flags);
  if (auto* s = G_IS_PARAM_SPEC_INT64(p) ? G_PARAM_SPEC_INT64(p) : nullptr)
    return g_param_spec_int64(n, nick, blurb, s->minimum, s->maximum, s->default_value, p->flags);
  if (auto* s = G_IS_PARAM_SPEC_DOUBLE(p) ? G_PARAM_SPEC_DOUBLE(p) : nullptr)
    return g_param_spec_double(n, nick, blurb, s->minimum, s->maximum, s->default_value, p->flags);
  if (auto* s = G_IS_PARAM_SPEC_BOOLEAN(p) ? G_PARAM_SPEC_BOOLEAN(p) : nullptr)
    return g_param_spec_boolean(n, nick, blurb, s->default_value, p->flags);
  if (auto* s = G_IS_PARAM_SPEC_ENUM(p) ? G_PARAM_SPEC_ENUM(p) : nullptr)
    return g_param_spec_enum(n, nick, blurb, p->value_type, s->default_value, p->flags);
  if (G_IS_PARAM_SPEC_BOXED(p)) return g_param_spec_boxed(n, nick, blurb, p->value_type, p->flags);
  if (GST_IS_PARAM_SPEC_FRACTION(p)) {
    auto* s = GST_PARAM_SPEC_FRACTION(p);
    return gst_param_spec_fraction(n, nick, blurb, s->min_num, s->min_den, s->max_num, s->max_den,
                                   s->def_num, s->def_den, p->flags);
  }
  return nullptr;
}

void install_properties(GObjectClass* klass, const char* factory_name) {
  GstElementFactory* factory = gst_element_factory_find(factory_name);
  if (!factory) return;
  auto* loaded = GST_ELEMENT_FACTORY(gst_plugin_feature_load(GST_PLUGIN_FEATURE(factory)));
  gst_object_unref(factory);
  if (!loaded) return;
  auto* child =
      static_cast<GObjectClass*>(g_type_class_ref(gst_element_factory_get_element_type(loaded)));
  guint n = 0;
  std::unique_ptr<GParamSpec*, GstOmniRelease<g_free>> specs(
      g_object_class_list_properties(child, &n));
  for (guint i = 0; i < n; ++i) {
    GParamSpec* p = specs.get()[i];
    if (g_type_is_a(GST_TYPE_ELEMENT, p->owner_type) ||
        g_object_class_find_property(klass, p->name))
      continue;
    if (GParamSpec* own = clone(p)) {
      names().push_back(p->name);
      g_object_class_install_property(klass, guint(names().size()), own);
    }
  }
  g_type_class_unref(child);
  gst_object_unref(loaded);
}

void join(GstOmniBin* self, GstElement* e) {
  gst_bin_add(GST_BIN(self), e);
  gst_element_sync_state_with_parent(e);
}

GstPad* ghost(GstOmniBin* self, GstPadTemplate* templ, const char* name, PadPtr target) {
  if (!target) return nullptr;
  GstPad* pad = gst_ghost_pad_new_from_template(name, target.get(), templ);
  gst_pad_set_active(pad, TRUE);
  gst_element_add_pad(GST_ELEMENT(self), pad);
  return pad;
}

GstPad* ask_of_model(GstOmniBin* self, GstPadTemplate* templ, const char* name,
                     const char* model_pad) {
  return ghost(self, templ, name, PadPtr(gst_element_request_pad_simple(self->model, model_pad)));
}

void link_tokens(GstElement* tokenizer, GstElement* model, const char* pad_name) {
  PadPtr sink(gst_element_request_pad_simple(model, pad_name)),
      src(gst_element_get_static_pad(tokenizer, "src"));
  if (!sink || gst_pad_link(src.get(), sink.get()) != GST_PAD_LINK_OK)
    throw omni::Error(omni::ErrorCode::internal, std::string("omnibin could not link ") + pad_name);
}

void link(GstElement* from, GstElement* to) {
  if (!gst_element_link(from, to))
    throw omni::Error(omni::ErrorCode::internal, "omnibin could not link its elements");
}

GstElement* tee(GstOmniBin* self) {
  if (!self->tee) {
    self->tee = make("tee", "tee");
    join(self, self->tee);
  }
  return self->tee;
}

// tee ─► convert ─► deinterlace ─► video; the two in the middle touch only what has to be changed.
void add_video_in(GstOmniBin* self) {
  if (std::exchange(self->video_in, true)) return;
  self->convert = make("videoconvert", "convert");
  self->deinterlace = make("deinterlace", "deinterlace");
  gst_util_set_object_arg(G_OBJECT(self->deinterlace), "method", "linear");
  gst_util_set_object_arg(G_OBJECT(self->deinterlace), "fields", "top");
  for (GstElement* e : {self->convert, self->deinterlace, self->video}) join(self, e);
  link(tee(self), self->convert);
  link(self->convert, self->deinterlace);
  link(self->deinterlace, self->video);
}

void add_video_out(GstOmniBin* self) {
  if (std::exchange(self->video_out, true)) return;
  join(self, self->combiner);
  gst_element_link_pads(tee(self), nullptr, self->combiner, "sink");
  PadPtr spatial(gst_element_request_pad_simple(self->model, "spatial_%u")),
      sink(gst_element_get_static_pad(self->combiner, "spatial"));
  if (!spatial || gst_pad_link(spatial.get(), sink.get()) != GST_PAD_LINK_OK)
    throw omni::Error(omni::ErrorCode::internal, "omnibin could not link its combiner");
}

// The model learns of a stream when there is one: it would wait for it.
GstPadLinkReturn sink_linked(GstPad* pad, GstObject* parent, GstPad*) {
  auto* self = cast(parent);
  const bool video = g_str_equal(GST_PAD_NAME(pad), "sink_video");
  return gst_omni_guard(self, GST_PAD_LINK_REFUSED, [&] {
    GstElement* tokenizer = video ? self->video : self->audio;
    PadPtr src(gst_element_get_static_pad(tokenizer, "src"));
    if (!gst_pad_is_linked(src.get()))
      link_tokens(tokenizer, self->model, video ? "video_0" : "audio_0");
    return GST_PAD_LINK_OK;
  });
}

// When a stream ends: what was asked for and never came.
GstPadProbeReturn warn_of_unlinked(GstPad*, GstPadProbeInfo* info, gpointer data) {
  auto* element = static_cast<GstElement*>(data);
  if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) != GST_EVENT_EOS) return GST_PAD_PROBE_OK;
  for (const char* name : {"sink_video", "sink_audio"})
    if (PadPtr pad(gst_element_get_static_pad(element, name)); pad && !gst_pad_is_linked(pad.get()))
      GST_ELEMENT_WARNING(element, STREAM, FAILED,
                          ("%s was asked for, and no stream came to it", name), (nullptr));
  return GST_PAD_PROBE_OK;
}

GstPad* media_sink(GstOmniBin* self, GstPadTemplate* templ, const char* name, PadPtr target) {
  GstPad* pad = gst_ghost_pad_new_from_template(name, target.get(), templ);
  gst_pad_set_link_function(pad, sink_linked);
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, warn_of_unlinked, self, nullptr);
  gst_pad_set_active(pad, TRUE);
  gst_element_add_pad(GST_ELEMENT(self), pad);
  return pad;
}

GstPad* request_new_pad(GstElement* element, GstPadTemplate* templ, const gchar*, const GstCaps*) {
  auto* self = cast(element);
  return gst_omni_guard<GstPad*>(self, nullptr, [&]() -> GstPad* {
    const std::string name = GST_PAD_TEMPLATE_NAME_TEMPLATE(templ);
    if (PadPtr there(gst_element_get_static_pad(element, name.c_str())); there) return nullptr;
    if (name == "sink_video") {
      add_video_in(self);
      return media_sink(self, templ, "sink_video",
                        PadPtr(gst_element_get_static_pad(self->tee, "sink")));
    }
    if (name == "sink_audio") {
      if (!std::exchange(self->audio_in, true)) join(self, self->audio);
      return media_sink(self, templ, "sink_audio",
                        PadPtr(gst_element_get_static_pad(self->audio, "sink")));
    }
    if (name == "src_video") {
      add_video_out(self);
      return ghost(self, templ, "src_video",
                   PadPtr(gst_element_get_static_pad(self->combiner, "src")));
    }
    if (name == "src_speech") return ask_of_model(self, templ, "src_speech", "speech_%u");
    if (name == "src_spatial") return ask_of_model(self, templ, "src_spatial", "spatial_%u");
    if (name == "sink_prompt") return ask_of_model(self, templ, "sink_prompt", "prompt_%u");
    return ask_of_model(self, templ, "src_text", "text_%u");
  });
}

void release_pad(GstElement* element, GstPad* pad) {
  auto* self = cast(element);
  PadPtr target(gst_ghost_pad_get_target(GST_GHOST_PAD(pad)));
  gst_pad_set_active(pad, FALSE);
  gst_ghost_pad_set_target(GST_GHOST_PAD(pad), nullptr);
  const bool of_model = target && GST_PAD_PARENT(target.get()) == self->model;
  gst_element_remove_pad(element, pad);
  if (of_model) gst_element_release_request_pad(self->model, target.get());
}

bool has_linked_source(GstElement* element) {
  GST_OBJECT_LOCK(element);
  bool linked = false;
  for (GList* l = element->srcpads; l; l = l->next)
    linked |= bool(gst_pad_is_linked(GST_PAD(l->data)));
  GST_OBJECT_UNLOCK(element);
  return linked;
}

// Where nothing is downstream, a sink of our own says when all is over.
void add_end(GstOmniBin* self) {
  if (self->end || has_linked_source(GST_ELEMENT(self))) return;
  self->end = make("fakesink", "end");
  g_object_set(self->end, "sync", FALSE, "async", FALSE, nullptr);
  join(self, self->end);
  if (!gst_element_link_pads(self->model, "text_%u", self->end, "sink"))
    throw omni::Error(omni::ErrorCode::internal, "omnibin could not link its sink");
}

void remove_end(GstOmniBin* self) {
  if (!self->end) return;
  PadPtr sink(gst_element_get_static_pad(self->end, "sink")), text(gst_pad_get_peer(sink.get()));
  gst_element_set_locked_state(self->end, TRUE);
  gst_element_set_state(self->end, GST_STATE_NULL);
  gst_bin_remove(GST_BIN(self), self->end);
  if (text) gst_element_release_request_pad(self->model, text.get());
  gst_clear_object(&self->end);
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  auto* self = cast(element);
  return gst_omni_guard(self, GST_STATE_CHANGE_FAILURE, [&] {
    if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) add_end(self);
    const GstStateChangeReturn result =
        GST_ELEMENT_CLASS(g_parent_class)->change_state(element, transition);
    if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) remove_end(self);
    return result;
  });
}

void signal_ask(GstOmniBin* self, const gchar* text) {
  g_signal_emit_by_name(self->model, "ask", text);
}
void signal_interrupt(GstOmniBin* self) { g_signal_emit_by_name(self->model, "interrupt"); }
void signal_reset(GstOmniBin* self) { g_signal_emit_by_name(self->model, "reset"); }

void dispose(GObject* object) {
  auto* self = cast(object);
  G_OBJECT_CLASS(g_parent_class)->dispose(object);
  for (GstElement** e : {&self->video, &self->audio, &self->tee, &self->convert, &self->deinterlace,
                         &self->end, &self->combiner, &self->model})
    gst_clear_object(e);
}

void instance_init(GTypeInstance* instance, gpointer) {
  auto* self = reinterpret_cast<GstOmniBin*>(instance);
  gst_omni_guard(self, false, [&] {
    self->model = make("omnimodel", "model");
    self->video = make("omnivideotokenizer", "video");
    self->audio = make("omniaudiotokenizer", "audio");
    self->combiner = make("omnicombiner", "combiner");
    gst_bin_add(GST_BIN(self), self->model);
    return true;
  });
}

void add_template(GstElementClass* klass, const char* name, GstPadDirection direction,
                  GstCaps* caps) {
  gst_element_class_add_pad_template(klass,
                                     gst_pad_template_new(name, direction, GST_PAD_REQUEST, caps));
}

void add_template(GstElementClass* klass, const char* name, GstPadDirection direction,
                  const char* caps_text) {
  CapsPtr caps(gst_caps_from_string(caps_text));
  add_template(klass, name, direction, caps.get());
}

// Any video in system memory, and what else the tokenizer takes.
CapsPtr video_caps() {
  CapsPtr caps(gst_caps_new_empty_simple("video/x-raw"));
  GstElementFactory* factory = gst_element_factory_find("omnivideotokenizer");
  if (!factory) return caps;
  for (const GList* l = gst_element_factory_get_static_pad_templates(factory); l; l = l->next) {
    auto* t = static_cast<GstStaticPadTemplate*>(l->data);
    if (t->direction == GST_PAD_SINK)
      caps.reset(gst_caps_merge(caps.release(), gst_static_pad_template_get_caps(t)));
  }
  gst_object_unref(factory);
  return caps;
}

void class_init(gpointer g_class, gpointer) {
  g_parent_class = static_cast<GstBinClass*>(g_type_class_peek_parent(g_class));
  auto* object = G_OBJECT_CLASS(g_class);
  auto* element = GST_ELEMENT_CLASS(g_class);
  object->set_property = set_property;
  object->get_property = get_property;
  object->dispose = dispose;
  element->request_new_pad = GST_DEBUG_FUNCPTR(request_new_pad);
  element->release_pad = GST_DEBUG_FUNCPTR(release_pad);
  element->change_state = GST_DEBUG_FUNCPTR(change_state);
  for (const char* factory :
       {"omnimodel", "omnivideotokenizer", "omniaudiotokenizer", "omnicombiner"})
    install_properties(object, factory);
  const GType type = G_TYPE_FROM_CLASS(g_class);
  const auto action = GSignalFlags(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION);
  g_signal_new_class_handler("ask", type, action, G_CALLBACK(signal_ask), nullptr, nullptr, nullptr,
                             G_TYPE_NONE, 1, G_TYPE_STRING);
  g_signal_new_class_handler("interrupt", type, action, G_CALLBACK(signal_interrupt), nullptr,
                             nullptr, nullptr, G_TYPE_NONE, 0);
  g_signal_new_class_handler("reset", type, action, G_CALLBACK(signal_reset), nullptr, nullptr,
                             nullptr, G_TYPE_NONE, 0);
  const CapsPtr video = video_caps();
  add_template(element, "sink_video", GST_PAD_SINK, video.get());
  add_template(element, "sink_audio", GST_PAD_SINK, "audio/x-raw");
  add_template(element, "sink_prompt", GST_PAD_SINK, "text/x-raw, format=(string)utf8");
  add_template(element, "src_video", GST_PAD_SRC, video.get());
  add_template(element, "src_spatial", GST_PAD_SRC, "application/x-omni-spatial, version=(int)1");
  add_template(element, "src_speech", GST_PAD_SRC,
               "audio/x-raw, channels=(int)1, layout=(string)interleaved");
  add_template(element, "src_text", GST_PAD_SRC, "text/x-raw, format=(string)utf8");
  gst_element_class_set_static_metadata(
      element, "Omni bin", "Generic/Bin/Analyzer/Video/Audio",
      "Live video and audio in; text, speech, places and annotated video out", "gst-omni");
}

GType get_type() {
  static const GType type = [] {
    const GTypeInfo info = {
        sizeof(GstOmniBinClass), nullptr, nullptr,       class_init, nullptr, nullptr,
        sizeof(GstOmniBin),      0,       instance_init, nullptr};
    return g_type_register_static(GST_TYPE_BIN, "GstOmniBin", &info, GTypeFlags(0));
  }();
  return type;
}

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnibin, "omnibin", GST_RANK_NONE, get_type());
