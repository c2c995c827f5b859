#include "qwen/tool_turns.h"

#include <utility>

namespace omni::qwen {

namespace {

constexpr const char* kAboutTools =
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are "
    "provided with function signatures within <tools></tools> XML tags:\n<tools>";
constexpr const char* kAboutCalls =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within ";
constexpr const char* kForm = "\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n";

std::string without_newlines(const std::string& text) {
  const size_t first = text.find_first_not_of('\n');
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of('\n') + 1 - first);
}

}  // namespace

// Text between two markers is tokenized as one.
class ToolTurns::Writer {
 public:
  explicit Writer(const ChatMl& chat) : chat_(chat) {}

  Writer& text(const std::string& t) {
    text_ += t;
    return *this;
  }
  Writer& token(int32_t id) {
    settle();
    ids_.push_back(id);
    return *this;
  }
  Writer& token_or(std::optional<int32_t> id, const char* otherwise) {
    return id ? token(*id) : text(otherwise);
  }
  Rows rows(Cursor& cursor) {
    settle();
    return chat_.text(cursor, {std::move(ids_)});
  }

 private:
  void settle() {
    const std::vector<int32_t> ids = chat_.tokenizer().encode_text(std::exchange(text_, {}));
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }

  const ChatMl& chat_;
  std::vector<int32_t> ids_;
  std::string text_;
};

std::unique_ptr<ToolTurns> ToolTurns::make(const ChatMl& chat, bool thinks) {
  for (const char* marker : {"<tool_call>", "</tool_call>"})
    if (!chat.tokenizer().token_id(marker)) return nullptr;
  return std::unique_ptr<ToolTurns>(new ToolTurns(chat, thinks));
}

ToolTurns::ToolTurns(const ChatMl& chat, bool thinks)
    : chat_(chat),
      im_start_(chat.special("<|im_start|>")),
      im_end_(chat.special("<|im_end|>")),
      call_(chat.special("<tool_call>")),
      end_of_call_(chat.special("</tool_call>")),
      response_(chat.tokenizer().token_id("<tool_response>")),
      end_of_response_(chat.tokenizer().token_id("</tool_response>")) {
  if (!thinks) return;
  thought_ = chat.special("<think>");
  end_of_thought_ = chat.special("</think>");
}

Rows ToolTurns::begin_dialogue(Cursor& cursor, const std::string& system_prompt,
                               const std::vector<std::string>& functions) const {
  Writer writer(chat_);
  writer.token(im_start_).text("system\n");
  if (!system_prompt.empty()) writer.text(system_prompt + "\n\n");
  writer.text(kAboutTools);
  for (const std::string& function : functions) writer.text("\n" + function);
  writer.text(kAboutCalls).token(call_).token(end_of_call_).text(" XML tags:\n");
  writer.token(call_).text(kForm).token(end_of_call_).token(im_end_).text("\n");
  writer.token(im_start_).text("user\n");
  return writer.rows(cursor);
}

void ToolTurns::write_call(Writer& writer, const ToolCall& call) const {
  writer.token(call_);
  writer.text("\n{\"name\": \"" + call.name + "\", \"arguments\": " + call.arguments + "}\n");
  writer.token(end_of_call_);
}

void ToolTurns::write_step(Writer& writer, const ToolStep& step, bool with_thought) const {
  writer.token(im_start_).text("assistant\n");
  const std::string thought = without_newlines(step.thought);
  if (with_thought && thought_ && !thought.empty()) {
    writer.token(*thought_).text("\n" + thought + "\n");
    writer.token(*end_of_thought_).text("\n\n");
  }
  const std::string text = without_newlines(step.text);
  writer.text(text);
  for (size_t i = 0; i < step.calls.size(); ++i) {
    if (i > 0 || !text.empty()) writer.text("\n");
    write_call(writer, step.calls[i]);
  }
  writer.token(im_end_).text("\n").token(im_start_).text("user");
  for (const std::string& result : step.results) {
    writer.text("\n").token_or(response_, "<tool_response>").text("\n" + result + "\n");
    writer.token_or(end_of_response_, "</tool_response>");
  }
  writer.token(im_end_).text("\n");
}

Rows ToolTurns::go_on(Cursor& cursor, const std::string& question,
                      const std::vector<ToolStep>& steps) const {
  Writer writer(chat_);
  writer.text(question).token(im_end_).text("\n");
  for (const ToolStep& step : steps) write_step(writer, step, true);
  writer.token(im_start_).text("assistant\n");
  if (thought_) writer.token(*thought_).text("\n");
  return writer.rows(cursor);
}

Rows ToolTurns::answered(Cursor& cursor, const std::string& question,
                         const std::vector<ToolStep>& steps, const std::string& answer) const {
  Writer writer(chat_);
  writer.text(question).token(im_end_).text("\n");
  for (const ToolStep& step : steps) write_step(writer, step, false);
  writer.token(im_start_).text("assistant\n" + answer).token(im_end_).text("\n");
  writer.token(im_start_).text("user\n");
  return writer.rows(cursor);
}

}  // namespace omni::qwen
