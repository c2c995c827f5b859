#include "core/log.h"

#include <mutex>

namespace omni {
namespace {
std::mutex g_lock;
LogSink g_sink;
}  // namespace

void set_log_sink(LogSink sink) {
  std::lock_guard lock(g_lock);
  g_sink = std::move(sink);
}

void log(LogLevel level, const std::string& line) {
  std::lock_guard lock(g_lock);
  if (g_sink) g_sink(level, line);
}

}  // namespace omni
