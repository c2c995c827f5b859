#include "session/tools.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "io/json.h"
#include "omni/tools.h"

namespace omni {

namespace {

constexpr size_t kMostFunctions = 128, kLongestName = 64;  // as OpenAI's interface takes
constexpr const char* kNoParameters = R"({"type": "object", "properties": {}})";

bool is_name(const std::string& s) {
  return !s.empty() && s.size() <= kLongestName &&
         std::all_of(s.begin(), s.end(), [](unsigned char c) {
           return c < 0x80 && (std::isalnum(c) || c == '_' || c == '-');
         });
}

FunctionSchema function_of(const Json& tool) {
  if (!tool.is_object() || tool.string_or("type", "") != "function")
    tool.fail("is no function: {\"type\": \"function\", \"function\": {\"name\": …}}");
  const Json function = tool.at("function");
  FunctionSchema out{function.at("name").string(), kNoParameters};
  if (!is_name(out.name))
    function.fail("has a name that is not 1 to 64 letters, digits, \"_\" and \"-\"");
  const Json parameters = function.find("parameters");
  if (!parameters.is_object()) parameters.fail("is no JSON Schema");
  if (parameters.keys().empty()) return out;
  if (!parameters.has("type") || !parameters.at("type").is_string() ||
      parameters.at("type").string() != "object")
    parameters.fail("is not of the type \"object\"");
  out.parameters = parameters.dump();
  return out;
}

Tools tools_of(const std::string& json) {
  Tools tools{.declarations = json_elements(json, "tools"), .calls = nullptr};
  const Json list = Json::parse(json, "tools");
  if (list.size() > kMostFunctions)
    list.fail("has more than " + std::to_string(kMostFunctions) + " functions");
  std::vector<FunctionSchema> functions;
  std::set<std::string> names;
  for (size_t i = 0; i < list.size(); ++i) {
    functions.push_back(function_of(list.at(i)));
    if (!names.insert(functions.back().name).second)
      list.at(i).fail("has the name of another: " + functions.back().name);
  }
  if (!functions.empty()) tools.calls = grammar_of_calls(functions);
  return tools;
}

}  // namespace

Tools parse_tools(const std::string& json) {
  if (json.empty()) return {};
  try {
    return tools_of(json);
  } catch (const Error& e) {
    const std::string what = e.what();
    throw Error(ErrorCode::invalid_argument, what.starts_with("tools") ? what : "tools: " + what);
  }
}

std::string to_json(const ToolCall& call, uint64_t turn) {
  return "{\"id\": " + json_string(call.id) + ", \"name\": " + json_string(call.name) +
         ", \"arguments\": " + call.arguments + ", \"turn\": " + std::to_string(turn) + "}\n";
}

ToolResult parse_tool_result(std::string_view json) {
  const Json document = Json::parse(json, "a tool result");
  const Json result = document.at("result");
  return {document.at("id").string(), result.is_string() ? result.string() : result.dump()};
}

}  // namespace omni
