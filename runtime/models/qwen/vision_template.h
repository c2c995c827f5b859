// Template and positions of the families that see and do not hear: ChatML turns, pictures and
// videos between <|vision_start|> and <|vision_end|>. A picture is a block of its own; the frames
// of a run of video are one. (chat_template of Qwen2-VL and Qwen2.5-VL; modeling_qwen2_5_vl.py,
// Qwen2_5_VLModel.get_rope_index)
#pragma once

#include <filesystem>
#include <optional>

#include "interface/prompter.h"
#include "io/json.h"
#include "qwen/chat_ml.h"

namespace omni::qwen {

struct VisionTemplateOptions {
  int vocab_size;
  Coordinates coordinates;
  // Of the time axis of video; without it each step of a grid is one position.
  std::optional<int> positions_per_second;
};

class VisionTemplate final : public Prompter {
 public:
  // Throws corrupt_file if the tokenizer lacks one of the special tokens, or an id of `config`
  // (config.json) is another one.
  VisionTemplate(const std::filesystem::path& folder, const Json& config,
                 const VisionTemplateOptions& options);

  const BpeTokenizer& tokenizer() const override { return chat_.tokenizer(); }
  bool is_stop(int32_t id) const override { return chat_.is_stop(id); }
  Coordinates coordinates() const override { return options_.coordinates; }
  Nanoseconds chunk_duration() const override { return 2 * kSecond; }

  Rows begin_dialogue(Cursor& cursor, const std::string& system_prompt) const override;
  Rows begin_run(Cursor& cursor, Tracks tracks, Modality first) const override;
  Rows media(Cursor& cursor, const Segment& segment, Nanoseconds run_start) const override;
  Rows end_run(Cursor& cursor, Tracks tracks) const override;
  Rows ask(Cursor& cursor, const std::string& question) const override;
  Rows answered(Cursor& cursor, const std::string& question,
                const std::string& answer) const override {
    return chat_.answered(cursor, question, answer);
  }
  LaneShift rebase(Cursor& cursor, const Departed& gone) const override;

 private:
  // First position of the segment's rows on the time axis, counted from that of its block.
  int32_t time_of(const Cursor& cursor, const Segment& segment, Nanoseconds run_start) const;
  Rows block(Cursor& cursor, const Segment& segment) const;

  ChatMl chat_;
  VisionTemplateOptions options_;
  int32_t image_pad_, video_pad_, vision_start_, vision_end_;
};

}  // namespace omni::qwen
