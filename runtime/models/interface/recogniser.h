// The recogniser of a family: an encoder for a window of audio, a decoder that writes its text
// token by token. Weights are const and shared; caches belong to whoever decodes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "interface/lone_sequence.h"
#include "ops/ops.h"
#include "text/bpe.h"

namespace omni {

// Ids with a meaning of their own, and rules that the checkpoint asks for.
struct WhisperTokens {
  int32_t start_of_transcript, end_of_text, no_timestamps, first_timestamp, start_of_previous,
      no_speech;
  // −1: the checkpoint knows one language and one task
  int32_t transcribe = -1, translate = -1;
  std::map<std::string, int32_t> languages;  // "en" → id; empty likewise
  std::vector<int32_t> suppressed, suppressed_at_begin;
  int max_initial_timestamp = 50;  // steps
};

// A window of audio as the decoder sees it.
struct EncodedAudio {
  int64_t n_states = 0;
  std::vector<Tensor> keys_values;  // a layer: [n_states, 2 · d_model]
};

// Where the decoder looked while it wrote: for each token that went in, the mean over the alignment
// heads of their scores (before the softmax) is not enough to find word times, so all heads are
// kept: [heads][states] of softmax over the states.
using Attention = std::vector<float>;

class Recogniser {
 public:
  virtual ~Recogniser() = default;

  // where its weights are and a Context's arena must be; nullptr: the host
  virtual const Device* device() const = 0;
  virtual const BpeTokenizer& tokenizer() const = 0;
  virtual const WhisperTokens& tokens() const = 0;
  virtual int n_mels() const = 0;
  virtual int max_states() const = 0;  // of a window
  virtual int max_tokens() const = 0;  // of a text, prompt included
  virtual double seconds_per_state() const = 0;
  virtual int mel_frames_per_state() const = 0;
  virtual int n_alignment_heads() const = 0;

  // mel [frames ≤ max_states · mel_frames_per_state, n_mels], normalised, on the host → of its own
  // memory
  virtual EncodedAudio encode(ops::Context& cx, const Tensor& mel) const = 0;
  virtual std::unique_ptr<LoneSequence> new_sequence() const = 0;
  // Runs `ids` behind the sequence. → logits of the last, [1, vocabulary]. `attention`, if given,
  // gets the alignment heads' rows of every id, [ids][heads][n_states].
  virtual Tensor decode(ops::Context& cx, std::span<const int32_t> ids, const EncodedAudio& audio,
                        LoneSequence& sequence, Attention* attention) const = 0;
};

}  // namespace omni
