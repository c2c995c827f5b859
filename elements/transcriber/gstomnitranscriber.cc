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
 * agree (local-agreement). A recording is taken in windows of 30 s (whole): what Whisper's time
 * stamps say is complete leaves, and the next window begins where that ends. Silence, noise and
 * steady tones are not looked at, and text that is improbable, repeats itself or is about no speech
 * is not believed: both are counted in `stats`. Where time passes without words there are GAPs.
 *
 * Latency of a live stream = `latency` (time allowed from the end of a word to its text). Words
 * that come later are moved up to where the pad is, and `max-observed-delay` and a warning tell of
 * it. Of sound that comes faster than it is recognised the oldest is not listened to: QoS messages,
 * `unheard` in `stats` (ns) and a warning tell of that. Both warnings come again when it is twice
 * as bad. `lateness` delays the text alone by a fixed time. latency=4294967295 stamps words with
 * the time at which they leave.
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

#include "common/gstomniguard.h"
#include "transcriber/gstomnitranscriberstate.h"

namespace gst_omni_transcriber {
namespace {

constexpr GstOmniInput::Limits kLimits{4096, 64 << 20, 8 * GST_SECOND};

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

}  // namespace

const GstOmniProperties<TranscriberSettings>& Transcriber::properties() {
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

const std::vector<GstOmniReading<Transcriber>>& Transcriber::readings() {
  static const std::vector<GstOmniReading<Transcriber>> table = {
      {[] {
         return g_param_spec_uint("max-observed-delay", "Greatest delay",
                                  "Longest time between a word and its text, in ms", 0, G_MAXUINT,
                                  0, kGstOmniReadOnly);
       },
       [](Transcriber& self, GValue* value) {
         g_value_set_uint(value, self.max_observed_delay());
       }},
      {[] {
         return g_param_spec_boxed("stats", "Statistics",
                                   "Words, looks, times, drops, delays in ms", GST_TYPE_STRUCTURE,
                                   kGstOmniReadOnly);
       },
       [](Transcriber& self, GValue* value) { g_value_take_boxed(value, self.stats()); }},
  };
  return table;
}

void Transcriber::describe(GstElementClass* klass) {
  gst_omni_add_template(klass, "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_OMNI_AUDIO_CAPS);
  gst_omni_add_template(klass, "src", GST_PAD_SRC, GST_PAD_ALWAYS,
                        "text/x-raw, format=(string)utf8");
  gst_omni_set_metadata(klass, "Omni transcriber", "Audio/Text/Filter",
                        "Speech to text, word by word, with a speech recogniser that runs here");
  gst_type_mark_as_plugin_api(policy_get_type(), GstPluginAPIFlags(0));
}

Transcriber::Transcriber(GstElement* element, GstElementClass* klass)
    : element_(element),
      engine_context_(element, settings),
      src_(gst_omni_new_pad(klass, "src")),
      output_(src_, GstOmniOutput::Kind::text),
      worker_(element, nullptr, *this),
      input_(element, gst_omni_new_pad(klass, "sink"), kLimits, worker_, *this) {
  gst_element_add_pad(element, input_.pad());
  gst_pad_set_element_private(src_, this);
  gst_pad_set_query_function(src_, GST_DEBUG_FUNCPTR(src_query));
  gst_pad_set_activatemode_function(src_, GST_DEBUG_FUNCPTR(src_activate_mode));
  gst_pad_use_fixed_caps(src_);
  gst_element_add_pad(element, src_);
}

// --- pads

bool Transcriber::query(GstQuery* query) {
  if (GST_QUERY_TYPE(query) != GST_QUERY_ALLOCATION) return engine_context_.answer(query);
  gst_query_add_allocation_meta(query, GST_AUDIO_META_API_TYPE, nullptr);
  return true;
}

gboolean Transcriber::src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  auto* self = static_cast<Transcriber*>(gst_pad_get_element_private(pad));
  if (self->engine_context_.answer(query)) return TRUE;
  return GST_QUERY_TYPE(query) == GST_QUERY_LATENCY ? self->answer_latency(query)
                                                    : gst_pad_query_default(pad, parent, query);
}

bool Transcriber::answer_latency(GstQuery* query) {
  if (!gst_pad_peer_query(input_.pad(), query)) return false;
  gboolean live = FALSE;
  GstClockTime min = 0;
  gst_query_parse_latency(query, &live, &min, nullptr);
  if (live) {
    std::lock_guard guard(settings.lock);
    if (settings.latency != G_MAXUINT) min += settings.latency * GST_MSECOND;
  }
  gst_query_set_latency(query, live, live ? min : 0, GST_CLOCK_TIME_NONE);
  return true;
}

gboolean Transcriber::src_activate_mode(GstPad* pad, GstObject*, GstPadMode mode, gboolean active) {
  auto* self = static_cast<Transcriber*>(gst_pad_get_element_private(pad));
  return mode == GST_PAD_MODE_PUSH && self->output_.set_active(active);
}

// --- element

void Transcriber::before_change(GstStateChange change) {
  if (change == GST_STATE_CHANGE_NULL_TO_READY) engine_context_.announce();
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) worker_.stop();
  if (change != GST_STATE_CHANGE_READY_TO_PAUSED) return;
  input_.set_worker(GstOmniInput::Worker::starting);
  if (!worker_.start())
    throw omni::Error(omni::ErrorCode::out_of_memory, "no thread to transcribe in");
}

void Transcriber::after_change(GstStateChange change, GstStateChangeReturn result) {
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) engine_context_.forget();
  if (change == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE)
    worker_.stop();
}

void Transcriber::property_set(const std::string& name) {
  engine_context_.settings_changed();
  if (name == "language-code") language_changed_ = true;
  if (name == "latency")
    gst_element_post_message(element_, gst_message_new_latency(GST_OBJECT(element_)));
  if (name != "lateness") return;
  GstClockTime lateness = 0;
  {
    std::lock_guard guard(settings.lock);
    lateness = settings.lateness * GST_MSECOND;
  }
  output_.set_lateness(lateness);
}

guint Transcriber::max_observed_delay() {
  std::lock_guard guard(lock_);
  return guint(delay_.max_ms());
}

GstStructure* Transcriber::stats() {
  const GstOmniInput::Counts input = input_.counts();
  std::lock_guard guard(lock_);
  return gst_structure_new(
      "omni-transcriber-stats", "compute", G_TYPE_STRING, engine_context_.compute().c_str(),
      "language", G_TYPE_STRING, language_.c_str(), "words", G_TYPE_UINT64, n_words_, "drops",
      G_TYPE_UINT64, input.dropped, "unheard", G_TYPE_UINT64, guint64(input.dropped_time), "jumps",
      G_TYPE_UINT64, input.jumps, "queue-depth", G_TYPE_UINT, input.queued, "late", G_TYPE_UINT64,
      n_late_, "looks", G_TYPE_UINT64, guint64(counts_.looks), "gated", G_TYPE_UINT64,
      guint64(counts_.gated), "rejected", G_TYPE_UINT64, guint64(counts_.rejected), "tokens",
      G_TYPE_UINT64, guint64(counts_.tokens), "encoder-seconds", G_TYPE_DOUBLE,
      counts_.encoder_seconds, "decoder-seconds", G_TYPE_DOUBLE, counts_.decoder_seconds,
      "delay-p50", G_TYPE_DOUBLE, delay_.percentile_ms(0.5), "delay-p95", G_TYPE_DOUBLE,
      delay_.percentile_ms(0.95), "delay-max", G_TYPE_DOUBLE, delay_.max_ms(), nullptr);
}

}  // namespace gst_omni_transcriber

GST_ELEMENT_REGISTER_DEFINE(
    omnitranscriber, "omnitranscriber", GST_RANK_NONE,
    gst_omni_element_type<gst_omni_transcriber::Transcriber>("GstOmniTranscriber"));
