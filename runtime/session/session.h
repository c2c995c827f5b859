// A Session over a model that stays alive as long as `engine` does.
#pragma once

#include <memory>

#include "models/model.h"
#include "omni/session.h"

namespace omni {

std::unique_ptr<Session> make_session(std::shared_ptr<const void> engine, const Model& model,
                                      ThreadPool& pool, const SessionOptions& options);

}  // namespace omni
