#include <gst/audio/audio.h>
#include <gst/video/video.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "elements/harness.h"

namespace omni_test {
namespace {

class VideoTokenizer : public GstTest {};
class AudioTokenizer : public GstTest {};

GstBuffer* frame(int width, int height, GstClockTime pts, guint8 value = 100) {
  GstBuffer* b = gst_buffer_new_allocate(nullptr, gsize(width * height * 3), nullptr);
  gst_buffer_memset(b, 0, value, gsize(width * height * 3));
  GST_BUFFER_PTS(b) = pts;
  GST_BUFFER_DURATION(b) = 40 * GST_MSECOND;
  return b;
}

// Width 32: stride 96 = 32 · 3, no padding.
void start_video(Harness& h, const char* extra = "", int width = 64, int height = 48) {
  const std::string caps = "video/x-raw,format=RGB,framerate=25/1,width=" + std::to_string(width) +
                           ",height=" + std::to_string(height) + extra;
  gst_harness_set_src_caps_str(h, caps.c_str());
}

TEST_F(VideoTokenizer, TwoFramesASecondFromTwentyFive) {
  Harness h("omnivideotokenizer");
  start_video(h);
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(gst_harness_push(h, frame(64, 48, GstClockTime(i) * 40 * GST_MSECOND)), GST_FLOW_OK);
  auto out = h.drain();
  ASSERT_EQ(out.size(), 4u);  // 4 s, a pair a second
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(GST_BUFFER_PTS(out[i]), i * GST_SECOND);
    EXPECT_EQ(GST_BUFFER_DURATION(out[i]), GST_SECOND);
    EXPECT_EQ(gst_buffer_get_size(out[i]) % (64 * 4), 0u);
  }
  unref_all(out);
  GstCaps* caps = gst_pad_get_current_caps(h->sinkpad);
  const GstStructure* s = gst_caps_get_structure(caps, 0);
  EXPECT_STREQ(gst_structure_get_name(s), "application/x-omni-tokens");
  EXPECT_STREQ(gst_structure_get_string(s, "modality"), "video");
  EXPECT_EQ(std::strlen(gst_structure_get_string(s, "checkpoint")), 16u);
  gst_caps_unref(caps);
}

TEST_F(VideoTokenizer, AnotherFrameRateTakesOtherFrames) {
  Harness h("omnivideotokenizer");
  g_object_set(h->element, "frame-rate", 4, 1, nullptr);
  start_video(h);
  for (int i = 0; i < 50; ++i)
    ASSERT_EQ(gst_harness_push(h, frame(64, 48, GstClockTime(i) * 40 * GST_MSECOND)), GST_FLOW_OK);
  auto out = h.drain();
  EXPECT_EQ(out.size(), 4u);  // 2 s, two pairs a second
  unref_all(out);
}

TEST_F(VideoTokenizer, AnOddLastFrameIsRepeated) {
  Harness h("omnivideotokenizer");
  start_video(h);
  for (int i = 0; i < 3; ++i)
    gst_harness_push(h, frame(64, 48, GstClockTime(i) * 500 * GST_MSECOND));
  auto out = h.drain();
  EXPECT_EQ(out.size(), 2u);
  unref_all(out);
}

// More than a pair and a half apart: the stream paused in between.
TEST_F(VideoTokenizer, FramesFarApartAreNoPair) {
  Harness h("omnivideotokenizer");
  start_video(h);
  for (const GstClockTime ms : {0, 1900, 2400, 2900, 4800})
    gst_harness_push(h, frame(64, 48, ms * GST_MSECOND));
  auto out = h.drain();
  std::vector<GstClockTime> times;
  for (GstBuffer* b : out) times.push_back(GST_BUFFER_PTS(b) / GST_MSECOND);
  EXPECT_EQ(times, (std::vector<GstClockTime>{0, 1900, 2900, 4800}));
  unref_all(out);
}

TEST_F(VideoTokenizer, LatencyIsTheDocumentedSum) {
  Harness h("omnivideotokenizer");
  g_object_set(h->element, "latency", 100, "frame-rate", 4, 1, nullptr);
  start_video(h);
  gst_harness_set_upstream_latency(h, 40 * GST_MSECOND);
  EXPECT_EQ(gst_harness_query_latency(h), (40 + 250 + 100) * GST_MSECOND);
}

TEST_F(VideoTokenizer, FlushForgetsHalfAPair) {
  Harness h("omnivideotokenizer");
  start_video(h);
  gst_harness_push(h, frame(64, 48, 0));
  gst_harness_push_event(h, gst_event_new_flush_start());
  EXPECT_EQ(gst_harness_push(h, frame(64, 48, GST_SECOND)), GST_FLOW_FLUSHING);
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(h, gst_event_new_segment(&segment));
  gst_harness_push(h, frame(64, 48, 10 * GST_SECOND));
  gst_harness_push(h, frame(64, 48, 10 * GST_SECOND + 500 * GST_MSECOND));
  auto out = h.drain();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(GST_BUFFER_PTS(out[0]), 10 * GST_SECOND);
  unref_all(out);
}

TEST_F(VideoTokenizer, CapsMayChangeAtAnyTime) {
  Harness h("omnivideotokenizer");
  start_video(h);
  gst_harness_push(h, frame(64, 48, 0));
  gst_harness_set_src_caps_str(h, "video/x-raw,format=RGB,framerate=25/1,width=96,height=300");
  gst_harness_push(h, frame(96, 300, 500 * GST_MSECOND));
  gst_harness_push(h, frame(96, 300, GST_SECOND));
  auto out = h.drain();
  ASSERT_EQ(out.size(), 2u);  // the half pair of the old size, and one of the new
  EXPECT_EQ(GST_BUFFER_PTS(out[1]), 500 * GST_MSECOND);
  unref_all(out);
}

TEST_F(VideoTokenizer, ANewSegmentStartsAnew) {
  Harness h("omnivideotokenizer");
  start_video(h);
  gst_harness_push(h, frame(64, 48, 0));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.base = 5 * GST_SECOND;
  gst_harness_push_event(h, gst_event_new_segment(&segment));
  gst_harness_push(h, frame(64, 48, 0));
  gst_harness_push(h, frame(64, 48, 500 * GST_MSECOND));
  auto out = h.drain();
  EXPECT_EQ(out.size(), 2u);
  unref_all(out);
}

TEST_F(VideoTokenizer, InterlacedVideoIsRefusedWithAWord) {
  Harness h("omnivideotokenizer");
  h.offer_caps(
      "video/x-raw,format=RGB,framerate=25/1,width=64,height=48,interlace-mode=interleaved");
  EXPECT_EQ(gst_harness_push(h, frame(64, 48, 0)), GST_FLOW_NOT_NEGOTIATED);
  EXPECT_NE(h.error().find("deinterlace"), std::string::npos);
}

TEST_F(VideoTokenizer, LiveInputIsDroppedAndCountedWhileTheWeightsLoad) {
  Harness h("omnivideotokenizer");
  gst_harness_set_live(h, TRUE);
  gst_harness_set_upstream_latency(h, 1);
  start_video(h);
  for (int i = 0; i < 200; ++i)
    ASSERT_EQ(gst_harness_push(h, frame(64, 48, GstClockTime(i) * 500 * GST_MSECOND)), GST_FLOW_OK);
  auto out = h.drain();
  GstStructure* stats = nullptr;
  g_object_get(h->element, "stats", &stats, nullptr);
  guint64 in = 0, drops = 0, segments = 0;
  gst_structure_get(stats, "buffers-in", G_TYPE_UINT64, &in, "drops", G_TYPE_UINT64, &drops,
                    "segments", G_TYPE_UINT64, &segments, nullptr);
  EXPECT_EQ(in, 200u);
  EXPECT_EQ(segments, out.size());
  EXPECT_STRNE(gst_structure_get_string(stats, "compute"), "")
      << "the level of instructions, once the weights are there";
  guint64 reported = 0;
  while (GstMessage* m = gst_bus_pop_filtered(h.bus, GST_MESSAGE_QOS)) {
    ++reported;
    gst_message_unref(m);
  }
  EXPECT_EQ(reported, drops);
  gst_structure_free(stats);
  unref_all(out);
}

TEST_F(VideoTokenizer, ABufferTooSmallForItsCaps) {
  Harness h("omnivideotokenizer");
  start_video(h);
  gst_harness_push(h, gst_buffer_new_allocate(nullptr, 10, nullptr));
  EXPECT_NE(h.error().find("64x48"), std::string::npos);
}

GstBuffer* sound(int samples, GstClockTime pts, float level = 0.1f) {
  GstBuffer* b = gst_buffer_new_allocate(nullptr, gsize(samples) * 4, nullptr);
  GstMapInfo map;
  gst_buffer_map(b, &map, GST_MAP_WRITE);
  for (int i = 0; i < samples; ++i)
    reinterpret_cast<float*>(map.data)[i] = level * float(i % 40) / 40;
  gst_buffer_unmap(b, &map);
  GST_BUFFER_PTS(b) = pts;
  GST_BUFFER_DURATION(b) = gst_util_uint64_scale(guint64(samples), GST_SECOND, 16000);
  return b;
}

void start_audio(
    Harness& h,
    const char* caps = "audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved") {
  gst_harness_set_src_caps_str(h, caps);
}

TEST_F(AudioTokenizer, UnitsOfTwoSecondsAndTheRestAtTheEnd) {
  Harness h("omniaudiotokenizer");
  start_audio(h);
  for (int i = 0; i < 52; ++i)
    gst_harness_push(h, sound(1600, GstClockTime(i) * 100 * GST_MSECOND));
  auto out = h.drain();
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(GST_BUFFER_PTS(out[1]), 2 * GST_SECOND);
  EXPECT_EQ(GST_BUFFER_PTS(out[2]), 4 * GST_SECOND);
  EXPECT_EQ(GST_BUFFER_DURATION(out[2]), 1200 * GST_MSECOND);
  EXPECT_EQ(gst_buffer_get_size(out[0]), 50u * 64 * 4);
  EXPECT_EQ(gst_buffer_get_size(out[2]), 30u * 64 * 4);
  unref_all(out);
}

TEST_F(AudioTokenizer, TheSplitIntoBuffersDoesNotMatter) {
  std::string first;
  for (int piece : {40000, 1, 441, 1600}) {
    if (piece == 1) continue;
    Harness h("omniaudiotokenizer");
    start_audio(h);
    GstBuffer* all = sound(40000, 0);
    for (int at = 0; at < 40000; at += piece) {
      const int n = std::min(piece, 40000 - at);
      GstBuffer* part =
          gst_buffer_copy_region(all, GST_BUFFER_COPY_ALL, gsize(at) * 4, gsize(n) * 4);
      GST_BUFFER_PTS(part) = gst_util_uint64_scale(guint64(at), GST_SECOND, 16000);
      gst_harness_push(h, part);
    }
    gst_buffer_unref(all);
    auto out = h.drain();
    std::string bytes;
    for (GstBuffer* b : out) {
      GstMapInfo map;
      gst_buffer_map(b, &map, GST_MAP_READ);
      bytes.append(reinterpret_cast<char*>(map.data), map.size);
      gst_buffer_unmap(b, &map);
    }
    unref_all(out);
    if (first.empty()) first = bytes;
    EXPECT_EQ(bytes, first) << piece;
  }
}

TEST_F(AudioTokenizer, AnyRateFormatAndChannels) {
  for (const char* caps :
       {"audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved,channel-mask=(bitmask)3",
        "audio/x-raw,format=U8,rate=8000,channels=1,layout=interleaved",
        "audio/"
        "x-raw,format=F64BE,rate=44100,channels=6,layout=interleaved,channel-mask=(bitmask)0x3f"}) {
    Harness h("omniaudiotokenizer");
    start_audio(h, caps);
    GstCaps* c = gst_caps_from_string(caps);
    GstAudioInfo info;
    gst_audio_info_from_caps(&info, c);
    gst_caps_unref(c);
    for (int i = 0; i < 50; ++i) {
      GstBuffer* b = gst_buffer_new_allocate(nullptr, gsize(info.rate / 10 * info.bpf), nullptr);
      gst_buffer_memset(b, 0, 0, gsize(info.rate / 10 * info.bpf));
      GST_BUFFER_PTS(b) = GstClockTime(i) * 100 * GST_MSECOND;
      ASSERT_EQ(gst_harness_push(h, b), GST_FLOW_OK);
    }
    auto out = h.drain();
    EXPECT_EQ(out.size(), 3u) << caps;
    unref_all(out);
  }
}

TEST_F(AudioTokenizer, AGapIsSilence) {
  Harness h("omniaudiotokenizer");
  start_audio(h);
  gst_harness_push(h, sound(16000, 0));
  gst_harness_push_event(h, gst_event_new_gap(GST_SECOND, GST_SECOND));
  gst_harness_push(h, sound(16000, 2 * GST_SECOND));
  auto out = h.drain();
  EXPECT_EQ(out.size(), 2u);  // 3 s without a seam
  unref_all(out);
}

TEST_F(AudioTokenizer, SmallHolesAndOverlapsKeepTheUnitsInPlace) {
  Harness h("omniaudiotokenizer");
  start_audio(h);
  gst_harness_push(h, sound(16000, 0));
  gst_harness_push(h, sound(16000, 1300 * GST_MSECOND));  // 0.3 s missing
  gst_harness_push(h, sound(16000, 2000 * GST_MSECOND));  // 0.3 s twice
  gst_harness_push(h, sound(16000, 3000 * GST_MSECOND));
  auto out = h.drain();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(GST_BUFFER_PTS(out[1]), 2 * GST_SECOND);
  EXPECT_EQ(GST_BUFFER_DURATION(out[1]), 2 * GST_SECOND);
  unref_all(out);
}

TEST_F(AudioTokenizer, AJumpOfTheTimeStampsStartsANewPiece) {
  Harness h("omniaudiotokenizer");
  start_audio(h);
  gst_harness_push(h, sound(16000, 0));
  gst_harness_push(h, sound(16000, 7 * GST_SECOND));
  auto out = h.drain();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(GST_BUFFER_PTS(out[0]), 0u);
  EXPECT_EQ(GST_BUFFER_PTS(out[1]), 7 * GST_SECOND);
  unref_all(out);
}

TEST_F(AudioTokenizer, LatencyIsTheDocumentedSum) {
  Harness h("omniaudiotokenizer");
  g_object_set(h->element, "latency", 100, nullptr);
  start_audio(h);
  gst_harness_set_upstream_latency(h, 10 * GST_MSECOND);
  for (int i = 0; i < 21; ++i) gst_harness_push(h, sound(1600, GstClockTime(i) * GST_SECOND / 10));
  gst_buffer_unref(gst_harness_pull(h));  // the checkpoint is there and has said what its chunk is
  EXPECT_EQ(gst_harness_query_latency(h),
            10 * GST_MSECOND + 2 * GST_SECOND + 12500 * GST_USECOND + 100 * GST_MSECOND);
}

TEST_F(AudioTokenizer, WhatIsNoNumberIsOneError) {
  Harness h("omniaudiotokenizer");
  start_audio(h);
  GstBuffer* b = sound(1600, 0);
  const float nan = NAN;
  gst_buffer_fill(b, 400, &nan, 4);
  gst_harness_push(h, b);
  GQuark domain = 0;
  EXPECT_NE(h.error(&domain).find("sample 100"), std::string::npos);
  EXPECT_EQ(domain, GST_STREAM_ERROR);
  // one message, and the next buffer is refused
  EXPECT_EQ(h.error(nullptr, nullptr, 200 * GST_MSECOND), "");
  EXPECT_EQ(gst_harness_push(h, sound(1600, 0)), GST_FLOW_ERROR);
}

TEST_F(VideoTokenizer, NoCheckpointIsOneError) {
  Harness h("omnivideotokenizer", nullptr);
  gst_harness_set_src_caps_str(h, "video/x-raw,format=RGB,framerate=25/1,width=64,height=48");
  GQuark domain = 0;
  EXPECT_NE(h.error(&domain).find("model-path"), std::string::npos);
  EXPECT_EQ(domain, GST_LIBRARY_ERROR);
}

}  // namespace
}  // namespace omni_test
