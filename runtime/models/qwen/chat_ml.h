// The turns of ChatML as rows, one position a token, and the tokenizer that knows their markers.
// (chat_template of the Qwen line's checkpoints)
#pragma once

#include <filesystem>
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "interface/rows.h"
#include "text/bpe.h"

namespace omni::qwen {

class ChatMl {
 public:
  // Reads tokenizer.json and generation_config.json. Throws corrupt_file if the tokenizer lacks a
  // marker of turns or has more tokens than the text model.
  ChatMl(const std::filesystem::path& folder, int vocab_size);

  const BpeTokenizer& tokenizer() const { return tokenizer_; }
  bool is_stop(int32_t id) const { return stop_ids_.count(id) != 0; }
  // Throws corrupt_file where there is no such token.
  int32_t special(const char* name) const;

  // The system turn, if there is one, and the opening of the user's.
  Rows begin_dialogue(Cursor& cursor, const std::string& system_prompt) const;
  // The question, the end of the user's turn and the opening of the answer.
  Rows ask(Cursor& cursor, const std::string& question) const;
  // And the answer, its end and the opening of the user's next turn.
  Rows answered(Cursor& cursor, const std::string& question, const std::string& answer) const;
  Rows text(Cursor& cursor, std::initializer_list<std::vector<int32_t>> pieces) const;

 private:
  BpeTokenizer tokenizer_;
  int32_t im_start_, im_end_;
  std::set<int32_t> stop_ids_;
};

}  // namespace omni::qwen
