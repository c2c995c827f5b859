// Events and queries of every kind.
#include <gst/video/video.h>

#include "torture/operations.h"
#include "torture/queries.h"
#include "torture/samples.h"
#include "torture/values.h"

namespace omni_test {
namespace {

GstSegment random_segment(Random& random) {
  static constexpr GstFormat kFormats[] = {GST_FORMAT_TIME,    GST_FORMAT_TIME,
                                           GST_FORMAT_TIME,    GST_FORMAT_BYTES,
                                           GST_FORMAT_DEFAULT, GST_FORMAT_PERCENT};
  static constexpr double kRates[] = {1, 1, 1, -1, 2, 0.001, 1e9};
  GstSegment s;
  gst_segment_init(&s, random.pick(kFormats));
  if (random.one_in(2)) return s;
  s.rate = random.pick(kRates);
  s.applied_rate = random.one_in(4) ? random.pick(kRates) : 1;
  s.flags = random.one_in(4) ? GstSegmentFlags(random.bits() & 0x1f) : GST_SEGMENT_FLAG_NONE;
  s.start = random.one_in(2) ? 0 : random.edge() >> 1;
  s.stop = random.one_in(2) ? GST_CLOCK_TIME_NONE : s.start + (random.edge() >> 1);
  if (s.stop < s.start) s.stop = s.start;
  s.position = s.time = s.start;
  s.base = random.one_in(3) ? random.edge() : 0;
  s.offset = random.one_in(6) ? random.edge() : 0;
  return s;
}

GstEvent* custom(GstEventType type, Random& random) {
  static constexpr const char* kNames[] = {"omni-interrupt", "rstranscribe/speaker-change",
                                           "something/else", "GstForceKeyUnit"};
  return gst_event_new_custom(
      type, gst_structure_new(random.pick(kNames), "name", G_TYPE_STRING, "A", "count", G_TYPE_UINT,
                              guint(random.bits()), nullptr));
}

GstEvent* stream_start(Random& random) {
  GstEvent* e = gst_event_new_stream_start(random.one_in(2) ? "torture" : "another");
  if (random.one_in(2)) gst_event_set_group_id(e, guint(random.bits()));
  if (random.one_in(2)) gst_event_set_stream_flags(e, GstStreamFlags(random.below(8)));
  return e;
}

GstEvent* caps(Random& random) {
  GstCaps* c = wild_caps(random);
  GstEvent* e = gst_event_new_caps(c);
  gst_caps_unref(c);
  return e;
}

GstEvent* segment(Random& random) {
  const GstSegment s = random_segment(random);
  return gst_event_new_segment(&s);
}

GstEvent* tag(Random& random) {
  const std::string text = random_text(random);
  return gst_event_new_tag(gst_tag_list_new(
      GST_TAG_TITLE,
      g_utf8_validate(text.c_str(), -1, nullptr) && !text.empty() ? text.c_str() : "t", nullptr));
}

GstEvent* gap(Random& random) {
  const guint64 time = random.edge();
  return gst_event_new_gap(GST_CLOCK_TIME_IS_VALID(time) ? time : 0, random.edge());
}

GstEvent* toc(Random&) {
  GstToc* t = gst_toc_new(GST_TOC_SCOPE_GLOBAL);
  GstEvent* e = gst_event_new_toc(t, FALSE);
  gst_toc_unref(t);
  return e;
}

GstEvent* stream_collection(Random&) {
  return gst_event_new_stream_collection(gst_stream_collection_new("torture"));
}

GstEvent* sink_message(Random&) {
  GstMessage* m = gst_message_new_application(nullptr, gst_structure_new_empty("torture"));
  GstEvent* e = gst_event_new_sink_message("torture", m);
  gst_message_unref(m);
  return e;
}

GstEvent* seek(Random& random) {
  static constexpr double kRates[] = {1, -1, 2, 1e-3};
  return gst_event_new_seek(random.pick(kRates), GST_FORMAT_TIME, GstSeekFlags(random.bits() & 0xf),
                            GST_SEEK_TYPE_SET, gint64(random.edge() >> 2), GST_SEEK_TYPE_NONE, -1);
}

GstEvent* qos(Random& random) {
  return gst_event_new_qos(GstQOSType(random.below(3)), random.unit() * 10,
                           GstClockTimeDiff(random.edge() >> 2), random.edge() >> 2);
}

}  // namespace

std::vector<GstEvent* (*)(Random&)> events_for(GstPadDirection direction) {
  if (direction == GST_PAD_SINK)
    return {stream_start,
            caps,
            segment,
            tag,
            gap,
            toc,
            stream_collection,
            sink_message,
            [](Random&) { return gst_event_new_flush_start(); },
            [](Random& r) { return gst_event_new_flush_stop(r.one_in(2)); },
            [](Random&) { return gst_event_new_eos(); },
            [](Random& r) { return gst_event_new_stream_group_done(guint(r.bits()) | 1); },
            [](Random& r) { return gst_event_new_segment_done(GST_FORMAT_TIME, gint64(r.edge())); },
            [](Random& r) { return gst_event_new_buffer_size(GST_FORMAT_TIME, 0, 1, FALSE); },
            [](Random& r) { return gst_event_new_instant_rate_change(2, GstSegmentFlags(0)); },
            [](Random& r) { return gst_event_new_protection("id", gst_buffer_new(), "o"); },
            [](Random& r) { return custom(GST_EVENT_CUSTOM_DOWNSTREAM, r); },
            [](Random& r) { return custom(GST_EVENT_CUSTOM_DOWNSTREAM_OOB, r); },
            [](Random& r) { return custom(GST_EVENT_CUSTOM_DOWNSTREAM_STICKY, r); },
            [](Random& r) { return custom(GST_EVENT_CUSTOM_BOTH, r); },
            [](Random& r) { return custom(GST_EVENT_CUSTOM_BOTH_OOB, r); }};
  return {
      seek,
      qos,
      [](Random& r) { return gst_event_new_latency(r.edge() >> 1); },
      [](Random&) { return gst_event_new_reconfigure(); },
      [](Random& r) { return gst_event_new_step(GST_FORMAT_BUFFERS, r.below(3), 1, TRUE, FALSE); },
      [](Random& r) { return gst_event_new_navigation(gst_structure_new_empty("n")); },
      [](Random& r) { return gst_event_new_toc_select("1"); },
      [](Random& r) { return custom(GST_EVENT_CUSTOM_UPSTREAM, r); },
      [](Random& r) { return custom(GST_EVENT_CUSTOM_BOTH, r); },
      [](Random& r) { return custom(GST_EVENT_CUSTOM_BOTH_OOB, r); }};
}

GstQuery* random_query(Random& random) {
  GstCaps* caps = wild_caps(random);
  GstQuery* q = nullptr;
  switch (random.below(14)) {
    case 0:
      q = gst_query_new_latency();
      break;
    case 1:
      q = gst_query_new_position(GstFormat(1 + random.below(5)));
      break;
    case 2:
      q = gst_query_new_duration(GstFormat(1 + random.below(5)));
      break;
    case 3:
      q = gst_query_new_caps(random.one_in(2) ? caps : nullptr);
      break;
    case 4:
      q = gst_query_new_accept_caps(caps);
      break;
    case 5:
      q = gst_query_new_allocation(random.one_in(2) ? caps : nullptr, random.one_in(2));
      break;
    case 6:
      q = gst_query_new_context(random.one_in(2) ? "omni.engine" : "other");
      break;
    case 7:
      q = gst_query_new_seeking(GST_FORMAT_TIME);
      break;
    case 8:
      q = gst_query_new_segment(GST_FORMAT_TIME);
      break;
    case 9:
      q = gst_query_new_convert(GST_FORMAT_TIME, gint64(random.edge()), GST_FORMAT_BYTES);
      break;
    case 10:
      q = gst_query_new_scheduling();
      break;
    case 11:
      q = gst_query_new_buffering(GST_FORMAT_TIME);
      break;
    case 12:
      q = gst_query_new_formats();
      break;
    default:
      q = gst_query_new_custom(GST_QUERY_CUSTOM, gst_structure_new_empty("torture"));
      break;
  }
  gst_caps_unref(caps);
  return q;
}

}  // namespace omni_test
