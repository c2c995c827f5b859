#include <gst/audio/audio.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "streams/gstomniaudioinput.h"

namespace {

// How loud a sine of amplitude 1 and this frequency is at 16 kHz, in dB.
double level(int rate, double frequency) {
  std::vector<float> heard;
  GstOmniAudioInput input(
      16000, GST_SECOND,
      {[](GstClockTime) {},
       [&](std::span<const float> s) { heard.insert(heard.end(), s.begin(), s.end()); }, [] {}});
  CapsPtr caps(gst_caps_from_string(
      ("audio/x-raw,format=" GST_AUDIO_NE(F32) ",channels=1,layout=interleaved,rate=" +
       std::to_string(rate))
          .c_str()));
  input.set_caps(caps.get());
  BufferPtr buffer(gst_buffer_new_allocate(nullptr, gsize(rate) * 4, nullptr));
  GstMapInfo map;
  gst_buffer_map(buffer.get(), &map, GST_MAP_WRITE);
  for (int i = 0; i < rate; ++i)
    reinterpret_cast<float*>(map.data)[i] =
        float(std::sin(2 * std::numbers::pi * frequency * i / rate));
  gst_buffer_unmap(buffer.get(), &map);
  input.buffer(buffer.get(), 0);
  input.drain();
  EXPECT_EQ(heard.size(), 16000u);
  double power = 0;
  for (size_t i = 4000; i < 12000; ++i) power += double(heard[i]) * heard[i] / 8000;
  return 10 * std::log10(2 * power + 1e-12);
}

// A ramp of two equal channels at 16 kHz, a plane each: sample i has the value i.
BufferPtr ramp(const GstAudioInfo& info, int begin, int end) {
  const auto n = size_t(end - begin);
  BufferPtr buffer(gst_buffer_new_allocate(nullptr, n * 4, nullptr));
  GstMapInfo map;
  gst_buffer_map(buffer.get(), &map, GST_MAP_WRITE);
  for (size_t i = 0; i < n; ++i)
    for (const size_t plane : {0u, 1u})
      reinterpret_cast<gint16*>(map.data)[plane * n + i] = gint16(size_t(begin) + i);
  gst_buffer_unmap(buffer.get(), &map);
  gst_buffer_add_audio_meta(buffer.get(), &info, n, nullptr);
  return buffer;
}

struct Ramp {
  Ramp() {
    gst_init(nullptr, nullptr);
    CapsPtr caps(gst_caps_from_string("audio/x-raw,format=" GST_AUDIO_NE(
        S16) ",channels=2,channel-mask=(bitmask)3,layout=non-interleaved,rate=16000"));
    gst_audio_info_from_caps(&info, caps.get());
    input.set_caps(caps.get());
  }
  void push(int begin, int end, GstClockTime time) {
    input.buffer(ramp(info, begin, end).get(), time);
  }
  GstAudioInfo info;
  std::vector<int> heard;
  std::vector<GstClockTime> pieces;
  int n_ends = 0;
  GstOmniAudioInput input{16000,
                          GST_SECOND,
                          {[this](GstClockTime time) { pieces.push_back(time); },
                           [this](std::span<const float> s) {
                             for (const float x : s) heard.push_back(int(std::lround(x * 32768)));
                           },
                           [this] { ++n_ends; }}};
};

TEST(AudioInput, WhatOverlapsIsHeardOnce) {
  Ramp r;
  r.push(0, 1600, 0);
  r.push(800, 2400, 50 * GST_MSECOND);
  r.push(2400, 2600, 160 * GST_MSECOND);  // jitter
  ASSERT_EQ(r.heard.size(), 2600u);
  for (int i = 0; i < 2600; ++i) ASSERT_EQ(r.heard[size_t(i)], i);
  r.push(2600, 2700, 262500 * GST_USECOND);
  EXPECT_EQ(r.heard.size(), 2600u + 1600 + 100) << "a hole of 100 ms is silence";
  EXPECT_EQ(r.heard[2600], 0);
  EXPECT_EQ(r.heard.back(), 2699);
  EXPECT_EQ(r.pieces, std::vector<GstClockTime>{0});
}

TEST(AudioInput, AJumpBeginsAPieceThatCountsFromItsBeginning) {
  Ramp r;
  r.push(0, 3200, 0);
  r.push(0, 3200, 10 * GST_SECOND);
  r.push(3200, 6400, 10 * GST_SECOND + 200 * GST_MSECOND);
  EXPECT_EQ(r.pieces, (std::vector<GstClockTime>{0, 10 * GST_SECOND}));
  EXPECT_EQ(r.n_ends, 1);
  ASSERT_EQ(r.heard.size(), 3u * 3200);
  EXPECT_EQ(r.heard.back(), 6399);
}

// What a model was trained on kept its top band; GstAudioConverter's default takes 2 dB of it
// at 6.5 kHz and 11 at 7, which makes another noise of a noise.
TEST(AudioInput, ResamplingKeepsTheBandAndOnlyTheBand) {
  gst_init(nullptr, nullptr);
  for (int rate : {44100, 48000}) {
    EXPECT_NEAR(level(rate, 1000), 0, .05) << rate;
    EXPECT_NEAR(level(rate, 7000), 0, 1) << rate;
    EXPECT_LT(level(rate, 8500), -80) << rate;
  }
}

}  // namespace
