// Template and TMRoPE positions of Qwen2.5-Omni: ChatML turns; whatever follows a block starts at
// one more than that block's highest position; sound counts up in all three coordinates, a picture
// has its time, row and column; with both tracks the two opening markers share a position, and so
// do the two closing ones. (Qwen2_5OmniThinkerModel.get_rope_index; processing_qwen2_5_omni.py,
// replace_multimodal_special_tokens)
#pragma once

#include "models/model.h"

namespace omni::qwen2_5_omni {

class Template {
 public:
  // Throws corrupt_file if the tokenizer lacks one of the family's special tokens.
  explicit Template(const BpeTokenizer& tokenizer);

  Rows begin_dialogue(Cursor& cursor, const std::string& system_prompt) const;
  Rows begin_run(Cursor& cursor, Tracks tracks) const;
  Rows media(Cursor& cursor, const Segment& segment, int32_t index, double ids_per_second) const;
  Rows end_run(Cursor& cursor, Tracks tracks) const;
  Rows ask(Cursor& cursor, const std::string& question) const;
  bool is_stop(int32_t id) const { return id == im_end_ || id == endoftext_; }

 private:
  Rows text(Cursor& cursor, std::initializer_list<std::vector<int32_t>> pieces) const;
  Rows markers(Cursor& cursor, std::initializer_list<int32_t> ids) const;  // all at one position

  const BpeTokenizer& tokenizer_;
  int32_t endoftext_, im_start_, im_end_, image_, audio_, audio_bos_, audio_eos_, video_,
      vision_bos_, vision_eos_;
};

}  // namespace omni::qwen2_5_omni
