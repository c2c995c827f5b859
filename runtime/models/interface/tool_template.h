// How a family writes functions that the model may call, its calls, and their results: part of its
// template. Const, as the prompter that it belongs to.
#pragma once

#include <string>
#include <vector>

#include "interface/rows.h"
#include "omni/tools.h"

namespace omni {

// Of a turn: what was written up to its calls, and what came of them.
struct ToolStep {
  std::string thought, text;
  std::vector<ToolCall> calls;
  std::vector<std::string> results;  // one a call
};

class ToolTemplate {
 public:
  virtual ~ToolTemplate() = default;

  // The tokens around a call.
  virtual int32_t call() const = 0;
  virtual int32_t end_of_call() const = 0;
  // One of these, or of those around results: never text.
  virtual bool is_marker(int32_t id) const = 0;

  // As Prompter::begin_dialogue(). `functions`: JSON in OpenAI's form, one text each.
  virtual Rows begin_dialogue(Cursor& cursor, const std::string& system_prompt,
                              const std::vector<std::string>& functions) const = 0;
  // In place of Prompter::ask() and what was written since: from the question up to the first word
  // behind the results of the last step.
  virtual Rows go_on(Cursor& cursor, const std::string& question,
                     const std::vector<ToolStep>& steps) const = 0;
  // As Prompter::answered(), of a turn with steps.
  virtual Rows answered(Cursor& cursor, const std::string& question,
                        const std::vector<ToolStep>& steps, const std::string& answer) const = 0;
};

}  // namespace omni
