// The live policies: a look at the sound of the last seconds at every step.
#pragma once

#include <memory>

#include "core/thread_pool.h"
#include "interface/recogniser.h"
#include "omni/transcriber.h"

namespace omni {

// `engine` keeps model and pool alive.
std::unique_ptr<Transcriber> make_live_transcriber(std::shared_ptr<const void> engine,
                                                   const Recogniser& model, ThreadPool& pool,
                                                   const TranscriptionOptions& options);

}  // namespace omni
