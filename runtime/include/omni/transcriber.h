// Sound in, words with times out: what a speech recogniser is as a stream. Words that left are
// never changed.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "omni/error.h"
#include "omni/types.h"

namespace omni {

// When words leave.
enum class TranscriptionPolicy {
  // live: the decoder stops where it would look at the newest half second (AlignAtt, arXiv
  // 2305.11408); words leave as they are written
  align_att,
  // live: what two successive looks at the growing sound agree on (LocalAgreement-2, arXiv
  // 2005.11185)
  local_agreement,
  whole,  // windows of 30 s with the checkpoint's own time stamps: most accurate, latest
};

struct TranscriptionOptions {
  TranscriptionPolicy policy = TranscriptionPolicy::align_att;
  std::string language;    // "en", "de" …; empty: found out from the sound
  bool translate = false;  // into English
  // text that comes before, for names and style; `whole`: before every window
  std::string initial_prompt;
  // words to expect, all the time: the model is told of them ahead of every window
  std::vector<std::string> vocabulary;
  std::vector<std::string> masked_words;  // written with asterisks for all but their first letter
  Nanoseconds step = kSecond;             // live: new sound between two looks
  bool voice_gate = true;                 // sound without a voice is not looked at
};

struct Word {
  std::string text;  // as written, with its punctuation; UTF-8
  Nanoseconds start = 0, duration = 0;
  double probability = 1;  // geometric mean over its tokens
  bool ends_sentence = false;
  bool space_ahead = false;  // a space was written ahead of it
};

struct TranscriptionStats {
  int64_t looks = 0, gated = 0;  // steps that were looked at; steps without a voice
  // texts that were not believed: no speech, improbable, or a loop
  int64_t rejected = 0;
  double encoder_seconds = 0, decoder_seconds = 0;
  int64_t tokens = 0;
};

// One thread at a time, except for cancel(). Throws Error.
class OMNI_API Transcriber {
 public:
  virtual ~Transcriber() = default;
  virtual int sample_rate() const = 0;  // mono float32 samples at this rate go in
  // Start of the stream, or of what follows a reset: the time of the next sample pushed.
  virtual void start(Nanoseconds time) = 0;
  virtual std::vector<Word> push(std::span<const float> samples) = 0;
  // The end of the stream or of a turn: the words that were held back.
  virtual std::vector<Word> finish() = 0;
  virtual void reset() = 0;
  // Takes effect with the next look.
  virtual void set_language(const std::string& language) = 0;
  // What was set or found; empty before.
  virtual std::string language() const = 0;
  // No word that is still to come begins before this.
  virtual Nanoseconds settled() const = 0;
  virtual TranscriptionStats stats() const = 0;
  // From any thread: makes the running and every later call throw `cancelled`, until reset().
  virtual void cancel() = 0;
};

}  // namespace omni
