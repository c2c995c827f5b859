/**
 * element-omnibin:
 *
 * Everything in one element: raw video, raw audio and questions in; text, speech, what is where,
 * and the video with that as metadata out. Made of omnivideotokenizer, omniaudiotokenizer,
 * omnimodel and omnicombiner; it has their properties and signals. Odd video formats are converted
 * on the way to the model; the video that leaves is the one that came.
 *
 * ## Example
 * |[
 * gst-launch-1.0 omnibin name=o model-path=models/nano  videotestsrc is-live=true pattern=ball !
 * o.sink_video  audiotestsrc is-live=true ! o.sink_audio o.src_text ! fakesink dump=true
 * ]|
 */
#include "bins/gstomnibin.h"

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "common/gstomniguard.h"
#include "common/gstomniptr.h"

namespace {

struct GstOmniBin {
  GstBin bin;
  // all but the model join the bin when their pad is asked for; owned
  GstElement *model, *video, *audio, *combiner;
  GstElement *tee, *convert;
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

GstElement* tee(GstOmniBin* self) {
  if (!self->tee) {
    self->tee = make("tee", "tee");
    join(self, self->tee);
  }
  return self->tee;
}

GstPad* request_new_pad(GstElement* element, GstPadTemplate* templ, const gchar*, const GstCaps*) {
  auto* self = cast(element);
  return gst_omni_guard<GstPad*>(self, nullptr, [&]() -> GstPad* {
    const std::string name = GST_PAD_TEMPLATE_NAME_TEMPLATE(templ);
    if (PadPtr there(gst_element_get_static_pad(element, name.c_str())); there) return nullptr;
    if (name == "sink_video") {
      if (!self->video_in) {
        self->video_in = true;
        self->convert = make("videoconvert", "convert");
        join(self, self->convert);
        join(self, self->video);
        gst_element_link(self->convert, self->video);
        gst_element_link(tee(self), self->convert);
        link_tokens(self->video, self->model, "video_0");
      }
      return ghost(self, templ, "sink_video",
                   PadPtr(gst_element_get_static_pad(self->tee, "sink")));
    }
    if (name == "src_video") {
      if (!self->video_out) {
        self->video_out = true;
        join(self, self->combiner);
        gst_element_link_pads(tee(self), nullptr, self->combiner, "sink");
        PadPtr spatial(gst_element_request_pad_simple(self->model, "spatial_%u")),
            sink(gst_element_get_static_pad(self->combiner, "spatial"));
        if (!spatial || gst_pad_link(spatial.get(), sink.get()) != GST_PAD_LINK_OK)
          throw omni::Error(omni::ErrorCode::internal, "omnibin could not link its combiner");
      }
      return ghost(self, templ, "src_video",
                   PadPtr(gst_element_get_static_pad(self->combiner, "src")));
    }
    if (name == "src_speech") return ask_of_model(self, templ, "src_speech", "speech_%u");
    if (name == "src_spatial") return ask_of_model(self, templ, "src_spatial", "spatial_%u");
    if (name == "sink_audio") {
      if (!self->audio_in) {
        self->audio_in = true;
        join(self, self->audio);
        link_tokens(self->audio, self->model, "audio_0");
      }
      return ghost(self, templ, "sink_audio",
                   PadPtr(gst_element_get_static_pad(self->audio, "sink")));
    }
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

void signal_ask(GstOmniBin* self, const gchar* text) {
  g_signal_emit_by_name(self->model, "ask", text);
}
void signal_interrupt(GstOmniBin* self) { g_signal_emit_by_name(self->model, "interrupt"); }
void signal_reset(GstOmniBin* self) { g_signal_emit_by_name(self->model, "reset"); }

void dispose(GObject* object) {
  auto* self = cast(object);
  G_OBJECT_CLASS(g_parent_class)->dispose(object);
  for (GstElement** e :
       {&self->video, &self->audio, &self->tee, &self->convert, &self->combiner, &self->model})
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
                  const char* caps_text) {
  CapsPtr caps(gst_caps_from_string(caps_text));
  gst_element_class_add_pad_template(
      klass, gst_pad_template_new(name, direction, GST_PAD_REQUEST, caps.get()));
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
  add_template(element, "sink_video", GST_PAD_SINK, "video/x-raw");
  add_template(element, "sink_audio", GST_PAD_SINK, "audio/x-raw");
  add_template(element, "sink_prompt", GST_PAD_SINK, "text/x-raw, format=(string)utf8");
  add_template(element, "src_video", GST_PAD_SRC, "video/x-raw");
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
