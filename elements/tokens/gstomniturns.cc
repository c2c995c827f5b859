#include "tokens/gstomniturns.h"

namespace {

constexpr char kVoiceBegan[] = "omni-voice-began", kTurnEnded[] = "omni-turn-ended",
               kTurnsWanted[] = "omni-turns-wanted";

const GstStructure* named(const GstStructure* s, const char* name) {
  return s && gst_structure_has_name(s, name) ? s : nullptr;
}
const GstStructure* named(GstEvent* event, const char* name) {
  return named(gst_event_get_structure(event), name);
}

std::optional<omni::Nanoseconds> running_time(const GstStructure* s, const char* field,
                                              const GstSegment& segment) {
  guint64 time = 0;
  if (!gst_structure_get_uint64(s, field, &time)) return std::nullopt;
  time = gst_segment_to_running_time(&segment, GST_FORMAT_TIME, time);
  if (!GST_CLOCK_TIME_IS_VALID(time)) return std::nullopt;
  return omni::Nanoseconds(time);
}

}  // namespace

EventPtr gst_omni_voice_began(const omni::VoiceBegan& began) {
  return EventPtr(gst_event_new_custom(
      GST_EVENT_CUSTOM_DOWNSTREAM,
      gst_structure_new(kVoiceBegan, "start", G_TYPE_UINT64, guint64(began.start), nullptr)));
}

EventPtr gst_omni_turn_ended(const omni::TurnEnded& turn) {
  return EventPtr(gst_event_new_custom(
      GST_EVENT_CUSTOM_DOWNSTREAM,
      gst_structure_new(kTurnEnded, "start", G_TYPE_UINT64, guint64(turn.speech.start), "end",
                        G_TYPE_UINT64, guint64(turn.speech.end()), "time", G_TYPE_UINT64,
                        guint64(turn.time), nullptr)));
}

std::optional<omni::Input> gst_omni_parse_voice(GstEvent* event, const GstSegment& segment) {
  if (const GstStructure* s = named(event, kVoiceBegan)) {
    const auto start = running_time(s, "start", segment);
    if (start) return omni::VoiceBegan{*start};
  } else if (const GstStructure* t = named(event, kTurnEnded)) {
    const auto start = running_time(t, "start", segment), end = running_time(t, "end", segment),
               time = running_time(t, "time", segment);
    if (start && end && time && *end >= *start)
      return omni::TurnEnded{{*start, *end - *start}, *time};
  }
  return std::nullopt;
}

QueryPtr gst_omni_query_turns_wanted() {
  return QueryPtr(gst_query_new_custom(GST_QUERY_CUSTOM, gst_structure_new_empty(kTurnsWanted)));
}

bool gst_omni_answer_turns_wanted(GstQuery* query, bool wanted) {
  if (!named(gst_query_get_structure(query), kTurnsWanted)) return false;
  gst_structure_set(gst_query_writable_structure(query), "wanted", G_TYPE_BOOLEAN, gboolean(wanted),
                    nullptr);
  return true;
}

bool gst_omni_parse_turns_wanted(GstQuery* answered) {
  gboolean wanted = FALSE;
  gst_structure_get_boolean(gst_query_get_structure(answered), "wanted", &wanted);
  return wanted;
}

EventPtr gst_omni_turns_wanted(bool wanted) {
  return EventPtr(gst_event_new_custom(
      GST_EVENT_CUSTOM_UPSTREAM,
      gst_structure_new(kTurnsWanted, "wanted", G_TYPE_BOOLEAN, gboolean(wanted), nullptr)));
}

std::optional<bool> gst_omni_parse_turns_wanted(GstEvent* event) {
  const GstStructure* s = named(event, kTurnsWanted);
  gboolean wanted = FALSE;
  if (!s || !gst_structure_get_boolean(s, "wanted", &wanted)) return std::nullopt;
  return bool(wanted);
}
