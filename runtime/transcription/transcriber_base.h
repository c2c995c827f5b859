// What every policy of a recogniser as a stream has in common: language, the text ahead of the
// sound, calls of the encoder and the decoder, words of tokens.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "audio/log_mel.h"
#include "core/arena.h"
#include "core/thread_pool.h"
#include "interface/recogniser.h"
#include "omni/transcriber.h"
#include "transcription/masked_words.h"
#include "transcription/token_words.h"
#include "transcription/voice_gate.h"
#include "transcription/whisper_decoding.h"

namespace omni {

class TranscriberBase : public Transcriber {
 public:
  int sample_rate() const override { return int(kRate); }
  void set_language(const std::string& language) override;
  std::string language() const override { return language_; }
  TranscriptionStats stats() const override { return stats_; }
  void cancel() override { cancelled_ = true; }
  void reset() override;

 protected:
  static constexpr int64_t kRate = LogMel::kSampleRate;
  static constexpr double kNoSpeech = 0.6, kImprobable = -1.0, kVeryImprobable = -1.5;

  // `engine` keeps model and pool alive.
  TranscriberBase(std::shared_ptr<const void> engine, const Recogniser& model, ThreadPool& pool,
                  const TranscriptionOptions& options);

  void throw_if_cancelled() const;
  // Throws corrupt_file.
  static void require_numbers(std::span<const float> samples);
  std::vector<int32_t> initial_prompt() const;

  // mel [n_frames, n_mels], normalised
  EncodedAudio encode(std::span<float> mel, int64_t n_frames);
  DecodedText decode(const EncodedAudio& audio, const DecodingOptions& o);
  // The vocabulary and `previous` ahead of the window.
  DecodingOptions decoding_options(const std::vector<int32_t>& previous) const;
  // Of the window where it is still to be found.
  void find_language(const EncodedAudio& audio);
  // The window was no speech: it had no language.
  void reject();

  std::vector<TokenWord> words_of_tokens(std::span<const int32_t> tokens) const;
  // All of it but its times. `log_probabilities`: of its tokens.
  Word word_of(const TokenWord& piece, std::span<const float> log_probabilities) const;

  std::shared_ptr<const void> engine_;
  const Recogniser& model_;
  ThreadPool& pool_;
  TranscriptionOptions options_;
  MaskedWords masked_;
  std::optional<VoiceGate> gate_;  // where options ask for it
  Arena arena_;
  LogMel mel_;
  bool language_believed_ = false;  // words have been written in it
  TranscriptionStats stats_;

 private:
  std::atomic<bool> cancelled_{false};
  WhisperDecoding decoder_;
  std::vector<int32_t> vocabulary_;  // as tokens
  std::string language_;
  int32_t language_id_ = -1;
};

}  // namespace omni
