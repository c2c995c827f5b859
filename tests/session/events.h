// Reading what comes out of a session.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "omni/session.h"

namespace omni {

template <class What>
const What* as(const Event& e) {
  return std::get_if<What>(&e.what);
}

// Far longer than anything takes: what comes later hangs.
constexpr std::chrono::seconds kLongestWait(60);

// Asks to stop once it has lasted for so long.
class TimeLimit {
 public:
  std::stop_token token() const { return passed_.get_token(); }
  bool has_passed() const { return passed_.stop_requested(); }

 private:
  void run(std::stop_token over) {
    std::mutex lock;
    std::unique_lock guard(lock);
    std::condition_variable_any changed;
    changed.wait_for(guard, over, kLongestWait, [] { return false; });
    if (!over.stop_requested()) passed_.request_stop();
  }
  std::stop_source passed_;
  std::jthread thread_{[this](std::stop_token over) { run(over); }};
};

// Events up to the first of a kind, that one included.
template <class What>
std::vector<Event> up_to(Session& s) {
  std::vector<Event> out;
  const TimeLimit limit;
  while (auto event = s.next(limit.token())) {
    if (const auto* failed = as<Failed>(*event)) ADD_FAILURE() << failed->error.what();
    out.push_back(std::move(*event));
    if (as<What>(out.back())) break;
  }
  if (limit.has_passed()) ADD_FAILURE() << "what was waited for does not come";
  return out;
}

}  // namespace omni
