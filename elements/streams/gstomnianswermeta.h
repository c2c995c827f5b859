// What a text answers, on the buffer: the GstCustomMeta `GstOmniAnswerMeta` {question: string;
// media-start, media-duration: uint64, ns of running time, whatever the buffer's own time is; turn:
// uint64, the same on all pieces of an answer}. docs/embedding.md tells applications.
#pragma once

#include <gst/gst.h>

#include <string>

constexpr const char* kGstOmniAnswerMeta = "GstOmniAnswerMeta";

struct GstOmniAnswered {
  std::string question;
  GstClockTime media_start = 0, media_duration = 0;  // running time
  guint64 turn = 0;
};

// To be called before GStreamer is asked for the meta by name; any number of times.
void gst_omni_register_answer_meta();
void gst_omni_add_answer(GstBuffer* buffer, const GstOmniAnswered& answered);
bool gst_omni_has_answer(GstBuffer* buffer);
// `to`, which is writable, gets those of `from` that it has not yet.
void gst_omni_copy_answers(GstBuffer* from, GstBuffer* to);
