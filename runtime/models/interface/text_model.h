// The text model of a family. Its weights are const and shared; what changes lies in the states of
// the sequences and in the workspace of whoever computes.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "interface/forward_workspace.h"
#include "interface/kv_pages.h"
#include "interface/sequence_state.h"
#include "ops/ops.h"

namespace omni {

// What is added to some rows of a sequence behind the first layers, a level a layer: features of
// the vision tower's inner blocks. (DeepStack, arXiv 2406.04334)
struct DeepFeatures {
  int64_t begin = 0;           // the first of the rows
  std::vector<Tensor> levels;  // [n, hidden] each; none: nothing is added
};
// Of media [n, media_width] for the rows from `begin` on.
DeepFeatures deep_features(ops::Context& cx, const Tensor& media, int hidden, int64_t begin);
// [n, hidden] at the beginning of each row of media [n, media_width].
Tensor embeddings_of(ops::Context& cx, const Tensor& media, int hidden);

// The next rows of one sequence, all of one lane. The state has room for them.
struct SequenceRows {
  SequenceState* state;
  std::span<const Position> positions;
  Lane lane = Lane::text;
  DeepFeatures deep = {};
};

class TextModel {
 public:
  virtual ~TextModel() = default;

  // where its weights are and a Context's arena must be; nullptr: the host
  virtual const Device* device() const = 0;
  virtual int hidden() const = 0;
  // of DeepFeatures: those of a row of media lie behind its embedding
  virtual int n_deep_levels() const { return 0; }
  int media_width() const { return hidden() * (1 + n_deep_levels()); }
  // What a Talker reads: 0: the last hidden state, and of text its embedding with it; otherwise of
  // text its embedding, of media the state behind so many layers.
  virtual int kept_layer() const { return 0; }
  virtual int64_t max_positions() const = 0;

  // what keys and values are best kept in where nobody asks for anything else
  virtual DType kv_type() const { return DType::f32; }
  // What lies in a page for its sequences, with keys and values of this type (f32 or bf16).
  virtual ops::KvLayout kv_layout(DType type) const = 0;
  virtual std::unique_ptr<SequenceState> new_state(KvPages& pages) const = 0;

  virtual Tensor embed(ops::Context& cx, std::span<const int32_t> ids) const = 0;  // [n, hidden]
  // Runs the rows of one or many sequences, each sequence once, behind what they remember, which
  // grows by them. x [n, hidden] holds the rows in their order. → hidden states after the last
  // norm, [n, hidden]; on a device valid until the next forward with this workspace. What a
  // sequence gets does not depend on the others.
  virtual Tensor forward(ops::Context& cx, const Tensor& x, std::span<const SequenceRows> rows,
                         ForwardWorkspace& workspace) const = 0;
  virtual Tensor logits(ops::Context& cx, const Tensor& hidden) const = 0;  // [n, vocabulary]
};

}  // namespace omni
