// The mel frames of the sound that is not written yet are kept, a window at most. A full window is
// written with the checkpoint's own time stamps, warmer where the text is not believable; what
// stands of it leaves, and the window moves on to where that ends.
#include "transcription/long_form_transcriber.h"

#include <algorithm>

#include "core/time.h"
#include "transcription/long_form.h"
#include "transcription/transcriber_base.h"
#include "transcription/word_times.h"

namespace omni {

namespace {

constexpr double kTemperatures[] = {0, 0.2, 0.4, 0.6};
constexpr Nanoseconds kLeastWord = kSecond * 6 / 100;  // where its segment has it
constexpr float kLeastPower = -10;                     // log10

class LongFormTranscriber final : public TranscriberBase {
 public:
  LongFormTranscriber(std::shared_ptr<const void> engine, const Recogniser& model, ThreadPool& pool,
                      const TranscriptionOptions& options)
      : TranscriberBase(std::move(engine), model, pool, options), prompt_(initial_prompt()) {}

  void start(Nanoseconds time) override {
    start_ = time;
    n_pushed_ = 0;
    if (gate_) gate_->reset();
    begin_recording();
  }

  Nanoseconds settled() const override { return std::max(written_until_, time_of_state(0)); }

  std::vector<Word> push(std::span<const float> samples) override {
    require_numbers(samples);
    std::vector<Word> out;
    while (!samples.empty()) {
      const int64_t missing = (window_frames() - n_frames()) * LogMel::kHop;
      const auto n = size_t(std::min<int64_t>(missing, int64_t(samples.size())));
      mel_.push(samples.first(n), frames_);
      if (gate_) gate_->push(samples.first(n));
      n_pushed_ += int64_t(n);
      samples = samples.subspan(n);
      while (n_frames() >= window_frames()) look(out);
    }
    return out;
  }

  std::vector<Word> finish() override {
    std::vector<Word> out;
    if (n_pushed_ == origin_) return out;
    if (is_short()) {
      mel_.push(std::vector<float>(size_t(LogMel::kFftSize)), frames_);
    } else {
      mel_.finish(frames_);
      const int64_t whole = (n_pushed_ - origin_) / LogMel::kHop - seek_;
      frames_.resize(size_t(whole * model_.n_mels()));
    }
    while (n_frames() > 0) look(out);
    begin_recording();
    return out;
  }

 private:
  int64_t window_frames() const {
    return int64_t(model_.max_states()) * model_.mel_frames_per_state();
  }
  // All of it is in its first window.
  bool is_short() const { return seek_ == 0 && n_frames() < window_frames(); }
  int64_t n_frames() const { return int64_t(frames_.size()) / model_.n_mels(); }
  // of a state of the window
  Nanoseconds time_of_state(int64_t state) const {
    const int64_t frame = seek_ + state * model_.mel_frames_per_state();
    return start_ + duration_of(sample_of(frame), kRate);
  }

  // What comes next is a recording of its own.
  void begin_recording() {
    mel_.reset();
    frames_.clear();
    origin_ = n_pushed_;
    seek_ = 0;
    highest_ = kLeastPower;
    written_until_ = start_ + duration_of(origin_, kRate);
  }

  void advance(int64_t n) {
    frames_.erase(frames_.begin(), frames_.begin() + std::ptrdiff_t(n * model_.n_mels()));
    seek_ += n;
    if (gate_) gate_->forget(sample_of(seek_));
  }

  // of the stream
  int64_t sample_of(int64_t frame) const { return origin_ + frame * LogMel::kHop; }

  // Of the next n frames.
  bool has_voice(int64_t n) const {
    return !gate_ || gate_->may_hold_a_voice(sample_of(seek_), sample_of(seek_ + n));
  }

  void look(std::vector<Word>& out) {
    throw_if_cancelled();
    const int64_t n = n_frames();
    if (!has_voice(n)) {
      ++stats_.gated;
      return advance(n);
    }
    ++stats_.looks;
    const EncodedAudio audio = encode_window();
    find_language(audio);
    DecodedText text;
    if (!generate_with_fallback(audio, text)) {
      reject();
      // what begins in its second half may be believable with what follows
      return advance(n < window_frames() ? n : n / 2);
    }
    const LongFormStep step = retrieve_segments(text.tokens, model_.tokens().first_timestamp, n,
                                                model_.mel_frames_per_state());
    const int64_t valid = std::max<int64_t>(1, n / model_.mel_frames_per_state());
    for (const LongFormSegment& s : step.segments) write(s, text, audio.n_states, valid, out);
    advance(step.seek);
  }

  // Behind a short recording there is silence, behind a long one nothing: zeros, as the references
  // pad a window.
  EncodedAudio encode_window() {
    std::vector<float> mel = frames_;
    if (is_short()) mel.resize(size_t(window_frames() * model_.n_mels()), kLeastPower);
    highest_ = std::max(highest_, *std::max_element(mel.begin(), mel.end()));
    LogMel::normalise(mel, highest_);
    mel.resize(size_t(window_frames() * model_.n_mels()), 0.f);
    return encode(mel, window_frames());
  }

  // False: nobody speaks, or no text is to be believed. (transformers, _need_fallback)
  bool generate_with_fallback(const EncodedAudio& audio, DecodedText& text) {
    DecodingOptions o = decoding_options(prompt_);
    o.timestamps = true;
    bool repetitive = false;
    double p = 0;
    for (const double temperature : kTemperatures) {
      o.temperature = temperature;
      text = decode(audio, o);
      p = text.mean_log_probability_with_end();
      repetitive = text.loop || text.is_repetitive(model_.tokens().first_timestamp);
      if (p < kImprobable && text.no_speech > kNoSpeech) return false;
      if (p >= kImprobable && !repetitive) return true;
    }
    return p >= kVeryImprobable && !repetitive;
  }

  // The words of a segment. They are spoken between its time stamps, where the decoder looked
  // within these; `valid`: states of the window that are sound.
  void write(const LongFormSegment& segment, const DecodedText& text, int64_t n_states,
             int64_t valid, std::vector<Word>& out) {
    const int64_t from = std::min(segment.from, valid - 1),
                  to = std::clamp(segment.to, from + 1, valid);
    const std::vector<int64_t> begins = states_of_tokens(segment, text, n_states, from, to);
    std::vector<int32_t> tokens;
    std::vector<size_t> at;  // of these in the segment
    for (size_t i = segment.begin; i < segment.end; ++i)
      if (text.tokens[i] < model_.tokens().first_timestamp)
        tokens.push_back(text.tokens[i]), at.push_back(i - segment.begin);
    if (tokens.empty()) return;
    language_believed_ = true;
    const std::vector<TokenWord> pieces = words_of_tokens(tokens);
    std::vector<Nanoseconds> bounds;  // of the words
    for (const TokenWord& p : pieces)
      bounds.push_back(std::max(time_of_state(from + begins[at[p.first_token]]), written_until_));
    bounds.push_back(std::max(time_of_state(from + begins[at.back() + 1]),
                              bounds.back() + time_of_state(1) - time_of_state(0)));
    spread(bounds, kLeastWord);
    for (size_t w = 0; w < pieces.size(); ++w) {
      const TokenWord& p = pieces[w];
      Word word = word_of(
          p,
          std::span(text.log_probabilities).subspan(segment.begin + at[p.first_token], p.n_tokens));
      word.start = bounds[w];
      word.duration = bounds[w + 1] - bounds[w];
      if (!word.text.empty()) out.push_back(std::move(word));
    }
    written_until_ = bounds.back();
  }

  // Where its tokens, time stamps among them, begin, in states behind `from`; a last value is where
  // the last one ends.
  std::vector<int64_t> states_of_tokens(const LongFormSegment& segment, const DecodedText& text,
                                        int64_t n_states, int64_t from, int64_t to) const {
    const int64_t heads = model_.n_alignment_heads();
    std::vector<float> attention;  // [tokens][heads][to − from]
    for (auto row = int64_t(segment.begin) * heads; row < int64_t(segment.end) * heads; ++row) {
      const float* states = text.attention.data() + row * n_states;
      attention.insert(attention.end(), states + from, states + to);
    }
    return token_states(attention, int64_t(segment.end - segment.begin), heads, to - from,
                        to - from);
  }

  std::vector<int32_t> prompt_;  // ahead of every window

  Nanoseconds start_ = 0;          // of sample 0
  int64_t n_pushed_ = 0;           // samples
  int64_t origin_ = 0;             // sample at which the recording begins
  int64_t seek_ = 0;               // mel frames of the recording that have left
  std::vector<float> frames_;      // [n_frames, n_mels] from there on, log10 of powers
  float highest_ = kLeastPower;    // of the recording so far
  Nanoseconds written_until_ = 0;  // end of the last word
};

}  // namespace

std::unique_ptr<Transcriber> make_long_form_transcriber(std::shared_ptr<const void> engine,
                                                        const Recogniser& model, ThreadPool& pool,
                                                        const TranscriptionOptions& options) {
  return std::make_unique<LongFormTranscriber>(std::move(engine), model, pool, options);
}

}  // namespace omni
