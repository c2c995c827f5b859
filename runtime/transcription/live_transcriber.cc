// The sound since the last cut is kept (at most a window). A look encodes it, has the decoder go on
// behind the text that stands, and commits what the policy believes. Words get their times from
// where the decoder looked. When the kept sound grows long it is cut behind a word; what it said
// becomes the text ahead of the window.
#include "transcription/live_transcriber.h"

#include <algorithm>

#include "core/time.h"
#include "transcription/transcriber_base.h"
#include "transcription/word_times.h"

namespace omni {

namespace {

// seconds: kept sound is cut when it is longer; what stays at least
constexpr double kCutAt = 15, kKeepAtCut = 4;
// seconds of silence behind the sound; shortest window that is encoded
constexpr double kPadding = 1.0, kLeastWindow = 10;
// states that the decoder may not look at (AlignAtt)
constexpr int kEdge = 25, kEdgeAtEnd = 4;
constexpr size_t kMostPrevious = 100;  // tokens of text ahead of the window
// seconds without a voice after which the text so far says nothing of the next
constexpr double kForgetAfter = 2;

class LiveTranscriber final : public TranscriberBase {
 public:
  LiveTranscriber(std::shared_ptr<const void> engine, const Recogniser& model, ThreadPool& pool,
                  const TranscriptionOptions& options)
      : TranscriberBase(std::move(engine), model, pool, options), previous_(initial_prompt()) {}

  void start(Nanoseconds time) override {
    start_ = time;
    samples_.clear();
    first_ = n_pushed_ = last_look_ = silent_until_ = 0;
    if (gate_) gate_->reset();
    forget_window();
  }

  void reset() override {
    TranscriberBase::reset();
    previous_ = initial_prompt();
  }

  Nanoseconds settled() const override {
    const int64_t last = word_ends_.empty() ? first_ : std::max(first_, word_ends_.back().sample);
    return start_ + duration_of(std::max(last, silent_until_), kRate);
  }

  std::vector<Word> push(std::span<const float> samples) override {
    require_numbers(samples);
    std::vector<Word> out;
    const int64_t step = std::max<int64_t>(kRate / 10, samples_in(options_.step, kRate));
    while (!samples.empty()) {
      const int64_t due = last_look_ + step;
      const auto n = size_t(std::clamp<int64_t>(due - n_pushed_, 0, int64_t(samples.size())));
      samples_.insert(samples_.end(), samples.begin(), samples.begin() + std::ptrdiff_t(n));
      if (gate_) gate_->push(samples.first(n));
      n_pushed_ += int64_t(n);
      samples = samples.subspan(n);
      if (n_pushed_ >= due) look(false, out);
    }
    return out;
  }

  std::vector<Word> finish() override {
    std::vector<Word> out;
    look(true, out);
    samples_.clear();
    first_ = last_look_ = n_pushed_;
    forget_window();
    previous_ = initial_prompt();
    return out;
  }

 private:
  int64_t window_samples() const {
    return int64_t(model_.max_states()) * model_.mel_frames_per_state() * LogMel::kHop;
  }
  int64_t states_of(int64_t samples) const {
    return samples / LogMel::kHop / model_.mel_frames_per_state();
  }
  Nanoseconds time_of_state(int64_t state) const {
    const double samples = double(state) * model_.seconds_per_state() * double(kRate);
    return start_ + duration_of(first_ + int64_t(samples), kRate);
  }

  void forget_window() {
    committed_.clear();
    word_ends_.clear();
    hypothesis_.clear();
  }

  // Lets go of the first n kept samples, and of the committed words that end in them.
  void cut(int64_t n) {
    n = std::clamp<int64_t>(n, 0, int64_t(samples_.size()));
    size_t tokens = 0, words = 0;
    while (words < word_ends_.size() && word_ends_[words].sample <= first_ + n)
      tokens = word_ends_[words++].tokens;
    if (n == int64_t(samples_.size())) tokens = committed_.size(), words = word_ends_.size();
    previous_.insert(previous_.end(), committed_.begin(),
                     committed_.begin() + std::ptrdiff_t(tokens));
    if (previous_.size() > kMostPrevious)
      previous_.erase(previous_.begin(), previous_.end() - std::ptrdiff_t(kMostPrevious));
    committed_.erase(committed_.begin(), committed_.begin() + std::ptrdiff_t(tokens));
    word_ends_.erase(word_ends_.begin(), word_ends_.begin() + std::ptrdiff_t(words));
    for (WordEnd& e : word_ends_) e.tokens -= tokens;
    samples_.erase(samples_.begin(), samples_.begin() + n);
    first_ += n;
    if (gate_) gate_->forget(first_);
    hypothesis_.clear();
  }

  EncodedAudio encode(int64_t n_samples) {
    mel_.reset();
    std::vector<float> frames;
    mel_.push({samples_.data(), size_t(n_samples)}, frames);
    const int64_t n = n_samples / LogMel::kHop;
    const auto seconds = double(n_samples) / double(kRate);
    // Behind the sound there is silence, as in training; how much of it is encoded is a matter of
    // cost.
    const double window = std::max(kLeastWindow, seconds + kPadding);
    const int64_t whole = int64_t(model_.max_states()) * model_.mel_frames_per_state(),
                  wanted =
                      std::min<int64_t>(whole, std::max<int64_t>(n, int64_t(window * 100) / 2 * 2));
    mel_.push(std::vector<float>(size_t(LogMel::kFftSize), 0.f), frames);
    frames.resize(size_t(std::min<int64_t>(int64_t(frames.size()) / model_.n_mels(), wanted) *
                         model_.n_mels()));
    frames.resize(size_t(wanted * model_.n_mels()), -10.f);  // log10 of the least power
    LogMel::normalise(frames, *std::max_element(frames.begin(), frames.end()));
    return TranscriberBase::encode(frames, wanted);
  }

  // Of kept samples [from, to).
  bool has_voice(int64_t from, int64_t to) const {
    return !gate_ || gate_->may_hold_a_voice(first_ + from, first_ + to);
  }

  bool is_believable(const DecodedText& t) const {
    if (t.loop || t.is_repetitive(model_.tokens().first_timestamp)) return false;
    const double p = t.mean_log_probability();
    return !(t.no_speech > kNoSpeech && p < kImprobable) && p > kVeryImprobable;
  }

  void look(bool last, std::vector<Word>& out) {
    throw_if_cancelled();
    last_look_ = n_pushed_;
    const auto n = int64_t(samples_.size());
    if (n < kRate / 5) return;
    const int64_t heard_until =
        word_ends_.empty() ? 0 : std::clamp<int64_t>(word_ends_.back().sample - first_, 0, n);
    if (!has_voice(heard_until, n)) {
      ++stats_.gated;
      // a word may have begun in the newest half second
      silent_until_ = std::max(silent_until_, first_ + n - kRate / 2);
      // a pause: nothing before it is needed any more
      if (n - heard_until > int64_t(kForgetAfter * kRate)) {
        cut(n - kRate / 2);
        previous_.clear();
      }
      return;
    }
    ++stats_.looks;
    const EncodedAudio audio = encode(n);
    find_language(audio);
    const int64_t valid = std::min(audio.n_states, states_of(n));
    DecodingOptions o = decoding_options(previous_);
    o.given = committed_;
    const int64_t edge = valid - (last ? kEdgeAtEnd : kEdge);
    if (options_.policy == TranscriptionPolicy::align_att && !last)
      o.keep_going = [&](int32_t, std::span<const float> looked) {
        return most_looked_at(looked, audio.n_states) < edge;
      };
    DecodedText text = decode(audio, o);
    if (!is_believable(text)) {
      reject();
      if (last || n > int64_t(kCutAt * kRate)) cut(n);
      return;
    }
    const std::vector<TokenWord> pieces = words_of_tokens(text.tokens);
    size_t believed = pieces.size();
    if (!last) {
      if (options_.policy == TranscriptionPolicy::local_agreement)
        believed = agreed(pieces);
      else if (!text.complete && believed > 0)
        --believed;  // it may go on
    }
    commit(text, pieces, believed, audio.n_states, valid, out);
    trim();
  }

  // The state that the alignment heads look at most, all together.
  int64_t most_looked_at(std::span<const float> looked, int64_t n_states) const {
    int64_t best = 0;
    float highest = -1;
    for (int64_t s = 0; s < n_states; ++s) {
      float sum = 0;
      for (int h = 0; h < model_.n_alignment_heads(); ++h) sum += looked[size_t(h * n_states + s)];
      if (sum > highest) highest = sum, best = s;
    }
    return best;
  }

  // How many words the last two looks have in common.
  size_t agreed(const std::vector<TokenWord>& pieces) {
    size_t n = 0;
    while (n < pieces.size() && n < hypothesis_.size() && pieces[n].text == hypothesis_[n]) ++n;
    hypothesis_.clear();
    for (size_t i = n; i < pieces.size(); ++i) hypothesis_.push_back(pieces[i].text);
    return n;
  }

  void commit(const DecodedText& text, const std::vector<TokenWord>& pieces, size_t n_words,
              int64_t n_states, int64_t valid, std::vector<Word>& out) {
    if (n_words == 0) return;
    language_believed_ = true;
    const size_t tokens = pieces[n_words - 1].first_token + pieces[n_words - 1].n_tokens;
    const int64_t heads = model_.n_alignment_heads(), given = text.n_given;
    const std::vector<int64_t> begins = token_states(
        {text.attention.data(), size_t((given + int64_t(text.tokens.size())) * heads * n_states)},
        given + int64_t(text.tokens.size()), heads, n_states, valid);
    for (size_t w = 0; w < n_words; ++w) {
      const TokenWord& p = pieces[w];
      Word word = word_of(p, std::span(text.log_probabilities).subspan(p.first_token, p.n_tokens));
      const int64_t from = begins[size_t(given) + p.first_token],
                    to = std::max(from + 1, begins[size_t(given) + p.first_token + p.n_tokens]);
      const int64_t written = word_ends_.empty() ? first_ : word_ends_.back().sample;
      const Nanoseconds earliest = start_ + duration_of(written, kRate);
      word.start = std::max(time_of_state(from), earliest);
      word.duration = std::max<Nanoseconds>(time_of_state(to) - word.start, kSecond / 50);
      word_ends_.push_back({samples_in(word.start + word.duration - start_, kRate),
                            committed_.size() + p.first_token + p.n_tokens, word.ends_sentence});
      if (!word.text.empty()) out.push_back(std::move(word));
    }
    committed_.insert(committed_.end(), text.tokens.begin(),
                      text.tokens.begin() + std::ptrdiff_t(tokens));
  }

  // Long sound is cut behind the last sentence that is old enough, else behind a word.
  void trim() {
    const auto n = int64_t(samples_.size());
    if (n <= int64_t(kCutAt * kRate)) return;
    const int64_t newest = first_ + n - int64_t(kKeepAtCut * kRate);
    int64_t at = -1;
    for (const WordEnd& e : word_ends_)
      if (e.ends_sentence && e.sample <= newest) at = e.sample;
    if (at < 0)
      for (const WordEnd& e : word_ends_)
        if (e.sample <= newest) at = e.sample;
    if (at >= 0)
      cut(at - first_);
    else if (n > window_samples() - 3 * kRate)
      cut(n / 2);  // nothing of it could be made out
  }

  struct WordEnd {
    int64_t sample;  // of the stream
    size_t tokens;   // committed up to here
    bool ends_sentence;
  };

  Nanoseconds start_ = 0;       // of sample 0
  std::vector<float> samples_;  // kept sound, from sample first_ on
  int64_t first_ = 0, n_pushed_ = 0, last_look_ = 0, silent_until_ = 0;
  std::vector<int32_t> previous_;        // text ahead of the kept sound
  std::vector<int32_t> committed_;       // text of the kept sound that has left
  std::vector<WordEnd> word_ends_;       // of its words
  std::vector<std::string> hypothesis_;  // words of the last look that were not believed yet
};

}  // namespace

std::unique_ptr<Transcriber> make_live_transcriber(std::shared_ptr<const void> engine,
                                                   const Recogniser& model, ThreadPool& pool,
                                                   const TranscriptionOptions& options) {
  return std::make_unique<LiveTranscriber>(std::move(engine), model, pool, options);
}

}  // namespace omni
