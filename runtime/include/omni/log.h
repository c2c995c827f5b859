// Where the runtime's log lines go. Without a sink they are dropped; the GStreamer elements install
// one that feeds a debug category.
#pragma once

#include <functional>
#include <string>

#include "omni/error.h"

namespace omni {

enum class LogLevel { warning, info, debug };

// Called from any thread of the runtime; must be thread-safe and quick.
using LogSink = std::function<void(LogLevel, const std::string&)>;

OMNI_API void set_log_sink(LogSink sink);

}  // namespace omni
