// Writes the text of an encoded window by the rules of Whisper: suppressed tokens, time stamps in
// pairs, temperatures. (OpenAI whisper/decoding.py; models.md 4.2)
#pragma once

#include <atomic>
#include <functional>

#include "decoding/sampler.h"
#include "interface/recogniser.h"

namespace omni {

struct DecodedText {
  std::vector<int32_t> tokens;           // what was written; neither prompt nor end
  std::vector<float> log_probabilities;  // of each
  Attention attention;  // [n_given + tokens][heads][states]: of the given tokens too
  int64_t n_given = 0;
  double no_speech = 0;            // probability that nobody speaks, asked where the text begins
  bool complete = false;           // the model ended it
  bool loop = false;               // it went round in circles and was cut
  double end_log_probability = 0;  // of ending it, where it is complete
  double mean_log_probability() const;
  // The end of the text counts as a token, as Whisper has it.
  double mean_log_probability_with_end() const;
  // Much of it says the same again; tokens from `first_timestamp` on do not count. What Whisper
  // tests by compressing the text.
  bool is_repetitive(int32_t first_timestamp) const;
};

struct DecodingOptions {
  std::vector<int32_t> previous;     // text ahead of the window
  std::vector<int32_t> given;        // text of the window that stands already
  int32_t language = -1, task = -1;  // −1: the checkpoint has none
  bool timestamps = false;
  double temperature = 0;
  // Sees each token and where its heads looked on the way to it ([heads][states]) before it is
  // taken. False: stop, without it.
  std::function<bool(int32_t token, std::span<const float> attention)> keep_going;
};

class WhisperDecoding {
 public:
  WhisperDecoding(const Recogniser& model, ThreadPool& pool, Arena& arena,
                  const std::atomic<bool>& cancelled)
      : model_(model), pool_(pool), arena_(arena), cancelled_(cancelled), sampler_(0) {}

  DecodedText decode(const EncodedAudio& audio, const DecodingOptions& options);
  // The language that the window is most likely in, and its id. Empty where the checkpoint has one
  // language.
  std::pair<std::string, int32_t> detect_language(const EncodedAudio& audio);

 private:
  void apply_rules(std::span<float> logits, const DecodedText& text,
                   const DecodingOptions& options) const;
  void apply_timestamp_rules(std::span<float> logits, const std::vector<int32_t>& tokens) const;

  const Recogniser& model_;
  ThreadPool& pool_;
  Arena& arena_;
  const std::atomic<bool>& cancelled_;
  Sampler sampler_;
};

}  // namespace omni
