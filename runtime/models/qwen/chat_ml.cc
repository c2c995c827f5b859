#include "qwen/chat_ml.h"

#include "qwen/config.h"

namespace omni::qwen {

ChatMl::ChatMl(const std::filesystem::path& folder, int vocab_size)
    : tokenizer_(folder / "tokenizer.json"),
      im_start_(special("<|im_start|>")),
      im_end_(special("<|im_end|>")),
      stop_ids_(read_stop_ids(folder, vocab_size)) {
  stop_ids_.insert({special("<|endoftext|>"), im_end_});
  // A tokenizer may know fewer tokens than the table has rows, never more than it can look up.
  if (tokenizer_.n_tokens() > vocab_size)
    throw Error(ErrorCode::corrupt_file,
                folder.string() + ": tokenizer.json has " + std::to_string(tokenizer_.n_tokens()) +
                    " tokens, config.json a vocab_size of " + std::to_string(vocab_size));
}

int32_t ChatMl::special(const char* name) const {
  const auto id = tokenizer_.token_id(name);
  if (!id) throw Error(ErrorCode::corrupt_file, std::string("tokenizer.json has no token ") + name);
  return *id;
}

Rows ChatMl::text(Cursor& cursor, std::initializer_list<std::vector<int32_t>> pieces) const {
  Rows rows;
  for (const auto& piece : pieces)
    for (int32_t id : piece) {
      rows.ids.push_back(id);
      rows.positions.push_back({cursor.next, cursor.next, cursor.next});
      ++cursor.next;
    }
  return rows;
}

Rows ChatMl::begin_dialogue(Cursor& cursor, const std::string& system_prompt) const {
  std::vector<int32_t> system;
  if (!system_prompt.empty()) {
    system = tokenizer_.encode_text("system\n" + system_prompt);
    system.insert(system.begin(), im_start_);
    system.push_back(im_end_);
    const auto newline = tokenizer_.encode_text("\n");
    system.insert(system.end(), newline.begin(), newline.end());
  }
  return text(cursor, {system, {im_start_}, tokenizer_.encode_text("user\n")});
}

Rows ChatMl::ask(Cursor& cursor, const std::string& question) const {
  return text(cursor, {tokenizer_.encode_text(question),
                       {im_end_},
                       tokenizer_.encode_text("\n"),
                       {im_start_},
                       tokenizer_.encode_text("assistant\n")});
}

Rows ChatMl::answered(Cursor& cursor, const std::string& question,
                      const std::string& answer) const {
  const std::vector<int32_t> newline = tokenizer_.encode_text("\n");
  return text(cursor, {tokenizer_.encode_text(question),
                       {im_end_},
                       newline,
                       {im_start_},
                       tokenizer_.encode_text("assistant\n" + answer),
                       {im_end_},
                       newline,
                       {im_start_},
                       tokenizer_.encode_text("user\n")});
}

}  // namespace omni::qwen
