// What omniaudiotokenizer and omnimodel tell one another about who speaks, as custom events beside
// the tokens. Times in them are in the stream's segment, as those of token buffers.
#pragma once

#include <gst/gst.h>

#include <optional>
#include <variant>

#include "common/gstomniptr.h"
#include "omni/session.h"

// Downstream, behind the tokens of the sound in which it was heard.
EventPtr gst_omni_voice_began(const omni::VoiceBegan& began);
EventPtr gst_omni_turn_ended(const omni::TurnEnded& turn);
// In running time of `segment`; none for another event, or one whose times lie outside.
std::optional<omni::Input> gst_omni_parse_voice(GstEvent* event, const GstSegment& segment);

// Whether turns matter: asked for by the tokenizer before its first sound, so that none is missed,
// and told upstream when it changes.
QueryPtr gst_omni_query_turns_wanted();
bool gst_omni_answer_turns_wanted(GstQuery* query, bool wanted);  // false: it asks something else
bool gst_omni_parse_turns_wanted(GstQuery* answered);
EventPtr gst_omni_turns_wanted(bool wanted);
std::optional<bool> gst_omni_parse_turns_wanted(GstEvent* event);
