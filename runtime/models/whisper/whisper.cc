// Encoder and decoder of a checkpoint behind the facet of a recogniser.
#include "whisper/whisper.h"

#include "whisper/decoder.h"
#include "whisper/encoder.h"

namespace omni {
namespace whisper {
namespace {

class Whisper final : public Recogniser {
 public:
  Whisper(const ModelOptions& o, const Weights& w, const LoadProgress& progress)
      : device_(o.device),
        tokenizer_(o.folder / "tokenizer.json"),
        config_(Config::read(o.folder, tokenizer_)),
        encoder_((progress(0.1), w.scope("encoder").at_least_int8()), config_),
        decoder_((progress(0.4), w.scope("decoder")), config_) {
    progress(1);
  }

  const Device* device() const override { return device_; }
  const BpeTokenizer& tokenizer() const override { return tokenizer_; }
  const WhisperTokens& tokens() const override { return config_.tokens; }
  int n_mels() const override { return config_.num_mel_bins; }
  int max_states() const override { return config_.max_source_positions; }
  int max_tokens() const override { return config_.max_target_positions; }
  double seconds_per_state() const override { return 0.02; }
  int mel_frames_per_state() const override { return 2; }
  int n_alignment_heads() const override { return int(config_.alignment_heads.size()); }

  EncodedAudio encode(ops::Context& cx, const Tensor& mel) const override {
    Arena::Scope scope(cx.arena);
    return decoder_.look_at(cx, encoder_.forward(cx, ops::from_host(cx, mel)));
  }
  std::unique_ptr<LoneSequence> new_sequence() const override { return decoder_.new_sequence(); }
  Tensor decode(ops::Context& cx, std::span<const int32_t> ids, const EncodedAudio& audio,
                LoneSequence& sequence, Attention* attention) const override {
    const Tensor hidden = decoder_.forward(cx, ids, audio, sequence, attention);
    return decoder_.logits(cx, hidden.rows(hidden.dim(0) - 1, hidden.dim(0)));
  }

 private:
  const Device* device_;
  BpeTokenizer tokenizer_;
  Config config_;
  Encoder encoder_;
  Decoder decoder_;
};

}  // namespace
}  // namespace whisper

Family load_whisper(const ModelOptions& o, const LoadProgress& progress) {
  const Weights file = Weights::open(o.folder).on(o.device).with(o.precision, o.quantizing);
  Family f;
  f.recogniser = std::make_unique<whisper::Whisper>(o, file.scope("model"), progress);
  return f;
}

}  // namespace omni
