// The voice of a family: rows of its text model → codec tokens → wave, all of it in pieces. Weights
// are const and shared; a stream is one utterance.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "interface/kept_rows.h"
#include "interface/rows.h"
#include "ops/ops.h"

namespace omni {

// Chooses a code, from logits [1, codes] where they lie, of those with their bit in `allowed`.
// `history`: what a repetition penalty counts.
using PickCode =
    std::function<int32_t(ops::Context& cx, const Tensor& logits, std::span<const int32_t> history,
                          std::span<const uint32_t> allowed)>;

// What was said before the reply.
struct VoicePrompt {
  std::vector<KeptRows> rows;       // n in all
  std::vector<Position> positions;  // [n]
  std::vector<int32_t> ids;         // [n], of media those of their placeholders
};

// How codes are drawn where nobody asks for anything else, as published.
struct CodeSampling {
  double temperature, top_p;
  int top_k;
  double repetition_penalty;
};

// The codes of one reply.
class CodeStream {
 public:
  virtual ~CodeStream() = default;
  // `row` [1, hidden]: of the reply's next token (the stop token is none); none once the reply has
  // ended. nullopt: all is said. Waits until it has read the row.
  virtual std::optional<int32_t> next(ops::Context& cx, const KeptRows& row,
                                      const PickCode& pick) = 0;
  // The other codes of the frame that next() has begun, where frames have several.
  virtual std::span<const int32_t> residual() const { return {}; }
  // How those are drawn; greedily, where nobody says.
  virtual void draw_residual_by(PickCode) {}
};

// Fills a row of noise, by the number of its mel frame: it does not depend on how the utterance is
// cut.
using FrameNoise = std::function<void(int64_t frame, std::span<float> row)>;

struct FlowSettings {
  int points = 10;        // of the time grid
  float guidance = 0.5f;  // 0 = none, at half the work
  // Blocks that are computed and thrown away, 0 … 3: a sooner first piece, each for some 30 dB of
  // the likeness to the whole.
  int look_ahead = 3;
};

// The audio of one utterance: pieces of codes (whole frames, one behind the other) in, pieces of
// samples in ±1 out. What comes out does not depend on the pieces but for what lies below −90 dB.
class WaveStream {
 public:
  virtual ~WaveStream() = default;
  virtual std::vector<float> push(ops::Context& cx, std::span<const int32_t> codes) = 0;
  virtual std::vector<float> finish(ops::Context& cx) = 0;
};

class Voice {
 public:
  virtual ~Voice() = default;
  // where its weights are and a Context's arena must be; nullptr: the host
  virtual const Device* device() const = 0;
  virtual std::vector<std::string> speakers() const = 0;
  virtual std::string default_speaker() const = 0;
  virtual int sample_rate() const = 0;
  virtual int codes_per_frame() const { return 1; }
  virtual int samples_per_code() const = 0;  // of a frame of them
  virtual CodeSampling sampling() const = 0;
  virtual CodeSampling residual_sampling() const { return sampling(); }
  virtual int row_width() const = 0;  // of a KeptRows
  // Both throw invalid_argument for an unknown speaker, with those there are.
  virtual std::unique_ptr<CodeStream> new_codes(VoicePrompt prompt,
                                                const std::string& speaker) const = 0;
  virtual std::unique_ptr<WaveStream> new_wave(ops::Context& cx, const std::string& speaker,
                                               FrameNoise noise,
                                               const FlowSettings& settings) const = 0;

  // Whole and in their parts, of a voice whose sound goes through a mel spectrogram. codes → mel
  // [codes · frames a code, mel_dim], of its own memory on the host; mel on the host → samples.
  virtual Tensor mel(ops::Context&, std::span<const int32_t> /*codes*/,
                     const std::string& /*speaker*/, const FrameNoise&, const FlowSettings&) const {
    throw Error(ErrorCode::unsupported, "a voice without a mel spectrogram");
  }
  virtual std::vector<float> wave(ops::Context&, const Tensor& /*mel*/) const {
    throw Error(ErrorCode::unsupported, "a voice without a mel spectrogram");
  }
};

}  // namespace omni
