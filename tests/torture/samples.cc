#include "torture/samples.h"

#include <gst/audio/audio.h>
#include <gst/check/gstharness.h>
#include <gst/video/video.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "tokens/gstomnitokens.h"

namespace omni_test {
namespace {

constexpr gsize kMost = 4 << 20;  // bytes of a buffer

struct Recording {
  GstCaps* caps = nullptr;
  std::vector<GstBuffer*> buffers;
};
Recording recordings[2];  // video, audio

constexpr const char* kPlain[] = {
    "video/x-raw,format=RGB,width=56,height=56,framerate=5/1",
    "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved",
    "text/x-raw,format=utf8",
    "application/x-omni-spatial,version=1",
};

constexpr const char* kMany[] = {
    "video/x-raw,format=NV12,width=64,height=48,framerate=0/1",
    "video/x-raw,format=I420,width=65,height=33,framerate=30/1,interlace-mode=interleaved",
    "video/x-raw,format=GRAY8,width=1,height=1,framerate=25/1",
    "video/x-raw,format=BGRx,width=200,height=16,framerate=1000/1",
    "video/x-raw,format=RGBA,width=16,height=200,framerate=1/1000",
    "audio/x-raw,format=F32LE,rate=48000,channels=2,layout=interleaved",
    "audio/x-raw,format=S24BE,rate=8000,channels=6,layout=interleaved,channel-mask=(bitmask)0x3f",
    "audio/x-raw,format=S16LE,rate=44100,channels=2,layout=non-interleaved",
    "audio/x-raw,format=U8,rate=1,channels=1,layout=interleaved",
    "audio/x-raw,format=F64LE,rate=384000,channels=1,layout=interleaved",
    "text/x-raw,format=utf8,unit=line",
};

constexpr const char* kWild[] = {
    "video/x-raw",
    "video/x-raw,format=RGB,width=2147483647,height=2147483647,framerate=1/1",
    "video/x-raw,format=RGB,width=0,height=0,framerate=1/1",
    "video/x-raw(memory:GLMemory),format=RGBA,width=64,height=64,framerate=1/1",
    "audio/x-raw,format=S16LE,rate=2147483647,channels=1,layout=interleaved",
    "audio/x-raw,format=S16LE,rate=16000,channels=64,layout=interleaved,channel-mask=(bitmask)0",
    "audio/x-raw",
    "audio/mpeg,mpegversion=1",
    "text/x-raw,format=pango-markup",
    "application/x-omni-tokens,modality=video,hidden=1,format=F32LE",
    "application/x-omni-tokens,modality=audio,hidden=2147483647,format=F32LE,checkpoint=other",
    "application/x-omni-tokens,modality=image,hidden=64,format=BF16LE",
    "application/x-omni-tokens",
    "application/x-omni-spatial,version=2",
    "closedcaption/x-cea-608,format=raw",
};

constexpr const char* kDocuments[] = {
    R"({"version":1,"frame":{"time":0,"width":56,"height":56},)"
    R"("objects":[{"label":"ball","box":[5,6,20,30],"track":1}]})",
    R"({"version":1,"frame":{"time":0,"width":56,"height":56},"objects":[]})"};

void record(int which, const char* factory, const char* caps) {
  GstElement* element = gst_element_factory_make(factory, nullptr);
  g_object_set(element, "model-path", OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint",
               nullptr);
  GstHarness* h = gst_harness_new_with_element(element, "sink", "src");
  gst_object_unref(element);
  gst_harness_set_live(h, FALSE);
  gst_harness_set_src_caps_str(h, caps);
  GstCaps* c = gst_caps_from_string(caps);
  for (guint64 i = 0; i < 20; ++i) {
    GstBuffer* b = good_buffer(c, i);
    GST_BUFFER_PTS(b) = i * kPiece;
    gst_harness_push(h, b);
  }
  gst_caps_unref(c);
  gst_harness_push_event(h, gst_event_new_eos());
  Recording& r = recordings[which];
  for (GstEvent* e = nullptr; (e = gst_harness_pull_event(h));) {
    const bool eos = GST_EVENT_TYPE(e) == GST_EVENT_EOS;
    if (GST_EVENT_TYPE(e) == GST_EVENT_CAPS) {
      GstCaps* tokens = nullptr;
      gst_event_parse_caps(e, &tokens);
      gst_caps_replace(&r.caps, tokens);
    }
    gst_event_unref(e);
    if (eos) break;
  }
  while (GstBuffer* b = gst_harness_try_pull(h)) r.buffers.push_back(b);
  gst_harness_teardown(h);
  if (!r.caps || r.buffers.empty()) g_error("%s made no tokens of a clip", factory);
}

GstBuffer* new_buffer(gsize size, int value) {
  GstBuffer* b = gst_buffer_new_allocate(nullptr, std::min(size, kMost), nullptr);
  gst_buffer_memset(b, 0, guint8(value), kMost);
  return b;
}

GstBuffer* audio_buffer(const GstCaps* caps, guint64 n) {
  GstAudioInfo info;
  if (!gst_audio_info_from_caps(&info, caps)) return new_buffer(0, 0);
  const gsize samples =
      std::min<gsize>(gsize(gst_util_uint64_scale(kPiece, guint64(info.rate), GST_SECOND)),
                      kMost / gsize(info.bpf));
  GstBuffer* b = new_buffer(samples * gsize(info.bpf), 0);
  if (info.finfo->format == GST_AUDIO_FORMAT_S16LE && info.channels == 1) {
    GstMapInfo map;
    gst_buffer_map(b, &map, GST_MAP_WRITE);
    for (gsize i = 0; i < samples; ++i)
      reinterpret_cast<gint16*>(map.data)[i] =
          gint16(9000 * std::sin(0.06 * double(i) * double(1 + n % 5)));
    gst_buffer_unmap(b, &map);
  }
  if (info.layout == GST_AUDIO_LAYOUT_NON_INTERLEAVED && samples > 0)
    gst_buffer_add_audio_meta(b, &info, samples, nullptr);
  return b;
}

GstBuffer* text_buffer(const std::string& text) {
  return gst_buffer_new_memdup(text.data(), text.size());
}

}  // namespace

void record_samples() {
  record(0, "omnivideotokenizer", kPlain[0]);
  record(1, "omniaudiotokenizer", kPlain[1]);
}

void forget_samples() {
  for (Recording& r : recordings) {
    gst_caps_replace(&r.caps, nullptr);
    for (GstBuffer* b : r.buffers) gst_buffer_unref(b);
    r.buffers.clear();
  }
}

GstCaps* plain_caps(GstPad* pad) {
  for (const Recording& r : recordings)
    if (r.caps && gst_pad_query_accept_caps(pad, r.caps)) return gst_caps_ref(r.caps);
  for (const char* text : kPlain) {
    GstCaps* caps = gst_caps_from_string(text);
    if (gst_pad_query_accept_caps(pad, caps)) return caps;
    gst_caps_unref(caps);
  }
  GstCaps* any = gst_pad_get_pad_template_caps(pad);
  if (gst_caps_is_any(any) || gst_caps_is_empty(any)) {
    gst_caps_unref(any);
    return gst_caps_from_string(kPlain[0]);
  }
  return gst_caps_fixate(any);
}

GstCaps* good_caps(GstPad* pad, Random& random) {
  for (int i = 0; i < 6; ++i) {
    GstCaps* caps = gst_caps_from_string(random.pick(kMany));
    if (gst_pad_query_accept_caps(pad, caps)) return caps;
    gst_caps_unref(caps);
  }
  return plain_caps(pad);
}

GstCaps* wild_caps(Random& random) {
  return random.one_in(3) ? gst_caps_from_string(random.pick(kMany))
                          : gst_caps_from_string(random.pick(kWild));
}

GstBuffer* good_buffer(const GstCaps* caps, guint64 n) {
  const std::string name = gst_structure_get_name(gst_caps_get_structure(caps, 0));
  GstVideoInfo video;
  GstBuffer* b = nullptr;
  if (name == "audio/x-raw") {
    b = audio_buffer(caps, n);
  } else if (name == "video/x-raw") {
    const bool known = gst_video_info_from_caps(&video, caps);
    b = new_buffer(known ? video.size : 0, int(n * 20 % 256));
  } else if (name == "text/x-raw") {
    b = text_buffer(n % 2 ? "There is a ball." : "What is there?");
  } else if (name == "application/x-omni-spatial") {
    b = text_buffer(kDocuments[n % std::size(kDocuments)]);
  } else {
    for (const Recording& r : recordings)
      if (r.caps && !r.buffers.empty() && gst_caps_can_intersect(caps, r.caps))
        b = gst_buffer_copy_deep(r.buffers[n % r.buffers.size()]);
    if (!b) b = new_buffer(4096, 0);
  }
  GST_BUFFER_PTS(b) = GST_CLOCK_TIME_NONE;
  GST_BUFFER_DURATION(b) = kPiece;
  return b;
}

GstBuffer* wild_buffer(const GstCaps* caps, Random& random) {
  switch (random.below(5)) {
    case 0:
      return gst_buffer_new();
    case 1:
      return new_buffer(random.below(random.one_in(10) ? kMost : 4096), int(random.below(256)));
    case 2: {  // a size that is not quite right
      GstBuffer* b = good_buffer(caps, random.bits());
      const gsize size = gst_buffer_get_size(b);
      if (size > 0) gst_buffer_set_size(b, gssize(random.below(size)));
      return b;
    }
    case 3: {  // tokens whose grid lies
      GstBuffer* b = good_buffer(caps, random.bits());
      gpointer state = nullptr;
      while (GstMeta* meta = gst_buffer_iterate_meta(b, &state))
        if (g_str_equal(g_type_name(meta->info->type), "GstOmniTokenMeta")) {
          auto* tokens = reinterpret_cast<GstOmniTokenMeta*>(meta);
          for (gint* field : {&tokens->grid_t, &tokens->grid_h, &tokens->grid_w,
                              &tokens->source_width, &tokens->source_height})
            if (random.one_in(2)) *field = gint(random.edge());
          if (random.one_in(3)) tokens->seconds_per_grid = random.one_in(2) ? NAN : 1e300;
        }
      return b;
    }
    default: {  // numbers that are none
      GstBuffer* b = good_buffer(caps, random.bits());
      gst_buffer_memset(b, 0, 0xff, kMost);
      return b;
    }
  }
}

}  // namespace omni_test
