// The policy `whole`: a recording in windows of 30 s (Whisper, section 3.8).
#pragma once

#include <memory>

#include "core/thread_pool.h"
#include "interface/recogniser.h"
#include "omni/transcriber.h"

namespace omni {

// `engine` keeps model and pool alive.
std::unique_ptr<Transcriber> make_long_form_transcriber(std::shared_ptr<const void> engine,
                                                        const Recogniser& model, ThreadPool& pool,
                                                        const TranscriptionOptions& options);

}  // namespace omni
