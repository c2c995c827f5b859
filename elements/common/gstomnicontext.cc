#include "common/gstomnicontext.h"

#include "omni/checkpoint.h"
#include "omni/log.h"

GST_DEBUG_CATEGORY_STATIC(gst_omni_debug);
#define GST_CAT_DEFAULT gst_omni_debug

void gst_omni_install_log_sink() {
  GST_DEBUG_CATEGORY_INIT(gst_omni_debug, "omni", 0, "the runtime of gst-omni");
  omni::set_log_sink([](omni::LogLevel level, const std::string& line) {
    GST_CAT_LEVEL_LOG(gst_omni_debug,
                      level == omni::LogLevel::warning ? GST_LEVEL_WARNING
                      : level == omni::LogLevel::info  ? GST_LEVEL_INFO
                                                       : GST_LEVEL_DEBUG,
                      nullptr, "%s", line.c_str());
  });
}

GType gst_omni_precision_get_type() {
  static const GEnumValue values[] = {
      {int(omni::Precision::automatic),
       "what the checkpoint is stored in (also quantized), if the processor multiplies it", "auto"},
      {int(omni::Precision::float32), "32-bit floating point", "float32"},
      {int(omni::Precision::bfloat16), "bfloat16 factors, 32-bit sums", "bfloat16"},
      {int(omni::Precision::int8), "8-bit weights, made when a dense checkpoint is first opened",
       "int8"},
      {int(omni::Precision::int4),
       "4-bit weights of the text model, 8-bit elsewhere, made likewise", "int4"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniPrecision", values);
  return type;
}

// What this element was told itself, which wins; null if it was told nothing.
bool gst_omni_takes_audio(GstElement* element, const std::string& model_path) {
  if (model_path.empty()) return true;
  try {
    const omni::Abilities abilities = omni::read_abilities(model_path);
    if (abilities.audio) return true;
    GST_ELEMENT_WARNING(
        element, CORE, PAD,
        ("%s takes no audio: it %s", model_path.c_str(), abilities.describe().c_str()), (nullptr));
    return false;
  } catch (const omni::Error&) {
    return true;  // said when it is loaded
  }
}

ContextPtr GstOmniEngineContext::own() {
  std::lock_guard guard(settings_.lock);
  if (settings_.model_path.empty()) return nullptr;
  ContextPtr context(gst_context_new(GST_OMNI_ENGINE_CONTEXT, TRUE));
  gst_structure_set(gst_context_writable_structure(context.get()), "model-path", G_TYPE_STRING,
                    settings_.model_path.c_str(), "device", G_TYPE_STRING, settings_.device.c_str(),
                    "precision", G_TYPE_INT, settings_.precision, "threads", G_TYPE_UINT,
                    settings_.threads, nullptr);
  return context;
}

ContextPtr GstOmniEngineContext::known() {
  if (ContextPtr context = own()) return context;
  std::lock_guard guard(lock_);
  return ContextPtr(context_ ? gst_context_ref(context_.get()) : nullptr);
}

void GstOmniEngineContext::announce() {
  if (ContextPtr context = own())
    gst_element_post_message(element_,
                             gst_message_new_have_context(GST_OBJECT(element_), context.release()));
}

void GstOmniEngineContext::settings_changed() {
  if (GST_STATE(element_) >= GST_STATE_READY) announce();
}

void GstOmniEngineContext::forget() {
  std::lock_guard guard(lock_);
  context_.reset();
}

void GstOmniEngineContext::take(GstContext* context) {
  if (!context || !gst_context_has_context_type(context, GST_OMNI_ENGINE_CONTEXT)) return;
  std::lock_guard guard(lock_);
  context_.reset(gst_context_ref(context));
}

bool GstOmniEngineContext::answer(GstQuery* query) {
  const gchar* type = nullptr;
  if (GST_QUERY_TYPE(query) != GST_QUERY_CONTEXT || !gst_query_parse_context_type(query, &type) ||
      g_strcmp0(type, GST_OMNI_ENGINE_CONTEXT) != 0)
    return false;
  const ContextPtr context = known();
  if (!context) return false;
  gst_query_set_context(query, context.get());
  return true;
}

// Where nothing was said to this element: asks the neighbours on every pad, then the bins and the
// application, whatever they have said before; else it is what was set on the element.
ContextPtr GstOmniEngineContext::find() {
  if (ContextPtr context = own()) return context;
  QueryPtr query(gst_query_new_context(GST_OMNI_ENGINE_CONTEXT));
  auto ask = [](GstElement*, GstPad* pad, gpointer q) -> gboolean {
    return !gst_pad_peer_query(pad, GST_QUERY(q));
  };
  if (!gst_element_foreach_pad(element_, ask, query.get())) {
    GstContext* found = nullptr;
    gst_query_parse_context(query.get(), &found);
    if (found) take(found);
  } else {
    gst_element_post_message(
        element_, gst_message_new_need_context(GST_OBJECT(element_), GST_OMNI_ENGINE_CONTEXT));
  }
  if (ContextPtr context = known()) return context;
  return ContextPtr(gst_element_get_context(element_, GST_OMNI_ENGINE_CONTEXT));
}

static omni::EngineOptions options_in(GstContext* context) {
  const GstStructure* s = gst_context_get_structure(context);
  const char *path = gst_structure_get_string(s, "model-path"),
             *device = gst_structure_get_string(s, "device");
  int precision = int(omni::Precision::automatic);
  guint threads = 0;
  gst_structure_get_int(s, "precision", &precision);
  gst_structure_get_uint(s, "threads", &threads);
  return {path ? path : "", device ? device : "auto", omni::Precision(precision), int(threads)};
}

std::string GstOmniEngineContext::model_path() {
  const ContextPtr context = known();
  return context ? options_in(context.get()).model_path : std::string();
}

std::string GstOmniEngineContext::device() {
  ContextPtr context = known();
  if (!context) context = find();
  if (context) return options_in(context.get()).device;
  std::lock_guard guard(settings_.lock);
  return settings_.device;
}

std::shared_ptr<const omni::Engine> GstOmniEngineContext::open(
    const std::function<bool()>& keep_going, bool with_speech) {
  const ContextPtr context = find();
  if (!context)
    throw omni::Error(omni::ErrorCode::invalid_argument,
                      "no model-path: set it to the folder of a checkpoint on any one omni element "
                      "of the pipeline");
  const omni::EngineOptions o = options_in(context.get());
  std::shared_ptr<const omni::Engine> engine;
  load("weights", keep_going, [&](const std::function<void(double)>& progress) {
    engine = omni::Engine::open(o, progress);
  });
  if (with_speech)
    load("voice", keep_going,
         [&](const std::function<void(double)>& progress) { engine->load_speech(progress); });
  std::lock_guard guard(lock_);
  compute_ = engine->compute();
  engine_ = engine;
  return engine;
}

std::string GstOmniEngineContext::compute() {
  std::lock_guard guard(lock_);
  return compute_;
}

omni::CopiedBytes GstOmniEngineContext::copied() {
  std::shared_ptr<const omni::Engine> engine;  // may be the last to let go of it: without the lock
  {
    std::lock_guard guard(lock_);
    engine = engine_.lock();
  }
  return engine ? engine->copied() : omni::CopiedBytes();
}

void GstOmniEngineContext::load(
    const char* what, const std::function<bool()>& keep_going,
    const std::function<void(const std::function<void(double)>&)>& body) {
  auto post = [&](GstProgressType type, const std::string& text) {
    gst_element_post_message(
        element_, gst_message_new_progress(GST_OBJECT(element_), type, "load", text.c_str()));
  };
  post(GST_PROGRESS_TYPE_START, std::string("Loading ") + what);
  int last = 0;
  try {
    body([&](double fraction) {
      if (!keep_going()) throw omni::Error(omni::ErrorCode::cancelled, "cancelled");
      const int percent = int(fraction * 100);
      if (percent < last + 5) return;
      last = percent;
      post(GST_PROGRESS_TYPE_CONTINUE,
           std::string("Loading ") + what + ": " + std::to_string(percent) + " %");
    });
    post(GST_PROGRESS_TYPE_COMPLETE, std::string("Loaded ") + what);
  } catch (const omni::Error& e) {
    post(e.code() == omni::ErrorCode::cancelled ? GST_PROGRESS_TYPE_CANCELED
                                                : GST_PROGRESS_TYPE_ERROR,
         e.what());
    throw;
  }
}
