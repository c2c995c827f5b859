#include "session/tool_calls.h"

#include <algorithm>
#include <utility>

#include "io/json.h"
#include "text/utf8_stream.h"

namespace omni {

std::string tool_error(const std::string& why) { return "{\"error\": " + json_string(why) + "}"; }

std::vector<ToolCall> ToolCalls::begin(std::vector<ToolCall> calls, Nanoseconds now) {
  began_ = now;
  calls_.clear();
  for (ToolCall& call : calls) {
    call.id = "call_" + std::to_string(++n_);
    calls_.push_back({call, std::nullopt});
  }
  return calls;
}

bool ToolCalls::put(const ToolResult& result) {
  const auto there = std::find_if(calls_.begin(), calls_.end(), [&](const Waiting& w) {
    return w.call.id == result.id && !w.result;
  });
  if (there == calls_.end() || result.result.size() > kLongestResult ||
      valid_utf8(result.result) != result.result)
    return false;
  there->result = result.result;
  return true;
}

void ToolCalls::give_up(const std::string& why) {
  for (Waiting& w : calls_)
    if (!w.result) w.result = tool_error(why);
}

std::vector<ToolCall> ToolCalls::expire(Nanoseconds now, Nanoseconds timeout) {
  std::vector<ToolCall> late;
  const auto left_of_it = left(now, timeout);
  if (!left_of_it || *left_of_it > 0) return late;
  for (const Waiting& w : calls_)
    if (!w.result) late.push_back(w.call);
  give_up("no result within " + std::to_string(timeout / (kSecond / 1000)) + " ms");
  return late;
}

std::optional<Nanoseconds> ToolCalls::left(Nanoseconds now, Nanoseconds timeout) const {
  if (timeout <= 0 || !are_waiting()) return std::nullopt;
  return std::max<Nanoseconds>(0, began_ + timeout - now);
}

bool ToolCalls::are_waiting() const {
  return std::any_of(calls_.begin(), calls_.end(), [](const Waiting& w) { return !w.result; });
}

std::vector<std::string> ToolCalls::take_results() {
  std::vector<std::string> results;
  for (Waiting& w : std::exchange(calls_, {})) results.push_back(std::move(*w.result));
  return results;
}

}  // namespace omni
