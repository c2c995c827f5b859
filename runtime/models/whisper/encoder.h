// The audio encoder: two convolutions, sinusoidal positions from the file, pre-norm transformer.
// (WhisperEncoder)
#pragma once

#include <vector>

#include "layers/encoder.h"
#include "whisper/config.h"

namespace omni::whisper {

class Encoder {
 public:
  Encoder(const Weights& w, const Config& config);
  // mel [frames, num_mel_bins], normalised → states [(frames + 1) / 2, d_model]. A window may be
  // shorter than the 30 s of the training.
  Tensor forward(ops::Context& cx, const Tensor& mel) const;

 private:
  Config config_;
  Conv1d conv1_, conv2_;
  Tensor embed_positions_;  // [max_source_positions, d_model]
  std::vector<EncoderLayer> layers_;
  LayerNorm layer_norm_;
};

}  // namespace omni::whisper
