// A recogniser as a stream over a family's encoder and decoder.
#pragma once

#include "core/thread_pool.h"
#include "interface/recogniser.h"
#include "omni/transcriber.h"

namespace omni {

// `engine` keeps model and pool alive.
std::unique_ptr<Transcriber> make_transcriber(std::shared_ptr<const void> engine,
                                              const Recogniser& model, ThreadPool& pool,
                                              const TranscriptionOptions& options);

}  // namespace omni
