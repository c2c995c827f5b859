// The functions that a session's model may call.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "grammar/json_schema.h"

namespace omni {

struct Tools {
  std::vector<std::string> declarations;  // as the template writes them, one a function
  std::shared_ptr<const Grammar> calls;   // of one call; none without functions
  bool empty() const { return declarations.empty(); }
};

// A list in OpenAI's form: [{"type": "function", "function": {"name", "description", "parameters":
// JSON Schema}}, …]. Throws invalid_argument that names the element and what is wrong with it; none
// for an empty text.
Tools parse_tools(const std::string& json);

}  // namespace omni
