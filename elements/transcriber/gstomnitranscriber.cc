/**
 * element-omnitranscriber:
 *
 * Speech to text, word by word: raw audio of any rate, format and number of channels in;
 * `text/x-raw` out, one word a buffer, with the time at which it was spoken and with its
 * punctuation. What left is never changed. Loads Whisper checkpoints in the Hugging Face layout
 * (whisper-base was run).
 *
 * Words have no space around them: readers put one between two. Scripts that are written without
 * spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have none between their words, which are
 * cut where a line may end; there a space that was written leads its word. With `line-ends=true`
 * the text is what a person reads: spaces are written, sentences are lines.
 *
 * Live, the sound of the last seconds is looked at again every `step`, and a word leaves as soon as
 * the decoder no longer looks at the newest half second of it (policy=align-att), or when two looks
 * agree (local-agreement). A recording is taken in windows of 30 s (whole). Silence, noise and
 * steady tones are not looked at, and text that is improbable, repeats itself or is about no speech
 * is not believed: both are counted in `stats`. Where time passes without words there are GAPs.
 *
 * Latency of a live stream = `latency` (time allowed from the end of a word to its text). Words
 * that come later are moved up to where the pad is, and `max-observed-delay` and one warning tell
 * of it. `lateness` delays the text alone by a fixed time. latency=4294967295 stamps words with the
 * time at which they leave.
 *
 * ## Example
 * |[
 * gst-launch-1.0 filesrc location=examples/media/jfk.wav ! wavparse ! omnitranscriber
 * model-path=models/whisper-base ! fakesink dump=true
 * ]|
 *
 * (`tools/fetch-model whisper-base` brings the checkpoint.)
 */
#include "transcriber/gstomnitranscriber.h"

#include <algorithm>
#include <utility>

#include "common/gstomniguard.h"
#include "transcriber/gstomnitranscriberstate.h"

GST_DEBUG_CATEGORY_STATIC(gst_omni_transcriber_debug);
#define GST_CAT_DEFAULT gst_omni_transcriber_debug

namespace gst_omni_transcriber {
namespace {

constexpr GstClockTime kMostQueued = 8 * GST_SECOND;  // of sound

GType policy_get_type() {
  static const GEnumValue values[] = {
      {int(Policy::automatic), "align-att where the pipeline is live, else whole", "auto"},
      {int(Policy::align_att), "words leave once the decoder looks away from the newest sound",
       "align-att"},
      {int(Policy::local_agreement), "words leave once two looks agree on them", "local-agreement"},
      {int(Policy::whole), "windows of 30 s: most accurate, latest", "whole"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniTranscriptionPolicy", values);
  return type;
}

const GstOmniProperties<Settings>& properties() {
  constexpr auto playing = GstOmniMutable::playing;
  static const GstOmniProperties<Settings> table = [] {
    auto rows = gst_omni_engine_properties<Settings>();
    const std::vector<GstOmniProperty<Settings>> own = {
        {"language-code", "Language",
         "Language that is spoken, as in `en` or `en-US` (empty = found out; an unknown one is an "
         "error that lists them)",
         &Settings::language_code, 0, 0, playing},
        {"translate", "Translate", "Write English, whatever is spoken", &Settings::translate},
        {"initial-prompt", "Initial prompt",
         "Text that comes before: names, words and style to expect", &Settings::initial_prompt},
        {"vocabulary", "Vocabulary",
         "Words to expect at any time: names, terms, as in <GStreamer, ComfyUI>",
         &Settings::vocabulary},
        {"masked-words", "Masked words",
         "Words of which only the first letter is shown, as in <darn, heck>",
         &Settings::masked_words},
        {"policy", "Policy", "When words leave", &Settings::policy, 0, 0, GstOmniMutable::ready,
         policy_get_type},
        {"step", "Step", "Live: new sound between two looks, in ms", &Settings::step, 100, 30000},
        {"latency", "Latency",
         "Time allowed from a word to its text, in ms, as reported to live pipelines (4294967295 = "
         "words are stamped with the time at which they leave)",
         &Settings::latency, 0, double(G_MAXUINT), playing},
        {"lateness", "Lateness",
         "Shift of the text's time against the sound, in ms: it comes this much later and nothing "
         "else waits for it",
         &Settings::lateness, 0, 86400000, playing},
        {"line-ends", "Line ends",
         "A space between words, a line end behind each sentence: to be read at a terminal "
         "(fdsink)",
         &Settings::line_ends},
    };
    rows.insert(rows.end(), own.begin(), own.end());
    return GstOmniProperties<Settings>(rows);
  }();
  return table;
}

enum { kMaxObservedDelay = 1, kStats };  // behind the table

GstElementClass* g_parent_class = nullptr;

// --- sink pad

// Under the lock. Live, the newest sound wins.
GstMessage* drop_oldest(GstElement* element) {
  State& s = state(element);
  const auto oldest = std::find_if(s.queue.begin(), s.queue.end(),
                                   [](const MiniObjectPtr& o) { return GST_IS_BUFFER(o.get()); });
  if (oldest == s.queue.end()) return nullptr;
  auto* b = GST_BUFFER(oldest->get());
  ++s.n_dropped;
  GstMessage* m = gst_message_new_qos(
      GST_OBJECT(element), TRUE,
      gst_segment_to_running_time(&s.segment, GST_FORMAT_TIME, GST_BUFFER_PTS(b)),
      gst_segment_to_stream_time(&s.segment, GST_FORMAT_TIME, GST_BUFFER_PTS(b)), GST_BUFFER_PTS(b),
      GST_BUFFER_DURATION(b));
  gst_message_set_qos_stats(m, GST_FORMAT_BUFFERS, GST_CLOCK_TIME_NONE, s.n_dropped);
  if (GST_BUFFER_DURATION_IS_VALID(b)) s.queued -= GST_BUFFER_DURATION(b);
  s.queue.erase(oldest);
  return m;
}

GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* raw) {
  auto* element = GST_ELEMENT(parent);
  State& s = state(element);
  BufferPtr buffer(raw);
  const GstFlowReturn down = s.output->flow();
  std::vector<GstMessage*> messages;
  GstFlowReturn result = GST_FLOW_OK;
  {
    std::unique_lock lock(s.lock);
    while (!s.flushing && !s.failed && s.queued >= kMostQueued) {
      if (!s.live) {
        s.changed.wait(lock);
        continue;
      }
      GstMessage* m = drop_oldest(element);
      if (!m) break;
      messages.push_back(m);
    }
    result = s.flushing ? GST_FLOW_FLUSHING : s.failed ? GST_FLOW_ERROR : down;
    if (result == GST_FLOW_OK) {
      if (GST_BUFFER_DURATION_IS_VALID(buffer.get())) s.queued += GST_BUFFER_DURATION(buffer.get());
      s.queue.emplace_back(GST_MINI_OBJECT(buffer.release()));
    }
  }
  s.changed.notify_all();
  for (GstMessage* m : messages) gst_element_post_message(element, m);
  return result;
}

void set_flushing(State& s, bool flushing) {
  {
    std::lock_guard guard(s.lock);
    s.flushing = flushing;
    if (flushing && s.transcriber) s.transcriber->cancel();
    if (!flushing) {
      std::erase_if(s.queue, [](const MiniObjectPtr& o) {
        return !GST_IS_EVENT(o.get()) || !(GST_EVENT_TYPE(o.get()) == GST_EVENT_CAPS ||
                                           GST_EVENT_TYPE(o.get()) == GST_EVENT_STREAM_START);
      });
      s.queued = 0;
      s.reset_pending = s.transcriber != nullptr;
    }
  }
  s.changed.notify_all();
}

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  State& s = state(parent);
  EventPtr owned(event);
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START:
      set_flushing(s, true);
      s.output->flush_start(owned.release());
      return TRUE;
    case GST_EVENT_FLUSH_STOP:
      s.output->flush_stop(owned.release());
      set_flushing(s, false);
      return TRUE;
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      if (!gst_omni_guard(parent, false, [&] {
            gst_omni_audio_info(caps);
            return true;
          }))
        return FALSE;
      break;
    }
    default:
      if (!GST_EVENT_IS_SERIALIZED(event))
        return gst_pad_event_default(pad, parent, owned.release());
  }
  {
    std::lock_guard guard(s.lock);
    if (s.flushing) return FALSE;
    s.queue.emplace_back(GST_MINI_OBJECT(owned.release()));
  }
  s.changed.notify_all();
  return TRUE;
}

gboolean sink_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  return state(parent).engine_context.answer(query) || gst_pad_query_default(pad, parent, query);
}

gboolean sink_activate_mode(GstPad*, GstObject* parent, GstPadMode mode, gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  set_flushing(state(parent), !active);
  return TRUE;
}

// --- source pad

gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  State& s = state(parent);
  if (s.engine_context.answer(query)) return TRUE;
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
  if (!gst_pad_peer_query(s.sink, query)) return FALSE;
  gboolean live = FALSE;
  GstClockTime min = 0;
  gst_query_parse_latency(query, &live, &min, nullptr);
  if (live) {
    std::lock_guard guard(s.settings.lock);
    if (s.settings.latency != G_MAXUINT) min += s.settings.latency * GST_MSECOND;
  }
  gst_query_set_latency(query, live, live ? min : 0, GST_CLOCK_TIME_NONE);
  return TRUE;
}

gboolean src_activate_mode(GstPad*, GstObject* parent, GstPadMode mode, gboolean active) {
  return mode == GST_PAD_MODE_PUSH && state(parent).output->set_active(active);
}

// --- element

GstStructure* stats(State& s) {
  std::lock_guard guard(s.lock);
  return gst_structure_new(
      "omni-transcriber-stats", "compute", G_TYPE_STRING, s.engine_context.compute().c_str(),
      "language", G_TYPE_STRING, s.language.c_str(), "words", G_TYPE_UINT64, s.n_words, "drops",
      G_TYPE_UINT64, s.n_dropped, "late", G_TYPE_UINT64, s.n_late, "looks", G_TYPE_UINT64,
      guint64(s.counts.looks), "gated", G_TYPE_UINT64, guint64(s.counts.gated), "rejected",
      G_TYPE_UINT64, guint64(s.counts.rejected), "tokens", G_TYPE_UINT64, guint64(s.counts.tokens),
      "encoder-seconds", G_TYPE_DOUBLE, s.counts.encoder_seconds, "decoder-seconds", G_TYPE_DOUBLE,
      s.counts.decoder_seconds, "delay-p50", G_TYPE_DOUBLE, s.delay.percentile_ms(0.5), "delay-p95",
      G_TYPE_DOUBLE, s.delay.percentile_ms(0.95), "delay-max", G_TYPE_DOUBLE, s.delay.max_ms(),
      nullptr);
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  State& s = state(object);
  if (!properties().set(s.settings, id, value)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    return;
  }
  const std::string name = pspec->name;
  if (name == "lateness") s.output->set_lateness(g_value_get_uint(value) * GST_MSECOND);
  if (name == "latency")
    gst_element_post_message(GST_ELEMENT(object), gst_message_new_latency(GST_OBJECT(object)));
  if (name == "language-code") {
    std::lock_guard guard(s.lock);
    s.language_changed = true;
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  State& s = state(object);
  if (properties().get(s.settings, id, value)) return;
  switch (int(id) - int(properties().count())) {
    case kMaxObservedDelay: {
      std::lock_guard guard(s.lock);
      g_value_set_uint(value, guint(s.delay.max_ms()));
      break;
    }
    case kStats:
      g_value_take_boxed(value, stats(s));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  State& s = state(element);
  if (transition == GST_STATE_CHANGE_NULL_TO_READY) s.engine_context.announce();
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) start_worker(element);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    std::lock_guard guard(s.lock);
    s.stopping = true;
    if (s.transcriber) s.transcriber->cancel();
  }
  const GstStateChangeReturn result = g_parent_class->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE))
    stop_worker(element);
  return result;
}

void set_context(GstElement* element, GstContext* context) {
  state(element).engine_context.take(context);
  g_parent_class->set_context(element, context);
}

void finalize(GObject* object) {
  State* s = reinterpret_cast<GstOmniTranscriber*>(object)->state;
  G_OBJECT_CLASS(g_parent_class)->finalize(object);
  delete s;
}

void instance_init(GTypeInstance* instance, gpointer g_class) {
  auto* self = reinterpret_cast<GstOmniTranscriber*>(instance);
  auto* klass = GST_ELEMENT_CLASS(g_class);
  self->state = new State(self);
  State& s = *self->state;
  gst_segment_init(&s.segment, GST_FORMAT_TIME);
  s.sink = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "sink"), "sink");
  gst_pad_set_chain_function(s.sink, GST_DEBUG_FUNCPTR(chain));
  gst_pad_set_event_function(s.sink, GST_DEBUG_FUNCPTR(sink_event));
  gst_pad_set_query_function(s.sink, GST_DEBUG_FUNCPTR(sink_query));
  gst_pad_set_activatemode_function(s.sink, GST_DEBUG_FUNCPTR(sink_activate_mode));
  gst_element_add_pad(GST_ELEMENT(self), s.sink);
  s.src = gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "src"), "src");
  s.output = std::make_unique<GstOmniTextOutput>(s.src, GstOmniOutput::Kind::text);
  gst_pad_set_query_function(s.src, GST_DEBUG_FUNCPTR(src_query));
  gst_pad_set_activatemode_function(s.src, GST_DEBUG_FUNCPTR(src_activate_mode));
  gst_pad_use_fixed_caps(s.src);
  gst_element_add_pad(GST_ELEMENT(self), s.src);
}

void class_init(gpointer g_class, gpointer) {
  GST_DEBUG_CATEGORY_INIT(gst_omni_transcriber_debug, "omnitranscriber", 0, "speech to text");
  g_parent_class = static_cast<GstElementClass*>(g_type_class_peek_parent(g_class));
  auto* object = G_OBJECT_CLASS(g_class);
  auto* element = GST_ELEMENT_CLASS(g_class);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  element->change_state = change_state;
  element->set_context = set_context;
  properties().install(object);
  const auto read_only = GParamFlags(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_property(
      object, properties().count() + kMaxObservedDelay,
      g_param_spec_uint("max-observed-delay", "Greatest delay",
                        "Longest time between a word and its text, in ms", 0, G_MAXUINT, 0,
                        read_only));
  g_object_class_install_property(
      object, properties().count() + kStats,
      g_param_spec_boxed("stats", "Statistics", "Words, looks, times, drops, delays in ms",
                         GST_TYPE_STRUCTURE, read_only));
  CapsPtr in(gst_caps_from_string(
      "audio/x-raw, format=(string)" GST_AUDIO_FORMATS_ALL
      ", rate=(int)[ 1, max ], channels=(int)[ 1, max ], layout=(string)interleaved"));
  CapsPtr out(gst_caps_from_string("text/x-raw, format=(string)utf8"));
  gst_element_class_add_pad_template(
      element, gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, in.get()));
  gst_element_class_add_pad_template(
      element, gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, out.get()));
  gst_element_class_set_static_metadata(
      element, "Omni transcriber", "Audio/Text/Filter",
      "Speech to text, word by word, with a speech recogniser that runs here", "gst-omni");
  gst_type_mark_as_plugin_api(policy_get_type(), GstPluginAPIFlags(0));
}

GType get_type() {
  static const GType type = [] {
    const GTypeInfo info = {
        sizeof(GstOmniTranscriberClass), nullptr, nullptr,       class_init, nullptr, nullptr,
        sizeof(GstOmniTranscriber),      0,       instance_init, nullptr};
    return g_type_register_static(GST_TYPE_ELEMENT, "GstOmniTranscriber", &info, GTypeFlags(0));
  }();
  return type;
}

}  // namespace
}  // namespace gst_omni_transcriber

GST_ELEMENT_REGISTER_DEFINE(omnitranscriber, "omnitranscriber", GST_RANK_NONE,
                            gst_omni_transcriber::get_type());
