// omnimodel's latency: what is reported, what is promised to the session, what it comes to.
#include <algorithm>

#include "model/gstomnimodelstate.h"
#include "streams/gstomniclock.h"

namespace gst_omni_model {

bool query_upstream(GstOmniModel* self, bool& live, GstClockTime& min) {
  State& s = state(self);
  Pads pads;
  {
    std::lock_guard guard(s.lock);
    for (const Input* in : s.inputs) pads.emplace_back(GST_PAD(gst_object_ref(in->pad)));
  }
  live = false;
  min = 0;
  bool known = false;
  for (const PadPtr& pad : pads) {
    QueryPtr query(gst_query_new_latency());
    if (!gst_pad_peer_query(pad.get(), query.get())) continue;
    gboolean pad_live = FALSE;
    GstClockTime pad_min = 0;
    gst_query_parse_latency(query.get(), &pad_live, &pad_min, nullptr);
    known = true;
    live |= bool(pad_live);
    if (pad_live) min = std::max(min, pad_min);
  }
  if (!known) return false;
  std::lock_guard guard(s.lock);
  s.live = live;
  s.upstream_latency = min;
  return true;
}

GstClockTime reported_latency(GstOmniModel* self) {
  State& s = state(self);
  GstClockTime sum = 0;
  {
    std::lock_guard guard(s.lock);
    bool has_audio = false, has_video = false;
    for (const Input* in : s.inputs) {
      has_video |= in->track() == omni::Track::video;
      has_audio |= in->track() == omni::Track::audio;
    }
    sum = s.upstream_latency;
    // sound waits for a chunk of itself already
    if (has_video && !has_audio) sum += s.chunk;
  }
  std::lock_guard guard(s.settings.lock);
  if (s.settings.latency != G_MAXUINT) sum += s.settings.latency * GST_MSECOND;
  if (s.settings.trigger == int(omni::Trigger::interval)) sum += s.settings.interval * GST_MSECOND;
  return sum;
}

void note_delay(GstOmniModel* self, GstClockTime due) {
  State& s = state(self);
  const GstClockTime now = gst_omni_running_time_now(GST_ELEMENT(self));
  if (!s.live || !GST_CLOCK_TIME_IS_VALID(now)) return;
  const GstClockTime delay = now > due ? now - due : 0;
  GstClockTime promised = reported_latency(self);
  bool has_promised = true;
  {
    std::lock_guard guard(s.settings.lock);
    promised += s.settings.lateness * GST_MSECOND;
    has_promised = s.settings.latency != G_MAXUINT;
  }
  bool is_higher = false, warns = false;
  {
    std::lock_guard guard(s.lock);
    is_higher = s.delay.add(delay);
    const bool is_late = has_promised && delay > promised;
    if (is_late) ++s.n_late_answers;
    warns = is_late && s.late.is_to_be_said(delay);
  }
  if (is_higher) g_object_notify(G_OBJECT(self), "max-observed-delay");
  if (warns)
    gst_omni_warn_late(GST_ELEMENT(self), "media", delay, promised,
                       "a smaller model, fewer pixels or a lower frame-rate");
}

}  // namespace gst_omni_model
