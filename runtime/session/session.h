// A Session over a prompter and the scheduler of its text model, which stay alive as long as
// `engine` does.
#pragma once

#include <functional>
#include <memory>

#include "decoding/scheduler.h"
#include "interface/prompter.h"
#include "omni/session.h"
#include "session/speech_stream.h"

namespace omni {

// Makes the speech of one answer. Throws Error.
using MakeSpeech = std::function<std::unique_ptr<SpeechStream>(const SpeechOptions&)>;

// checkpoint: what saved sessions of it are known by. Throws invalid_argument, unsupported for
// tools that are none or that the family has no template for.
std::unique_ptr<Session> make_session(std::shared_ptr<const void> engine, const Prompter& prompter,
                                      Scheduler& scheduler, MakeSpeech make_speech,
                                      const SessionOptions& options, std::string checkpoint = {});

}  // namespace omni
