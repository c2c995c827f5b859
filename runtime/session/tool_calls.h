// The calls of a turn that wait for their results. Decisions only: no lock, no clock.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/time.h"
#include "omni/tools.h"

namespace omni {

class ToolCalls {
 public:
  static constexpr size_t kLongestResult = size_t{64} << 10;  // bytes

  // These wait from now on, and nothing before them does. Returns them with ids that no other calls
  // of the session have.
  std::vector<ToolCall> begin(std::vector<ToolCall> calls, Nanoseconds now);
  // False, and nothing changes: no call of this id waits, or the result is too long or no UTF-8.
  bool put(const ToolResult& result);
  // Those that wait get an error in place of a result.
  void give_up(const std::string& why);
  // The same, once they have waited for `timeout` (0: for ever). Returns them.
  std::vector<ToolCall> expire(Nanoseconds now, Nanoseconds timeout);
  // How long they may still wait; nothing: for ever.
  std::optional<Nanoseconds> left(Nanoseconds now, Nanoseconds timeout) const;
  bool are_waiting() const;
  std::vector<std::string> take_results();  // in the order of the calls, all of which have one
  void clear() { calls_.clear(); }

 private:
  struct Waiting {
    ToolCall call;
    std::optional<std::string> result;
  };
  std::vector<Waiting> calls_;
  Nanoseconds began_ = 0;
  uint64_t n_ = 0;
};

// {"error": why}: what the model is told in place of a result.
std::string tool_error(const std::string& why);

}  // namespace omni
