/**
 * element-omnibin:
 *
 * Everything in one element: raw video, raw audio and questions in; text, speech, what is where,
 * and the video with that as metadata out. Made of omnivideotokenizer, omniaudiotokenizer,
 * omnimodel and omnicombiner; it has their properties and signals. Odd video formats are converted
 * on the way to the model, and interlaced video is deinterlaced; the video that leaves is the one
 * that came. Video in a GPU's memory reaches the model as it is, where omnivideotokenizer takes it.
 *
 * A checkpoint that does not hear has no `sink_audio`: a warning says what it takes.
 *
 * A sink pad counts once something is linked to it, and until it is released. One that was asked
 * for and never linked is told of by a warning when the others end; one that is linked and to which
 * nothing comes holds up the other for a while (omnimodel). Where no source pad is linked, answers
 * leave as messages, and the bin is a sink: it ends the pipeline.
 *
 * ## Example
 * |[
 * gst-launch-1.0 omnibin name=o model-path=models/nano  videotestsrc is-live=true pattern=ball !
 * o.sink_video  audiotestsrc is-live=true ! o.sink_audio o.src_text ! fakesink dump=true
 * ]|
 */
#include "bins/gstomnibin.h"

#include <gst/video/video.h>

#include <string>
#include <utility>
#include <vector>

#include "common/gstomnicontext.h"
#include "common/gstomnielement.h"
#include "common/gstomniptr.h"

namespace {

// All but the model join the bin when their pad is asked for; owned.
struct Parts {
  GstElement *model = nullptr, *video = nullptr, *audio = nullptr, *combiner = nullptr;
};

GstElement* make(const char* factory, const char* name) {
  GstElement* e = gst_element_factory_make(factory, name);
  if (!e) throw omni::Error(omni::ErrorCode::not_found, std::string("no element ") + factory);
  return GST_ELEMENT(gst_object_ref_sink(e));
}

bool has(GstElement* e, const std::string& name) {
  return e && g_object_class_find_property(G_OBJECT_GET_CLASS(e), name.c_str());
}

std::string model_path_of(GstElement* model) {
  gchar* path = nullptr;
  g_object_get(model, "model-path", &path, nullptr);
  const CharPtr owned(path);
  return path ? path : "";
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

// The properties of the parts, in the place of a table.
class PartProperties {
 public:
  void install(GObjectClass* klass) {
    for (const char* factory :
         {"omnimodel", "omnivideotokenizer", "omniaudiotokenizer", "omnicombiner"})
      install_of(klass, factory);
  }

  guint count() const { return guint(names_.size()); }

  bool set(const Parts& parts, guint id, const GValue* value) const {
    if (id < 1 || id > count()) return false;
    const std::string& name = names_[id - 1];
    // Latency is each element's own; the bin's is the model's.
    if (name == "latency") {
      g_object_set_property(G_OBJECT(parts.model), name.c_str(), value);
      return true;
    }
    for (GstElement* e : {parts.video, parts.audio, parts.model, parts.combiner})
      if (has(e, name)) g_object_set_property(G_OBJECT(e), name.c_str(), value);
    return true;
  }

  bool get(const Parts& parts, guint id, GValue* value) const {
    if (id < 1 || id > count()) return false;
    const std::string& name = names_[id - 1];
    for (GstElement* e : {parts.model, parts.video, parts.audio, parts.combiner})
      if (has(e, name)) {
        g_object_get_property(G_OBJECT(e), name.c_str(), value);
        break;
      }
    return true;
  }

 private:
  void install_of(GObjectClass* klass, const char* factory_name) {
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
        names_.push_back(p->name);
        g_object_class_install_property(klass, guint(names_.size()), own);
      }
    }
    g_type_class_unref(child);
    gst_object_unref(loaded);
  }

  std::vector<std::string> names_;  // of property i + 1
};

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

class OmniBin final : public GstOmniElement {
 public:
  using Base = GstBin;
  static GType base_type() { return GST_TYPE_BIN; }
  static PartProperties& properties() {
    static PartProperties all;
    return all;
  }
  static void describe(GstElementClass* klass);

  OmniBin(GstElement* element, GstElementClass* klass);
  ~OmniBin() override;
  void before_change(GstStateChange change) override;
  void after_change(GstStateChange change, GstStateChangeReturn result) override;
  GstPad* request_pad(GstPadTemplate* templ, const gchar* name) override;
  void release_pad(GstPad* pad) override;

  Parts settings;  // each part has its own

 private:
  static GstPadLinkReturn sink_linked(GstPad* pad, GstObject* parent, GstPad* peer);
  void join(GstElement* e);
  GstElement* tee();
  void add_video_in();
  void add_video_out();
  void add_end();
  void remove_end();
  GstPad* ghost(GstPadTemplate* templ, const char* name, PadPtr target);
  GstPad* ask_of_model(GstPadTemplate* templ, const char* name, const char* model_pad);
  GstPad* media_sink(GstPadTemplate* templ, const char* name, PadPtr target);
  void leave_model(GstElement* tokenizer);

  GstElement* const element_;
  // join when they are needed; owned
  GstElement *tee_ = nullptr, *convert_ = nullptr, *deinterlace_ = nullptr, *end_ = nullptr;
  bool video_in_ = false, audio_in_ = false, video_out_ = false;
};

// The signal of the model becomes the bin's.
void on_tool_call(GstElement*, const gchar* id, const gchar* name, const gchar* arguments,
                  guint64 turn, gpointer bin) {
  g_signal_emit_by_name(bin, "tool-call", id, name, arguments, turn);
}

OmniBin::OmniBin(GstElement* element, GstElementClass*) : element_(element) {
  gst_omni_guard(element, false, [&] {
    settings.model = make("omnimodel", "model");
    settings.video = make("omnivideotokenizer", "video");
    settings.audio = make("omniaudiotokenizer", "audio");
    settings.combiner = make("omnicombiner", "combiner");
    gst_bin_add(GST_BIN(element), settings.model);
    g_signal_connect_object(settings.model, "tool-call", G_CALLBACK(on_tool_call), element,
                            GConnectFlags(0));
    return true;
  });
}

OmniBin::~OmniBin() {
  for (GstElement** e : {&settings.video, &settings.audio, &tee_, &convert_, &deinterlace_, &end_,
                         &settings.combiner, &settings.model})
    gst_clear_object(e);
}

void OmniBin::join(GstElement* e) {
  gst_bin_add(GST_BIN(element_), e);
  gst_element_sync_state_with_parent(e);
}

GstPad* OmniBin::ghost(GstPadTemplate* templ, const char* name, PadPtr target) {
  if (!target) return nullptr;
  GstPad* pad = gst_ghost_pad_new_from_template(name, target.get(), templ);
  gst_pad_set_active(pad, TRUE);
  gst_element_add_pad(element_, pad);
  return pad;
}

GstPad* OmniBin::ask_of_model(GstPadTemplate* templ, const char* name, const char* model_pad) {
  return ghost(templ, name, PadPtr(gst_element_request_pad_simple(settings.model, model_pad)));
}

GstElement* OmniBin::tee() {
  if (!tee_) {
    tee_ = make("tee", "tee");
    join(tee_);
  }
  return tee_;
}

// Ahead of deinterlace, which ends the process where an interlaced frame cannot be mapped.
GstPadProbeReturn check_frame(GstPad* pad, GstPadProbeInfo* info, gpointer element) {
  const CapsPtr caps(gst_pad_get_current_caps(pad));
  GstVideoInfo video;
  if (!caps || !gst_video_info_from_caps(&video, caps.get()) ||
      !GST_VIDEO_INFO_IS_INTERLACED(&video))
    return GST_PAD_PROBE_OK;
  GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  GstVideoFrame frame;
  if (gst_video_frame_map(&frame, &video, buffer, GST_MAP_READ)) {
    gst_video_frame_unmap(&frame);
    return GST_PAD_PROBE_OK;
  }
  gst_omni_post_error(static_cast<GstElement*>(element),
                      omni::Error(omni::ErrorCode::corrupt_file,
                                  "a buffer of " + std::to_string(gst_buffer_get_size(buffer)) +
                                      " bytes is no frame of " + std::to_string(video.width) + "x" +
                                      std::to_string(video.height)));
  gst_buffer_unref(buffer);
  GST_PAD_PROBE_INFO_FLOW_RETURN(info) = GST_FLOW_ERROR;
  return GST_PAD_PROBE_HANDLED;
}

// tee ─► convert ─► deinterlace ─► video; the two in the middle touch only what has to be changed.
void OmniBin::add_video_in() {
  if (std::exchange(video_in_, true)) return;
  convert_ = make("videoconvert", "convert");
  deinterlace_ = make("deinterlace", "deinterlace");
  gst_util_set_object_arg(G_OBJECT(deinterlace_), "method", "linear");
  gst_util_set_object_arg(G_OBJECT(deinterlace_), "fields", "top");
  for (GstElement* e : {convert_, deinterlace_, settings.video}) join(e);
  link(tee(), convert_);
  link(convert_, deinterlace_);
  link(deinterlace_, settings.video);
  PadPtr sink(gst_element_get_static_pad(deinterlace_, "sink"));
  gst_pad_add_probe(sink.get(), GST_PAD_PROBE_TYPE_BUFFER, check_frame, element_, nullptr);
}

void OmniBin::add_video_out() {
  if (std::exchange(video_out_, true)) return;
  join(settings.combiner);
  gst_element_link_pads(tee(), nullptr, settings.combiner, "sink");
  PadPtr spatial(gst_element_request_pad_simple(settings.model, "spatial_%u")),
      sink(gst_element_get_static_pad(settings.combiner, "spatial"));
  if (!spatial || gst_pad_link(spatial.get(), sink.get()) != GST_PAD_LINK_OK)
    throw omni::Error(omni::ErrorCode::internal, "omnibin could not link its combiner");
}

// The model learns of a stream when there is one: it would wait for it.
GstPadLinkReturn OmniBin::sink_linked(GstPad* pad, GstObject* parent, GstPad*) {
  const Parts& parts = GstOmniShell<OmniBin>::of(parent).settings;
  const bool video = g_str_equal(GST_PAD_NAME(pad), "sink_video");
  return gst_omni_guard(parent, GST_PAD_LINK_REFUSED, [&] {
    GstElement* tokenizer = video ? parts.video : parts.audio;
    PadPtr src(gst_element_get_static_pad(tokenizer, "src"));
    if (!gst_pad_is_linked(src.get()))
      link_tokens(tokenizer, parts.model, video ? "video_0" : "audio_0");
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

GstPad* OmniBin::media_sink(GstPadTemplate* templ, const char* name, PadPtr target) {
  GstPad* pad = gst_ghost_pad_new_from_template(name, target.get(), templ);
  gst_pad_set_link_function(pad, sink_linked);
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, warn_of_unlinked, element_, nullptr);
  gst_pad_set_active(pad, TRUE);
  gst_element_add_pad(element_, pad);
  return pad;
}

GstPad* OmniBin::request_pad(GstPadTemplate* templ, const gchar*) {
  const std::string name = GST_PAD_TEMPLATE_NAME_TEMPLATE(templ);
  if (PadPtr there(gst_element_get_static_pad(element_, name.c_str())); there) return nullptr;
  if (name == "sink_video") {
    add_video_in();
    return media_sink(templ, "sink_video", PadPtr(gst_element_get_static_pad(tee_, "sink")));
  }
  if (name == "sink_audio") {
    if (!gst_omni_takes_audio(element_, model_path_of(settings.model))) return nullptr;
    if (!std::exchange(audio_in_, true)) join(settings.audio);
    return media_sink(templ, "sink_audio",
                      PadPtr(gst_element_get_static_pad(settings.audio, "sink")));
  }
  if (name == "src_video") {
    add_video_out();
    return ghost(templ, "src_video", PadPtr(gst_element_get_static_pad(settings.combiner, "src")));
  }
  if (name == "src_speech") return ask_of_model(templ, "src_speech", "speech_%u");
  if (name == "src_spatial") return ask_of_model(templ, "src_spatial", "spatial_%u");
  if (name == "src_tool") return ask_of_model(templ, "src_tool", "tool_%u");
  if (name == "sink_tool") return ask_of_model(templ, "sink_tool", "tool_sink_%u");
  if (name == "sink_prompt") return ask_of_model(templ, "sink_prompt", "prompt_%u");
  return ask_of_model(templ, "src_text", "text_%u");
}

// The model waits no longer for the stream of this tokenizer. It joins again with the next link.
void OmniBin::leave_model(GstElement* tokenizer) {
  PadPtr src(gst_element_get_static_pad(tokenizer, "src")), sink(gst_pad_get_peer(src.get()));
  if (!sink) return;
  gst_pad_unlink(src.get(), sink.get());
  gst_element_release_request_pad(settings.model, sink.get());
}

// To deactivate a pad is to wait for who pushes into it: whoever waits further on is sent back.
void deactivate(GstPad* pad, GstPad* target) {
  const bool is_sink = target && GST_PAD_IS_SINK(pad);
  if (is_sink && GST_PAD_STREAM_TRYLOCK(pad)) {
    gst_pad_set_active(pad, FALSE);
    GST_PAD_STREAM_UNLOCK(pad);
    return;
  }
  if (is_sink) gst_pad_send_event(target, gst_event_new_flush_start());
  gst_pad_set_active(pad, FALSE);
  if (is_sink) gst_pad_send_event(target, gst_event_new_flush_stop(TRUE));
}

void OmniBin::release_pad(GstPad* pad) {
  const std::string name = GST_PAD_NAME(pad);
  if (name == "sink_video") leave_model(settings.video);
  if (name == "sink_audio") leave_model(settings.audio);
  PadPtr target(gst_ghost_pad_get_target(GST_GHOST_PAD(pad)));
  const bool of_model = target && GST_PAD_PARENT(target.get()) == settings.model;
  if (of_model && GST_PAD_IS_SINK(pad)) gst_pad_set_active(target.get(), FALSE);
  deactivate(pad, target.get());
  gst_ghost_pad_set_target(GST_GHOST_PAD(pad), nullptr);
  gst_element_remove_pad(element_, pad);
  if (of_model) gst_element_release_request_pad(settings.model, target.get());
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
void OmniBin::add_end() {
  if (end_ || has_linked_source(element_)) return;
  end_ = make("fakesink", "end");
  g_object_set(end_, "sync", FALSE, "async", FALSE, nullptr);
  join(end_);
  if (!gst_element_link_pads(settings.model, "text_%u", end_, "sink"))
    throw omni::Error(omni::ErrorCode::internal, "omnibin could not link its sink");
}

void OmniBin::remove_end() {
  if (!end_) return;
  PadPtr sink(gst_element_get_static_pad(end_, "sink")), text(gst_pad_get_peer(sink.get()));
  gst_element_set_locked_state(end_, TRUE);
  gst_element_set_state(end_, GST_STATE_NULL);
  gst_bin_remove(GST_BIN(element_), end_);
  if (text) gst_element_release_request_pad(settings.model, text.get());
  gst_clear_object(&end_);
}

void OmniBin::before_change(GstStateChange change) {
  if (change == GST_STATE_CHANGE_READY_TO_PAUSED) add_end();
}

void OmniBin::after_change(GstStateChange change, GstStateChangeReturn) {
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) remove_end();
}

// The action signals are the model's.
void signal_ask(GstElement* bin, const gchar* text) {
  g_signal_emit_by_name(GstOmniShell<OmniBin>::of(bin).settings.model, "ask", text);
}
void signal_save_session(GstElement* bin, const gchar* path) {
  g_signal_emit_by_name(GstOmniShell<OmniBin>::of(bin).settings.model, "save-session", path);
}
void signal_load_session(GstElement* bin, const gchar* path) {
  g_signal_emit_by_name(GstOmniShell<OmniBin>::of(bin).settings.model, "load-session", path);
}
void signal_interrupt(GstElement* bin) {
  g_signal_emit_by_name(GstOmniShell<OmniBin>::of(bin).settings.model, "interrupt");
}
gboolean signal_tool_result(GstElement* bin, const gchar* id, const gchar* result) {
  gboolean taken = FALSE;
  g_signal_emit_by_name(GstOmniShell<OmniBin>::of(bin).settings.model, "tool-result", id, result,
                        &taken);
  return taken;
}
void signal_reset(GstElement* bin) {
  g_signal_emit_by_name(GstOmniShell<OmniBin>::of(bin).settings.model, "reset");
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

void OmniBin::describe(GstElementClass* klass) {
  const GType type = G_TYPE_FROM_CLASS(klass);
  const auto action = GSignalFlags(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION);
  g_signal_new_class_handler("ask", type, action, G_CALLBACK(signal_ask), nullptr, nullptr, nullptr,
                             G_TYPE_NONE, 1, G_TYPE_STRING);
  g_signal_new_class_handler("save-session", type, action, G_CALLBACK(signal_save_session), nullptr,
                             nullptr, nullptr, G_TYPE_NONE, 1, G_TYPE_STRING);
  g_signal_new_class_handler("load-session", type, action, G_CALLBACK(signal_load_session), nullptr,
                             nullptr, nullptr, G_TYPE_NONE, 1, G_TYPE_STRING);
  g_signal_new_class_handler("interrupt", type, action, G_CALLBACK(signal_interrupt), nullptr,
                             nullptr, nullptr, G_TYPE_NONE, 0);
  g_signal_new_class_handler("reset", type, action, G_CALLBACK(signal_reset), nullptr, nullptr,
                             nullptr, G_TYPE_NONE, 0);
  g_signal_new_class_handler("tool-result", type, action, G_CALLBACK(signal_tool_result), nullptr,
                             nullptr, nullptr, G_TYPE_BOOLEAN, 2, G_TYPE_STRING, G_TYPE_STRING);
  g_signal_new("tool-call", type, G_SIGNAL_RUN_LAST, 0, nullptr, nullptr, nullptr, G_TYPE_NONE, 4,
               G_TYPE_STRING, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_UINT64);
  const CharPtr video(gst_caps_to_string(video_caps().get()));
  const auto add = [klass](const char* name, GstPadDirection direction, const char* caps) {
    gst_omni_add_template(klass, name, direction, GST_PAD_REQUEST, caps);
  };
  add("sink_video", GST_PAD_SINK, video.get());
  add("sink_audio", GST_PAD_SINK, "audio/x-raw");
  add("sink_prompt", GST_PAD_SINK, "text/x-raw, format=(string)utf8");
  add("src_video", GST_PAD_SRC, video.get());
  add("src_spatial", GST_PAD_SRC, "application/x-omni-spatial, version=(int)1");
  add("src_speech", GST_PAD_SRC, "audio/x-raw, channels=(int)1, layout=(string)interleaved");
  add("src_text", GST_PAD_SRC, "text/x-raw, format=(string)utf8");
  add("src_tool", GST_PAD_SRC, "application/json");
  add("sink_tool", GST_PAD_SINK, "application/json");
  gst_omni_set_metadata(klass, "Omni bin", "Generic/Bin/Analyzer/Video/Audio",
                        "Live video and audio in; text, speech, places and annotated video out");
}

}  // namespace

GST_ELEMENT_REGISTER_DEFINE(omnibin, "omnibin", GST_RANK_NONE,
                            gst_omni_element_type<OmniBin>("GstOmniBin"));
