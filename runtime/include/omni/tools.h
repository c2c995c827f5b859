// Functions that a model may call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "omni/error.h"

namespace omni {

struct ToolCall {
  std::string id, name;
  std::string arguments;  // a JSON object that fits the function's parameters
};

// What came of a call: text, JSON as a rule.
struct ToolResult {
  std::string id, result;
};

// One line: {"id", "name", "arguments": {…}, "turn"}.
OMNI_API std::string to_json(const ToolCall& call, uint64_t turn);
// {"id": "…", "result": …}: a text, or any other JSON as its text. Throws corrupt_file.
OMNI_API ToolResult parse_tool_result(std::string_view json);

}  // namespace omni
