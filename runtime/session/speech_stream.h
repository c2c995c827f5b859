// An answer on its way from the rows of the text model to sound: two threads, Talker and Token2Wav,
// between three queues. Rows and codes (some bytes each) wait for nobody, sound is bounded, so that
// who plays sets the pace.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/arena_pool.h"
#include "decoding/sampler.h"
#include "interface/voice.h"
#include "omni/speech.h"

namespace omni {

struct SpeechSettings {
  std::string voice;
  SamplingOptions sampling;  // of the codes
  FlowSettings flow;
  uint64_t seed = 0;
};

// What the streams of a voice compute with. Sound is urgent: while it is awaited, text and codes
// that come later can wait.
struct SpeechArenas {
  explicit SpeechArenas(const Device* device)
      : talker(device), wave(device, Device::Priority::urgent) {}
  ArenaPool talker, wave;
};

// Says something to nobody, so that nothing is left to be planned and recorded when somebody
// listens.
void rehearse(const Voice& model, SpeechArenas& arenas, ThreadPool& pool,
              const SpeechSettings& settings);

class SpeechStream final : public Speech {
 public:
  // Throws invalid_argument for an unknown voice.
  SpeechStream(std::shared_ptr<const void> engine, const Voice& model, SpeechArenas& arenas,
               ThreadPool& pool, const SpeechSettings& settings);
  ~SpeechStream() override;

  int sample_rate() const override { return model_.sample_rate(); }
  std::vector<float> read(size_t most) override;
  Nanoseconds buffered() const override;
  bool can_flow() const override;
  void when_duration_is_known(std::function<void(Nanoseconds)> known) override;
  void on_change(std::function<void()> changed) override;
  void stop() override;
  void interrupt() override;
  bool is_interrupted() const override;
  void hold() override;
  void resume(Nanoseconds from) override;
  bool is_held() const override;
  bool is_runaway() const override;
  Nanoseconds n_read() const override;

  // --- the session's side
  void begin(VoicePrompt prompt);
  // The row of a token that was written, [1, hidden], and what it writes. What has no letter or
  // digit is not spoken.
  void add(const KeptRows& row, std::string_view text);
  void end();

 private:
  void run_talker();
  void run_wave();
  void guard(void (SpeechStream::*run)());
  void notify();              // without lock_
  size_t most_codes() const;  // under lock_
  Nanoseconds whole() const {
    return Nanoseconds(n_codes_) * model_.samples_per_code() * kSecond / model_.sample_rate();
  }  // under lock_

  std::shared_ptr<const void> engine_;
  const Voice& model_;
  SpeechArenas& arenas_;
  ThreadPool& pool_;
  SpeechSettings settings_;

  mutable std::mutex lock_;  // guards all below
  std::condition_variable changed_;
  std::optional<VoicePrompt> prompt_;
  std::deque<KeptRows> rows_;
  size_t n_text_ = 0;  // bytes
  bool speakable_ = false, text_ended_ = false;
  std::deque<int32_t> codes_;
  size_t n_codes_ = 0;  // made so far
  bool codes_ended_ = false, runaway_ = false;
  std::function<void(Nanoseconds)> duration_known_;
  std::deque<float> samples_;
  size_t n_samples_ = 0;    // made so far
  size_t n_read_ = 0;       // of them
  std::deque<float> read_;  // the last of those that were
  double making_ = 0;       // seconds that the last piece took
  bool samples_ended_ = false, stopped_ = false, interrupted_ = false, held_ = false;
  std::exception_ptr error_;

  std::mutex listener_lock_;  // held while the listener is called
  std::function<void()> listener_;

  std::thread talker_, wave_;  // last: they use everything above
};

}  // namespace omni
