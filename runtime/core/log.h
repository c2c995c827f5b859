// log(): one line to the sink that the host installed (omni/log.h).
#pragma once

#include "omni/log.h"

namespace omni {

void log(LogLevel level, const std::string& line);

}  // namespace omni
