// The voice of a family: rows of its text model → codec tokens → wave, all of it in pieces. Weights
// are const and shared; a stream is one utterance.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "interface/rows.h"
#include "ops/ops.h"

namespace omni {

// Chooses a code; may change the logits. `history`: what a repetition penalty counts.
using PickCode = std::function<int32_t(std::span<float> logits, std::span<const int32_t> history)>;

// What was said before the reply. A row is the last hidden state of a token plus its embedding;
// media count as zero in the latter.
struct VoicePrompt {
  std::vector<float> rows;          // [n, hidden]
  std::vector<Position> positions;  // [n]
};

// The codes of one reply.
class CodeStream {
 public:
  virtual ~CodeStream() = default;
  // `row` [hidden]: of the reply's next token (the stop token is none); empty once the reply has
  // ended. nullopt: all is said.
  virtual std::optional<int32_t> next(ops::Context& cx, std::span<const float> row,
                                      const PickCode& pick) = 0;
};

// Fills a row of noise, by the number of its mel frame: it does not depend on how the utterance is
// cut.
using FrameNoise = std::function<void(int64_t frame, std::span<float> row)>;

struct FlowSettings {
  int points = 10;        // of the time grid
  float guidance = 0.5f;  // 0 = none, at half the work
};

// The audio of one utterance: pieces of codes in, pieces of samples in ±1 out. What comes out does
// not depend on the pieces but for what lies below −90 dB.
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
  virtual int samples_per_code() const = 0;
  // Both throw invalid_argument for an unknown speaker, with those there are.
  virtual std::unique_ptr<CodeStream> new_codes(VoicePrompt prompt,
                                                const std::string& speaker) const = 0;
  virtual std::unique_ptr<WaveStream> new_wave(ops::Context& cx, const std::string& speaker,
                                               FrameNoise noise,
                                               const FlowSettings& settings) const = 0;

  // Whole and in their parts. codes → mel [codes · frames a code, mel_dim], of its own memory on
  // the host; mel on the host → samples.
  virtual Tensor mel(ops::Context& cx, std::span<const int32_t> codes, const std::string& speaker,
                     const FrameNoise& noise, const FlowSettings& settings) const = 0;
  virtual std::vector<float> wave(ops::Context& cx, const Tensor& mel) const = 0;
};

}  // namespace omni
