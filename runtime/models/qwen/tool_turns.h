// Functions, calls and results as the templates of Qwen3-VL and Qwen3-Omni write them: a block in
// the system turn, <tool_call>s that end the assistant's turn, <tool_response>s as a turn of the
// user's. (chat_template of these checkpoints)
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "interface/tool_template.h"
#include "qwen/chat_ml.h"

namespace omni::qwen {

class ToolTurns final : public ToolTemplate {
 public:
  // nullptr where the tokenizer has no markers of calls. thinks: answers open with a thought, which
  // stays while the turn goes on. `chat` outlives it.
  static std::unique_ptr<ToolTurns> make(const ChatMl& chat, bool thinks);

  int32_t call() const override { return call_; }
  int32_t end_of_call() const override { return end_of_call_; }
  bool is_marker(int32_t id) const override {
    return id == call_ || id == end_of_call_ || id == response_ || id == end_of_response_;
  }
  Rows begin_dialogue(Cursor& cursor, const std::string& system_prompt,
                      const std::vector<std::string>& functions) const override;
  Rows go_on(Cursor& cursor, const std::string& question,
             const std::vector<ToolStep>& steps) const override;
  Rows answered(Cursor& cursor, const std::string& question, const std::vector<ToolStep>& steps,
                const std::string& answer) const override;

 private:
  class Writer;
  ToolTurns(const ChatMl& chat, bool thinks);
  void write_step(Writer& writer, const ToolStep& step, bool with_thought) const;
  void write_call(Writer& writer, const ToolCall& call) const;

  const ChatMl& chat_;
  const int32_t im_start_, im_end_, call_, end_of_call_;
  std::optional<int32_t> response_, end_of_response_;  // none: they are text
  std::optional<int32_t> thought_, end_of_thought_;
};

}  // namespace omni::qwen
