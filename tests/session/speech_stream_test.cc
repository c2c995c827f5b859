// An answer on its way to sound, by a voice that is none.
#include "session/speech_stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "session/fake_voice.h"

namespace omni {
namespace {

struct Spoken {
  explicit Spoken(bool finds_its_end = true) {
    voice.finds_its_end = finds_its_end;
    stream = std::make_unique<SpeechStream>(nullptr, voice, arenas, pool, SpeechSettings{});
    stream->begin({});
  }
  void write(const std::string& text, int tokens = 1) {
    for (int i = 0; i < tokens; ++i)
      stream->add({Tensor::zeros(DType::f32, {1, 1})},
                  i == 0 ? std::string_view(text) : std::string_view());
  }
  // Reads to the end.
  size_t n_samples() {
    size_t n = 0;
    for (auto x = stream->read(7); !x.empty(); x = stream->read(7)) n += x.size();
    return n;
  }
  ThreadPool pool{1};
  FakeVoice voice;
  SpeechArenas arenas{nullptr};
  std::unique_ptr<SpeechStream> stream;
};

TEST(SpeechStream, SaysEveryTokenAndHowLongItIs) {
  Spoken s;
  std::promise<Nanoseconds> known;
  s.stream->when_duration_is_known([&](Nanoseconds duration) { known.set_value(duration); });
  s.write("Hello", 20);
  s.stream->end();
  EXPECT_EQ(known.get_future().get(), 2 * kSecond);
  EXPECT_EQ(s.n_samples(), 200u);
  EXPECT_FALSE(s.stream->is_runaway());
  Nanoseconds later = 0;
  s.stream->when_duration_is_known([&](Nanoseconds duration) { later = duration; });
  EXPECT_EQ(later, 2 * kSecond) << "at once where it is known";
}

TEST(SpeechStream, WhatHasNoLetterIsNotSpoken) {
  for (const auto& [text, n] : std::vector<std::pair<std::string, size_t>>{
           {" ?! -", 0}, {"", 0}, {"7", 10}, {"\u00e4", 10}}) {
    Spoken s;
    s.write(text);
    s.stream->end();
    EXPECT_EQ(s.n_samples(), n) << text;
  }
}

// 3 s and 0.4 s a character: then it is stopped, whatever comes.
TEST(SpeechStream, SpeechThatDoesNotFindItsEndIsStopped) {
  Spoken s(false);
  s.write("12345");
  s.stream->end();
  EXPECT_EQ(s.n_samples(), 500u);
  EXPECT_TRUE(s.stream->is_runaway());
}

TEST(SpeechStream, SoundIsBoundedUntilItIsRead) {
  Spoken s;
  s.write(std::string(30, 'a'), 100);
  s.stream->end();
  std::promise<void> full;
  std::atomic<bool> once = true;
  s.stream->on_change([&] {
    if (s.stream->can_flow() && once.exchange(false)) full.set_value();
  });
  if (s.stream->can_flow() && once.exchange(false)) full.set_value();
  full.get_future().wait();
  EXPECT_GT(s.stream->buffered(), 0);
  EXPECT_EQ(s.n_samples(), 1000u);
  EXPECT_EQ(s.stream->buffered(), 0);
  s.stream->on_change({});
}

TEST(SpeechStream, AStopEndsWhoReads) {
  Spoken s;
  std::promise<size_t> read;
  std::thread reader([&] { read.set_value(s.n_samples()); });
  s.stream->stop();
  EXPECT_EQ(read.get_future().get(), 0u);
  reader.join();
}

}  // namespace
}  // namespace omni
