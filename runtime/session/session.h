// A Session over a text model and its prompter, which stay alive as long as `engine` does.
#pragma once

#include <memory>

#include "decoding/scheduler.h"
#include "interface/prompter.h"
#include "omni/session.h"

namespace omni {

std::unique_ptr<Session> make_session(std::shared_ptr<const void> engine, const Prompter& prompter,
                                      Scheduler& scheduler, const SessionOptions& options);

}  // namespace omni
