// ECAPA-TDNN: a reference mel spectrogram → a speaker vector. (arXiv 2005.07143;
// ECAPA_TimeDelayNet)
#pragma once

#include <vector>

#include "layers/layers.h"
#include "qwen2_5_omni/config.h"

namespace omni::qwen2_5_omni {

class SpeakerEncoder {
 public:
  SpeakerEncoder(const Weights& w, const DitConfig& config);
  // mel [frames, mel_dim] → [enc_dim], of its own memory
  Tensor forward(ops::Context& cx, const Tensor& mel) const;

 private:
  struct SeRes2NetBlock {
    Conv1d tdnn1, tdnn2, se_conv1, se_conv2;
    std::vector<Conv1d> res2net;
  };

  DitConfig config_;
  Conv1d first_, mfa_, asp_tdnn_, asp_conv_, fc_;
  std::vector<SeRes2NetBlock> blocks_;
};

}  // namespace omni::qwen2_5_omni
