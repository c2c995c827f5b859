// Template and positions: ChatML turns, without a system turn of its own; each picture, and each
// pair of frames behind its time as text, is a block between <|vision_start|> and <|vision_end|>.
// (chat_template of Qwen3-VL; processing_qwen3_vl.py; Qwen3VLModel.get_rope_index)
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "interface/prompter.h"
#include "io/json.h"
#include "qwen/chat_ml.h"
#include "qwen/tool_turns.h"

namespace omni::qwen3_vl {

class ChatTemplate final : public Prompter {
 public:
  // Throws corrupt_file if the tokenizer lacks one of the special tokens, or an id of `config`
  // (config.json) is another one. `thinks`: answers open with a thought.
  ChatTemplate(const std::filesystem::path& folder, const Json& config, int vocab_size,
               bool thinks);

  const BpeTokenizer& tokenizer() const override { return chat_.tokenizer(); }
  bool is_stop(int32_t id) const override { return chat_.is_stop(id); }
  std::optional<int32_t> end_of_thought() const override { return end_of_thought_; }
  Coordinates coordinates() const override { return Coordinates::thousandths; }
  Nanoseconds chunk_duration() const override { return 2 * kSecond; }

  Rows begin_dialogue(Cursor& cursor, const std::string& system_prompt) const override {
    return chat_.begin_dialogue(cursor, system_prompt);
  }
  Rows begin_run(Cursor& cursor, Tracks tracks, Modality first) const override;
  Rows media(Cursor& cursor, const Segment& segment, Nanoseconds run_start) const override;
  Rows end_run(Cursor& cursor, Tracks tracks) const override;
  Rows ask(Cursor& cursor, const std::string& question) const override;
  Rows answered(Cursor& cursor, const std::string& question,
                const std::string& answer) const override {
    return chat_.answered(cursor, question, answer);
  }
  const ToolTemplate* tools() const override { return tools_.get(); }
  LaneShift rebase(Cursor& cursor, const Departed& gone) const override;

 private:
  // "<0.2 seconds>": the middle of the pair, from the beginning of the stream.
  std::string time_stamp(const Cursor& cursor, const Segment& s, Nanoseconds run_start) const;

  qwen::ChatMl chat_;
  std::unique_ptr<qwen::ToolTurns> tools_;
  int32_t image_pad_, video_pad_, vision_start_, vision_end_;
  std::optional<int32_t> thought_, end_of_thought_;
};

}  // namespace omni::qwen3_vl
