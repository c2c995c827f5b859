#include "session/speech_stream.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>

namespace omni {

namespace {

constexpr double kMostSound = 2;  // seconds that wait to be read
constexpr double kMostBack = 3;   // seconds that may be read again
// Speech far longer than its text is a Talker that does not find the end: people say 10 to 25
// characters a second.
constexpr double kSecondsAhead = 3, kSecondsACharacter = 0.4;

// A standard normal deviate of (seed, frame, i), by hashing: any frame of it can be had at any
// time.
uint64_t mixed(uint64_t x) {  // splitmix64's finalizer
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

FrameNoise seeded_noise(uint64_t seed) {
  return [seed](int64_t frame, std::span<float> row) {
    for (size_t i = 0; i < row.size(); i += 2) {
      const uint64_t bits =
          mixed(mixed(mixed(seed + 0x9e3779b97f4a7c15u) ^ uint64_t(frame)) ^ uint64_t(i));
      const double u = (double(bits >> 32) + 1) / 4294967297.0,
                   v = double(bits & 0xffffffffu) / 4294967296.0;
      const double radius = std::sqrt(-2 * std::log(u));
      row[i] = float(radius * std::cos(2 * M_PI * v));
      if (i + 1 < row.size()) row[i + 1] = float(radius * std::sin(2 * M_PI * v));
    }
  };
}

PickCode pick_by(Sampler& sampler, const SamplingOptions& options) {
  return [&](ops::Context& cx, const Tensor& logits, std::span<const int32_t> history,
             std::span<const uint32_t> allowed) {
    return sampler.choose(cx, logits, history, options, allowed);
  };
}

// Greedy where the first codes of frames are.
SamplingOptions residual_of(const Voice& model, const SamplingOptions& first) {
  const CodeSampling as_published = model.residual_sampling();
  SamplingOptions o;
  o.temperature = first.temperature <= 0 ? 0 : as_published.temperature;
  o.top_p = as_published.top_p;
  o.top_k = as_published.top_k;
  o.repetition_penalty = as_published.repetition_penalty;
  return o;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

SpeechStream::SpeechStream(std::shared_ptr<const void> engine, const Voice& model,
                           SpeechArenas& arenas, ThreadPool& pool, const SpeechSettings& settings)
    : engine_(std::move(engine)), model_(model), arenas_(arenas), pool_(pool), settings_(settings) {
  if (settings_.voice.empty()) settings_.voice = model_.default_speaker();
  model_.new_codes({}, settings_.voice);  // throws for an unknown one
  talker_ = std::thread([this] { guard(&SpeechStream::run_talker); });
  wave_ = std::thread([this] { guard(&SpeechStream::run_wave); });
}

SpeechStream::~SpeechStream() {
  stop();
  talker_.join();
  wave_.join();
}

void rehearse(const Voice& model, SpeechArenas& arenas, ThreadPool& pool,
              const SpeechSettings& settings) {
  const std::string voice = settings.voice.empty() ? model.default_speaker() : settings.voice;
  const std::shared_ptr<Arena> talker = arenas.talker.take(), wave = arenas.wave.take();
  constexpr int kRounds = 2;  // what runs unrecorded, and then is recorded
  for (int round = 0; round < kRounds; ++round) {
    ops::Context cx{pool, *wave};
    const auto stream = model.new_wave(cx, voice, seeded_noise(0), settings.flow);
    // the first piece, and those that follow while codes come fast
    for (const size_t n : {60, 12, 24, 36})
      stream->push(cx, std::vector<int32_t>(n * size_t(model.codes_per_frame())));
  }
  Sampler sampler(0);
  const PickCode pick = pick_by(sampler, settings.sampling);
  ops::Context cx{pool, *talker};
  const Tensor row = Tensor::zeros(DType::f32, {1, model.row_width()});
  for (int round = 0; round < kRounds; ++round) {
    const auto codes = model.new_codes({}, voice);
    for (int i = 0; i < 4; ++i) codes->next(cx, {row}, pick);
  }
}

void SpeechStream::guard(void (SpeechStream::*run)()) {
  try {
    (this->*run)();
  } catch (...) {
    std::lock_guard guard(lock_);
    if (!error_) error_ = std::current_exception();
    codes_ended_ = samples_ended_ = stopped_ = true;
  }
  notify();
}

void SpeechStream::notify() {
  changed_.notify_all();
  std::lock_guard guard(listener_lock_);
  if (listener_) listener_();
}

void SpeechStream::on_change(std::function<void()> changed) {
  std::lock_guard guard(listener_lock_);
  listener_ = std::move(changed);
}

void SpeechStream::begin(VoicePrompt prompt) {
  {
    std::lock_guard guard(lock_);
    prompt_ = std::move(prompt);
  }
  changed_.notify_all();
}

void SpeechStream::add(const KeptRows& row, std::string_view text) {
  {
    std::lock_guard guard(lock_);
    rows_.push_back(row);
    n_text_ += text.size();
    speakable_ |= std::any_of(text.begin(), text.end(),
                              [](unsigned char c) { return c >= 0x80 || std::isalnum(c); });
  }
  changed_.notify_all();
}

void SpeechStream::end() {
  {
    std::lock_guard guard(lock_);
    text_ended_ = true;
  }
  changed_.notify_all();
}

void SpeechStream::stop() {
  {
    std::lock_guard guard(lock_);
    stopped_ = true;
    held_ = false;
    samples_.clear();
  }
  notify();
}

void SpeechStream::interrupt() {
  {
    std::lock_guard guard(lock_);
    interrupted_ = true;
  }
  notify();
}

bool SpeechStream::is_interrupted() const {
  std::lock_guard guard(lock_);
  return interrupted_;
}

void SpeechStream::hold() {
  {
    std::lock_guard guard(lock_);
    held_ = true;
  }
  notify();
}

void SpeechStream::resume(Nanoseconds from) {
  {
    std::lock_guard guard(lock_);
    held_ = false;
    const auto at = size_t(std::max<Nanoseconds>(0, from) * model_.sample_rate() / kSecond);
    const size_t n = stopped_ ? 0 : std::min(n_read_ - std::min(n_read_, at), read_.size());
    const auto begin = read_.end() - std::ptrdiff_t(n);
    samples_.insert(samples_.begin(), begin, read_.end());
    read_.erase(begin, read_.end());
    n_read_ -= n;
  }
  notify();
}

bool SpeechStream::is_held() const {
  std::lock_guard guard(lock_);
  return held_;
}

size_t SpeechStream::most_codes() const {
  return size_t((kSecondsAhead + kSecondsACharacter * double(n_text_)) * model_.sample_rate() /
                model_.samples_per_code());
}

// A frame of codes needs the next row of the reply: while the text model has not written it, the
// Talker waits. It never pads instead.
void SpeechStream::run_talker() {
  const std::shared_ptr<Arena> arena = arenas_.talker.take();
  std::unique_ptr<CodeStream> stream;  // gives its memory back to the arena's queue
  Sampler sampler(settings_.seed);
  const PickCode pick = pick_by(sampler, settings_.sampling);
  const SamplingOptions of_residual = residual_of(model_, settings_.sampling);
  const PickCode pick_residual = pick_by(sampler, of_residual);
  for (;;) {
    KeptRows row;
    {
      std::unique_lock lock(lock_);
      changed_.wait(lock, [&] {
        const bool can_go_on = speakable_ ? !rows_.empty() || text_ended_ : text_ended_;
        return stopped_ || (prompt_ && can_go_on);
      });
      if (stopped_ || !speakable_ || n_codes_ >= most_codes()) {
        runaway_ = !stopped_ && speakable_;
        break;
      }
      if (!stream) {
        VoicePrompt prompt = std::move(*prompt_);
        prompt_ = VoicePrompt{};
        stream = model_.new_codes(std::move(prompt), settings_.voice);
        stream->draw_residual_by(pick_residual);
      }
      if (!rows_.empty()) {
        row = std::move(rows_.front());
        rows_.pop_front();
      }
    }
    ops::Context cx{pool_, *arena};
    const auto code = stream->next(cx, row, pick);
    std::lock_guard guard(lock_);
    if (!code) break;
    codes_.push_back(*code);
    const std::span<const int32_t> others = stream->residual();
    codes_.insert(codes_.end(), others.begin(), others.end());
    ++n_codes_;
    changed_.notify_all();
  }
  std::function<void(Nanoseconds)> known;
  Nanoseconds duration = 0;
  {
    std::lock_guard guard(lock_);
    codes_ended_ = true;
    if (!stopped_) std::swap(known, duration_known_);
    duration = whole();
  }
  changed_.notify_all();
  if (known) known(duration);
}

void SpeechStream::run_wave() {
  const std::shared_ptr<Arena> arena = arenas_.wave.take();
  ops::Context cx{pool_, *arena};
  std::unique_ptr<WaveStream> stream;
  const auto most = size_t(kMostSound * model_.sample_rate());
  for (bool last = false; !last;) {
    std::vector<int32_t> codes;
    {
      std::unique_lock lock(lock_);
      changed_.wait(lock, [&] {
        return stopped_ || ((codes_ended_ || !codes_.empty()) && samples_.size() < most);
      });
      if (stopped_ || (codes_ended_ && n_codes_ == 0)) break;
      codes.assign(codes_.begin(), codes_.end());
      codes_.clear();
      last = codes_ended_;
    }
    changed_.notify_all();
    const double begin = now();
    if (!stream)
      stream = model_.new_wave(cx, settings_.voice, seeded_noise(settings_.seed), settings_.flow);
    std::vector<float> samples = stream->push(cx, codes);
    if (last) {
      const std::vector<float> rest = stream->finish(cx);
      samples.insert(samples.end(), rest.begin(), rest.end());
    }
    {
      std::lock_guard guard(lock_);
      if (stopped_) break;
      if (!samples.empty()) making_ = now() - begin;
      samples_.insert(samples_.end(), samples.begin(), samples.end());
      n_samples_ += samples.size();
    }
    notify();
  }
  std::lock_guard guard(lock_);
  samples_ended_ = true;
}

std::vector<float> SpeechStream::read(size_t most) {
  std::vector<float> out;
  {
    std::unique_lock lock(lock_);
    changed_.wait(lock,
                  [&] { return stopped_ || interrupted_ || samples_ended_ || !samples_.empty(); });
    if (error_) std::rethrow_exception(error_);
    if (stopped_) return {};
    const auto n = std::ptrdiff_t(std::min(most, samples_.size()));
    out.assign(samples_.begin(), samples_.begin() + n);
    samples_.erase(samples_.begin(), samples_.begin() + n);
    n_read_ += size_t(n);
    read_.insert(read_.end(), out.begin(), out.end());
    const auto most_read = size_t(kMostBack * model_.sample_rate());
    if (read_.size() > most_read)
      read_.erase(read_.begin(), read_.end() - std::ptrdiff_t(most_read));
  }
  changed_.notify_all();
  return out;
}

Nanoseconds SpeechStream::buffered() const {
  std::lock_guard guard(lock_);
  return Nanoseconds(samples_.size()) * kSecond / model_.sample_rate();
}

bool SpeechStream::can_flow() const {
  std::lock_guard guard(lock_);
  const double there = double(samples_.size()) / model_.sample_rate();
  return stopped_ || samples_ended_ || there >= kMostSound || (there > 0 && there >= 1.5 * making_);
}

void SpeechStream::when_duration_is_known(std::function<void(Nanoseconds)> known) {
  Nanoseconds duration = 0;
  {
    std::lock_guard guard(lock_);
    if (stopped_) return;
    if (!codes_ended_) {
      duration_known_ = std::move(known);
      return;
    }
    duration = whole();
  }
  known(duration);
}

bool SpeechStream::is_runaway() const {
  std::lock_guard guard(lock_);
  return runaway_;
}

Nanoseconds SpeechStream::n_read() const {
  std::lock_guard guard(lock_);
  return Nanoseconds(n_read_) * kSecond / model_.sample_rate();
}

}  // namespace omni
