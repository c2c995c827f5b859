#include "transcription/transcriber.h"

#include "transcription/live_transcriber.h"
#include "transcription/long_form_transcriber.h"

namespace omni {

std::unique_ptr<Transcriber> make_transcriber(std::shared_ptr<const void> engine,
                                              const Recogniser& model, ThreadPool& pool,
                                              const TranscriptionOptions& options) {
  if (options.policy == TranscriptionPolicy::whole)
    return make_long_form_transcriber(std::move(engine), model, pool, options);
  return make_live_transcriber(std::move(engine), model, pool, options);
}

}  // namespace omni
