// The prompter of a family: what is written around media, questions and answers, and the position
// of each token. Const and shared by all sessions; computes nothing with weights.
#pragma once

#include <optional>
#include <string>

#include "interface/rows.h"
#include "interface/tool_template.h"
#include "omni/segment.h"
#include "omni/spatial.h"
#include "text/bpe.h"

namespace omni {

struct Tracks {
  bool video = false, audio = false;
  bool any() const { return video || audio; }
  Tracks operator|(Tracks o) const { return {video || o.video, audio || o.audio}; }
  bool operator==(const Tracks&) const = default;
};

// None for a segment without tokens: of that time there is nothing.
inline Tracks tracks_of(const Segment& s) {
  const bool audio = s.modality == Modality::audio;
  if (s.n_tokens == 0) return {};
  return {.video = !audio, .audio = audio};
}

class Prompter {
 public:
  virtual ~Prompter() = default;

  virtual const BpeTokenizer& tokenizer() const = 0;
  virtual bool is_stop(int32_t id) const = 0;
  // Where the answer begins with a thought that nobody is told: the token that ends it.
  virtual std::optional<int32_t> end_of_thought() const { return std::nullopt; }
  virtual Coordinates coordinates() const = 0;  // how the model writes places
  // how media of several tracks are cut and laid one after the other
  virtual Nanoseconds chunk_duration() const = 0;

  // --- Rows of a dialogue in their order. Each moves the cursor behind what it returns.
  // Up to where media or the question go.
  virtual Rows begin_dialogue(Cursor& cursor, const std::string& system_prompt) const = 0;
  // `tracks`: those that the run has media of, so that here is said what is missing, where a model
  // can be told.
  // `first`: what comes first.
  virtual Rows begin_run(Cursor& cursor, Tracks tracks, Modality first) const = 0;
  // A segment of the run whose time 0 is media time `run_start`.
  virtual Rows media(Cursor& cursor, const Segment& segment, Nanoseconds run_start) const = 0;
  virtual Rows end_run(Cursor& cursor, Tracks tracks) const = 0;
  // The question and everything up to the first word of the answer.
  virtual Rows ask(Cursor& cursor, const std::string& question) const = 0;
  // In place of ask() and what was answered, a turn as it is looked back on: from the question to
  // the opening of the user's next one, without a thought.
  virtual Rows answered(Cursor& cursor, const std::string& question,
                        const std::string& answer) const = 0;

  // How functions and calls are written; nullptr: the family has no template for them.
  virtual const ToolTemplate* tools() const { return nullptr; }

  // What is subtracted from the positions of each lane when the beginning of the run leaves.
  virtual LaneShift rebase(Cursor& cursor, const Departed& gone) const = 0;
};

}  // namespace omni
