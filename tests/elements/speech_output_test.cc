// The source pad of speech, without a model: a voice that has all its sound at once, and a clock
// that a test sets.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "streams/gstomnispeechoutput.h"

namespace omni_test {
namespace {

constexpr GstClockTime kMs = GST_MSECOND;
constexpr std::chrono::minutes kLongest(1);
constexpr int kRate = 1000;  // a sample a millisecond

class FakeSpeech final : public omni::Speech {
 public:
  explicit FakeSpeech(size_t n) : n_(n) {}
  int sample_rate() const override { return kRate; }
  std::vector<float> read(size_t most) override {
    std::lock_guard guard(lock_);
    const size_t n = stopped_ ? 0 : std::min(most, n_ - at_);
    at_ += n;
    return std::vector<float>(n, 0.5f);
  }
  omni::Nanoseconds buffered() const override {
    std::lock_guard guard(lock_);
    return omni::Nanoseconds(n_ - at_) * omni::kSecond / kRate;
  }
  bool can_flow() const override { return true; }
  void when_duration_is_known(std::function<void(omni::Nanoseconds)>) override {}
  void on_change(std::function<void()> changed) override {
    std::lock_guard guard(listener_lock_);
    listener_ = std::move(changed);
  }
  void stop() override {
    std::lock_guard guard(lock_);
    stopped_ = true;
  }
  void interrupt() override {
    interrupted_ = true;
    tell();
  }
  void hold() override {
    held_ = !is_released_;
    tell();
  }
  void resume(omni::Nanoseconds from) override {
    {
      std::lock_guard guard(lock_);
      at_ = size_t(from * kRate / omni::kSecond);
      held_ = false;
    }
    tell();
  }
  bool is_held() const override { return held_; }
  // Whoever plays it, whatever for it waits, comes to its end.
  void release() {
    stop();
    interrupted_ = is_released_ = true;
    held_ = false;
    tell();
  }
  // Who plays it looks at the clock.
  void tell() {
    std::lock_guard guard(listener_lock_);
    if (listener_) listener_();
  }
  bool is_interrupted() const override { return interrupted_; }
  bool is_runaway() const override { return false; }
  omni::Nanoseconds n_read() const override {
    std::lock_guard guard(lock_);
    return omni::Nanoseconds(at_) * omni::kSecond / kRate;
  }

 private:
  mutable std::mutex lock_;
  std::mutex listener_lock_;
  const size_t n_;
  size_t at_ = 0;
  bool stopped_ = false;
  std::atomic<bool> interrupted_ = false, held_ = false, is_released_ = false;
  std::function<void()> listener_;
};

// The pad and who is behind it: writes down what comes. Times are in ms.
class Rig {
 public:
  Rig() {
    gst_pad_set_element_private(sink_, this);
    gst_pad_set_chain_function(sink_, receive);
    gst_pad_set_event_function(sink_, note);
    gst_pad_link(src_, sink_);
    gst_pad_set_active(sink_, TRUE);
    gst_pad_set_active(src_, TRUE);
    output = std::make_unique<GstOmniSpeechOutput>(
        src_,
        [this]() -> std::optional<GstClockTime> {
          const gint64 t = now;
          return t < 0 ? std::nullopt : std::optional<GstClockTime>(GstClockTime(t) * kMs);
        },
        [](const std::function<void()>& body) {
          body();
          return true;
        });
    output->set_rate(kRate);
    output->set_active(true);
  }
  ~Rig() {
    output->set_active(false);
    gst_pad_set_active(src_, FALSE);
    gst_pad_set_active(sink_, FALSE);
    gst_object_unref(src_);
    gst_object_unref(sink_);
  }
  std::shared_ptr<FakeSpeech> speak(size_t n_samples, GstClockTime not_before) {
    return speak(std::make_shared<FakeSpeech>(n_samples), not_before);
  }
  std::shared_ptr<FakeSpeech> speak(std::shared_ptr<FakeSpeech> speech, GstClockTime not_before) {
    auto u = std::make_shared<GstOmniUtterance>();
    u->speech = speech;
    spoken_.push_back(speech);
    u->not_before = not_before * kMs;
    u->on_begin = [this](GstClockTime start) { write("begin:" + std::to_string(start / kMs)); };
    u->on_end = [this](omni::SpeechEnd end, GstClockTime start, GstClockTime heard) {
      const char* how[] = {"finished", "interrupted", "runaway"};
      write(std::string(how[int(end)]) + span(start, heard));
    };
    EXPECT_TRUE(output->speak(std::move(u)));
    if (gave_up_) speech->release();
    return speech;
  }
  // All that came since the last call, once `what` has; if it never comes, a failure, what there
  // is, and nothing is waited for any more.
  std::string up_to(const std::string& what) {
    std::unique_lock lock(lock_);
    wait_until(lock, what, [&] { return log_.ends_with(what); });
    return std::exchange(log_, "");
  }
  void wait_for(const std::string& what) {
    std::unique_lock lock(lock_);
    wait_until(lock, what, [&] { return log_.find(what) != std::string::npos; });
  }
  std::string log() {
    std::lock_guard guard(lock_);
    return log_;
  }

  std::unique_ptr<GstOmniSpeechOutput> output;
  std::atomic<gint64> now = -1;  // ms; below 0: nobody waits for a clock
  std::vector<gint16> last;      // samples of the last buffer

 private:
  template <class Condition>
  void wait_until(std::unique_lock<std::mutex>& lock, const std::string& what,
                  const Condition& condition) {
    if (gave_up_ || changed_.wait_for(lock, kLongest, condition)) return;
    ADD_FAILURE() << "waited for " << what << ", there is " << log_;
    gave_up_ = true;
    lock.unlock();
    for (const auto& speech : spoken_) speech->release();
    lock.lock();
  }
  void write(const std::string& what) {
    std::lock_guard guard(lock_);
    log_ += (log_.empty() ? "" : " ") + what;
    changed_.notify_all();
  }
  static std::string span(GstClockTime start, GstClockTime duration) {
    return ":" + std::to_string(start / kMs) + "-" + std::to_string((start + duration) / kMs);
  }
  static GstFlowReturn receive(GstPad* pad, GstObject*, GstBuffer* buffer) {
    auto& self = *static_cast<Rig*>(gst_pad_get_element_private(pad));
    self.last.resize(gst_buffer_get_size(buffer) / 2);
    gst_buffer_extract(buffer, 0, self.last.data(), gst_buffer_get_size(buffer));
    const std::string name = GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT) ? "first" : "";
    const std::string what =
        name + span(GST_BUFFER_PTS(buffer), GST_BUFFER_DURATION(buffer)).substr(name.empty());
    gst_buffer_unref(buffer);
    self.write(what);
    return GST_FLOW_OK;
  }
  static gboolean note(GstPad* pad, GstObject*, GstEvent* event) {
    std::string text = GST_EVENT_TYPE_NAME(event);
    GstClockTime start = 0, duration = 0;
    if (GST_EVENT_TYPE(event) == GST_EVENT_GAP) {
      gst_event_parse_gap(event, &start, &duration);
      text += span(start, duration);
    }
    gst_event_unref(event);
    static_cast<Rig*>(gst_pad_get_element_private(pad))->write(text);
    return TRUE;
  }

  GstPad *src_ = gst_pad_new("src", GST_PAD_SRC), *sink_ = gst_pad_new("sink", GST_PAD_SINK);
  std::mutex lock_;
  std::condition_variable changed_;
  std::string log_;
  bool gave_up_ = false;  // what was waited for did not come
  std::vector<std::shared_ptr<FakeSpeech>> spoken_;
};

TEST(SpeechOutput, OneUtteranceFollowsTheOtherAndGapsFillTheRest) {
  Rig r;
  r.speak(50, 100);
  EXPECT_EQ(r.up_to("finished:100-150"),
            "begin:100 stream-start caps segment tag gap:0-100 first:100-120 120-140 140-150 "
            "finished:100-150");
  r.speak(20, 130);
  EXPECT_EQ(r.up_to("finished:150-170"), "begin:150 first:150-170 finished:150-170");
  r.output->push_gap(160 * kMs);
  r.output->push_gap(300 * kMs);
  r.output->push_eos();
  EXPECT_EQ(r.up_to("eos"), "gap:170-300 eos");
}

// A piece leaves at most 40 ms ahead of its time, which the pipeline may add to.
TEST(SpeechOutput, LiveSoundLeavesShortlyBeforeItIsDue) {
  Rig r;
  r.now = 1000;
  r.output->set_pipeline_latency(100 * kMs);
  const auto speech = r.speak(100, 0);
  EXPECT_EQ(r.up_to("gap:0-1000"), "begin:1000 stream-start caps segment tag gap:0-1000");
  r.now = 1060;
  speech->tell();
  EXPECT_EQ(r.up_to("1000-1020"), "first:1000-1020");
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(r.log(), "") << "the next is due at 1120";
  r.output->push_gap(5000 * kMs);  // its end is not known before the sound's
  r.now = 1080;
  speech->tell();
  EXPECT_EQ(r.up_to("1020-1040"), "1020-1040");
  r.now = 1140;
  speech->tell();
  EXPECT_EQ(r.up_to("finished:1000-1100"), "1040-1060 1060-1080 1080-1100 finished:1000-1100");
  r.output->push_eos();
  EXPECT_EQ(r.up_to("eos"), "eos");
}

TEST(SpeechOutput, LiveAHoleIsStampedWithTheTimeAtWhichItCanBeHeard) {
  Rig r;
  r.now = 1000;
  const auto speech = r.speak(100, 0);
  r.up_to("1040-1060");
  r.now = 2000;
  speech->tell();
  EXPECT_EQ(r.up_to("finished:1940-2040"), "gap:1060-2000 2000-2020 2020-2040 finished:1940-2040");
  EXPECT_EQ(r.output->n_underruns(), 1u);
}

TEST(SpeechOutput, AnInterruptionFadesWithinMilliseconds) {
  Rig r;
  r.now = 1000;
  const auto speech = r.speak(500, 0);
  r.up_to("1040-1060");
  speech->interrupt();
  EXPECT_EQ(r.up_to("interrupted:1000-1065"), "1060-1065 interrupted:1000-1065");
  ASSERT_EQ(r.last.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(r.last[i], 16384 * (4 - double(i)) / 5, 2);
  r.now = 1065;
  r.speak(10, 0);
  EXPECT_EQ(r.up_to("finished:1065-1075"), "begin:1065 first:1065-1075 finished:1065-1075")
      << "ready for the next";
}

// Of a speech that is held: it fades, and goes on where it is told, with what was read and did not
// leave.
TEST(SpeechOutput, WhatIsHeldGoesOnWhereItIsTold) {
  Rig r;
  r.now = 1000;
  const auto speech = r.speak(500, 0);
  r.up_to("1040-1060");
  speech->hold();
  EXPECT_EQ(r.up_to("1060-1065"), "1060-1065");
  ASSERT_EQ(r.last.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(r.last[i], 16384 * (4 - double(i)) / 5, 2);
  r.now = 1030;
  speech->resume(40 * omni::kSecond / 1000);
  EXPECT_EQ(r.up_to("1065-1085"), "1065-1085") << "as far as it is due";
  ASSERT_EQ(r.last.size(), 20u);
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(r.last[i], 16384 * double(i + 1) / 5, 2);
  EXPECT_NEAR(r.last[5], 16384, 2);
  speech->hold();
  r.up_to("1085-1090");
  r.now = 3000;
  speech->resume(490 * omni::kSecond / 1000);
  EXPECT_EQ(r.up_to("finished:2510-3010"), "gap:1090-3000 3000-3010 finished:2510-3010");
}

TEST(SpeechOutput, WhatIsHeldMayBeInterruptedAndFlushed) {
  Rig r;
  r.now = 1000;
  auto speech = r.speak(500, 0);
  r.up_to("1040-1060");
  speech->hold();
  r.up_to("1060-1065");
  speech->interrupt();
  EXPECT_EQ(r.up_to("interrupted:1000-1065"), "interrupted:1000-1065") << "it is silent already";
  speech = std::make_shared<FakeSpeech>(500);
  speech->hold();
  r.speak(speech, 0);
  r.now = 2000;
  speech->resume(0);
  EXPECT_TRUE(r.up_to("2040-2060").starts_with("begin:2000 gap:1065-2000 first:2000-2020"))
      << "held before it began";
  speech->hold();
  r.up_to("2060-2065");
  r.output->flush_start(gst_event_new_flush_start());
  r.wait_for("interrupted:2000-2065");
  r.output->flush_stop(gst_event_new_flush_stop(TRUE));
}

TEST(SpeechOutput, AFlushSilencesIt) {
  Rig r;
  r.now = 1000;
  r.speak(500, 0);
  r.up_to("1040-1060");
  r.speak(100, 0);
  r.output->flush_start(gst_event_new_flush_start());
  r.wait_for("interrupted:1000-1060");
  r.output->flush_stop(gst_event_new_flush_stop(TRUE));
  r.now = -1;
  r.speak(10, 0);
  const std::string all = r.up_to("finished:0-10");
  EXPECT_TRUE(all.ends_with("flush-stop begin:0 segment first:0-10 finished:0-10")) << all;
}

}  // namespace
}  // namespace omni_test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gst_init(nullptr, nullptr);
  g_log_set_always_fatal(GLogLevelFlags(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR));
  return RUN_ALL_TESTS();
}
