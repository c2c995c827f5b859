// Template and positions of Qwen3-Omni: ChatML turns; whatever follows a block starts at one more
// than that block's highest position; sound counts up in all three coordinates, a frame has its
// time, row and column; with both tracks their rows lie in the order of their times, and each
// marker has a position of its own. (Qwen3OmniMoeThinkerModel.get_rope_index;
// processing_qwen3_omni_moe.py)
#pragma once

#include <filesystem>
#include <memory>

#include "interface/prompter.h"
#include "qwen/chat_ml.h"
#include "qwen/tool_turns.h"
#include "qwen3_omni/config.h"

namespace omni::qwen3_omni {

class ChatTemplate final : public Prompter {
 public:
  // Throws corrupt_file if the tokenizer lacks one of the family's special tokens, or an id of
  // config.json is another one.
  ChatTemplate(const std::filesystem::path& folder, const Config& config);

  const BpeTokenizer& tokenizer() const override { return chat_.tokenizer(); }
  bool is_stop(int32_t id) const override { return chat_.is_stop(id); }
  Coordinates coordinates() const override { return Coordinates::thousandths; }
  // of sound 13 rows, whose order among the frames' is that of the processor where pairs of frames
  // begin with a second
  Nanoseconds chunk_duration() const override { return kSecond; }

  Rows begin_dialogue(Cursor& cursor, const std::string& system_prompt) const override {
    return chat_.begin_dialogue(cursor, system_prompt);
  }
  Rows begin_run(Cursor& cursor, Tracks tracks, Modality first) const override;
  Rows media(Cursor& cursor, const Segment& segment, Nanoseconds run_start) const override;
  Rows end_run(Cursor& cursor, Tracks tracks) const override;
  Rows ask(Cursor& cursor, const std::string& question) const override {
    return chat_.ask(cursor, question);
  }
  Rows answered(Cursor& cursor, const std::string& question,
                const std::string& answer) const override {
    return chat_.answered(cursor, question, answer);
  }
  const ToolTemplate* tools() const override { return tools_.get(); }
  LaneShift rebase(Cursor& cursor, const Departed& gone) const override;

 private:
  // Positions in a stretch of time.
  double ids_in(Nanoseconds time) const;

  qwen::ChatMl chat_;
  std::unique_ptr<qwen::ToolTurns> tools_;
  int32_t image_, audio_, audio_start_, audio_end_, video_, vision_start_, vision_end_;
  double ids_per_second_;  // of the time axis of positions
};

}  // namespace omni::qwen3_omni
