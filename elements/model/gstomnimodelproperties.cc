// The properties of omnimodel: their names, ranges and what they say of themselves.
#include "model/gstomnimodelstate.h"

namespace gst_omni_model {

GType trigger_get_type() {
  static const GEnumValue values[] = {
      {int(omni::Trigger::chunk), "ask `prompt` after every chunk of media", "chunk"},
      {int(omni::Trigger::interval), "ask `prompt` every `interval` of media", "interval"},
      {int(omni::Trigger::prompt), "ask only what comes on prompt pads", "prompt"},
      {int(omni::Trigger::eos), "ask `prompt` once, when the media end", "eos"},
      {int(omni::Trigger::manual), "ask only on the signal `ask`", "manual"},
      {int(omni::Trigger::turn),
       "answer what was said, once the speaker has been silent for `turn-silence` of "
       "omniaudiotokenizer (`prompt` is asked as well if it was set)",
       "turn"},
      {int(omni::Trigger::event),
       "ask `prompt` after every chunk of media and tell only what is not what it was before",
       "event"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniTrigger", values);
  return type;
}

GType tracking_get_type() {
  static const GEnumValue values[] = {
      {int(omni::Tracking::none), "objects have no identity", "none"},
      {int(omni::Tracking::match), "objects of successive answers that match get the same track id",
       "match"},
      {int(omni::Tracking::predict),
       "and a velocity, with which omnicombiner moves them until the next answer", "predict"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniTracking", values);
  return type;
}

GType speak_on_get_type() {
  static const GEnumValue values[] = {
      {int(omni::SpeakOn::change), "those that are told: with trigger=event, what is new",
       "change"},
      {int(omni::SpeakOn::always), "all, also those that are not new", "always"},
      {int(omni::SpeakOn::never), "none", "never"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstOmniSpeakOn", values);
  return type;
}

const GstOmniProperties<Settings>& State::properties() {
  constexpr auto playing = GstOmniMutable::playing;
  static const GstOmniProperties<Settings> table = [] {
    auto rows = gst_omni_engine_properties<Settings>();
    const std::vector<GstOmniProperty<Settings>> own = {
        {"system-prompt", "System prompt",
         "Who the model is told to be (a checkpoint may carry its own)", &Settings::system_prompt},
        {"prompt", "Prompt", "The standing question (a checkpoint may carry its own)",
         &Settings::prompt, 0, 0, playing},
        {"spatial-prompt", "Spatial prompt",
         "What spatial pads ask whenever `prompt` is due (a checkpoint may carry its own)",
         &Settings::spatial_prompt, 0, 0, playing},
        {"json-schema", "JSON schema",
         "What answers must look like: a JSON Schema, `boxes` or `points`; with a spatial pad, "
         "only those to `spatial-prompt` (empty = anything)",
         &Settings::json_schema, 0, 0, playing},
        {"tools", "Tools",
         "Functions that answers may call, a JSON list in OpenAI's form (empty = none)",
         &Settings::tools},
        {"tool-timeout", "Tool timeout",
         "A tool call that has no result by then, in ms, gets an error in its place (0 = only "
         "where "
         "nothing more can come, after 30 s)",
         &Settings::tool_timeout, 0, 86400000, playing},
        {"tracking", "Tracking", "Identity of objects from answer to answer", &Settings::tracking,
         0, 0, playing, tracking_get_type},
        {"trigger", "Trigger", "When the standing question is asked", &Settings::trigger, 0, 0,
         playing, trigger_get_type},
        {"nothing-new", "Nothing new",
         "With trigger=event, the answer that says so and is never told (a checkpoint may carry "
         "its "
         "own; empty = there is none)",
         &Settings::nothing_new, 0, 0, playing},
        {"interval", "Interval", "Media time between questions with trigger=interval, in ms",
         &Settings::interval, 1, 86400000, playing},
        {"max-tokens", "Most tokens", "Longest answer, in tokens", &Settings::max_tokens, 1,
         1 << 20, playing},
        {"temperature", "Temperature", "Randomness of the answer (0 = always the likeliest token)",
         &Settings::temperature, 0, 100, playing},
        {"top-p", "Top-p", "Draw from the likeliest tokens that together have this probability",
         &Settings::top_p, 0, 1, playing},
        {"top-k", "Top-k", "Draw from this many likeliest tokens (0 = all)", &Settings::top_k, 0,
         1 << 24, playing},
        {"repetition-penalty", "Repetition penalty",
         "Divides the odds of tokens that were there before (1 = off)",
         &Settings::repetition_penalty, 0.01, 100, playing},
        {"seed", "Seed",
         "Of the random draws: the same media, questions and seed give the same answers",
         &Settings::seed, 0, double(gint64{1} << 53)},
        {"voice", "Voice",
         "Who speaks on a speech pad (empty = the checkpoint's own; an unknown name is an error "
         "that lists them)",
         &Settings::voice},
        {"speak-on", "Speak on",
         "Which answers to the standing question a speech pad says (those to `ask`, to prompts "
         "and, "
         "with trigger=turn, to who has spoken always are)",
         &Settings::speak_on, 0, 0, playing, speak_on_get_type},
        {"barge-in", "Barge-in",
         "A question that comes while an answer is being spoken ends it (live, or by the signal "
         "`ask`), and so does a voice on an audio pad where `trigger` is turn, once it has lasted "
         "for "
         "`barge-in-delay` of omniaudiotokenizer",
         &Settings::barge_in, 0, 0, playing},
        {"resume-false-interruption", "Resume false interruption",
         "With `barge-in`, a voice over an answer that is over sooner, in ms, was a cough or a "
         "backchannel: the answer, silent meanwhile, goes on with the word that it was at, and "
         "nothing is asked (0 = every voice ends the answer)",
         &Settings::resume_false_interruption, 0, 60000, playing},
        {"context-duration", "Context duration",
         "Seconds of media that the model remembers (a checkpoint may carry its own)",
         &Settings::context_duration, 0.1, 86400},
        {"context-tokens", "Context tokens",
         "Most tokens that the model remembers, media and turns: the oldest leave (0 = as many as "
         "it holds, where it has to `remember` turns)",
         &Settings::context_tokens, 0, 1 << 24},
        {"load-session", "Load session",
         "File of the signal `save-session` to go on from when the checkpoint has been loaded "
         "(empty = none)",
         &Settings::load_session},
        {"remember", "Remember",
         "Questions and answers stay in the context, as far as they were heard, until all media "
         "ahead of them have left",
         &Settings::remember},
        {"latency", "Latency",
         "Time allowed for an answer, in ms, as reported to live pipelines (4294967295 = text is "
         "stamped with the time at which it leaves)",
         &Settings::latency, 0, double(G_MAXUINT)},
        {"lateness", "Lateness",
         "Shift of the text's time against the media, in ms: it comes this much later and nothing "
         "else waits for it",
         &Settings::lateness, 0, 86400000},
    };
    rows.insert(rows.end(), own.begin(), own.end());
    return GstOmniProperties<Settings>(rows);
  }();
  return table;
}

}  // namespace gst_omni_model
