// Template and TMRoPE positions of Qwen2.5-Omni: ChatML turns; whatever follows a block starts at
// one more than that block's highest position; audio counts up in all three coordinates, a frame
// has its time, row and column; with both tracks the two opening markers share a position, and so
// do the two closing ones. (Qwen2_5OmniThinkerModel.get_rope_index; processing_qwen2_5_omni.py,
// replace_multimodal_special_tokens)
#pragma once

#include <filesystem>

#include "interface/prompter.h"
#include "qwen/chat_ml.h"
#include "qwen2_5_omni/config.h"

namespace omni::qwen2_5_omni {

class ChatTemplate final : public Prompter {
 public:
  // Throws corrupt_file if the tokenizer lacks one of the family's special tokens, or an id of
  // config.json is another one.
  ChatTemplate(const std::filesystem::path& folder, const Config& config);

  const BpeTokenizer& tokenizer() const override { return chat_.tokenizer(); }
  bool is_stop(int32_t id) const override { return chat_.is_stop(id); }
  Coordinates coordinates() const override { return Coordinates::resized_pixels; }
  Nanoseconds chunk_duration() const override { return chunk_duration_; }

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
  LaneShift rebase(Cursor& cursor, const Departed& gone) const override;

 private:
  Rows markers(Cursor& cursor, std::initializer_list<int32_t> ids) const;  // all at one position
  // Positions in a stretch of time.
  double ids_in(Nanoseconds time) const;

  qwen::ChatMl chat_;
  int32_t image_, audio_, audio_bos_, audio_eos_, video_, vision_bos_, vision_eos_;
  double ids_per_second_;  // of the time axis of positions
  Nanoseconds chunk_duration_;
};

}  // namespace omni::qwen2_5_omni
