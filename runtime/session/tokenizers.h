// The tokenizers of the public API over a model that stays alive as long as `engine` does.
#pragma once

#include <memory>

#include "models/model.h"
#include "omni/audio.h"
#include "omni/video.h"

namespace omni {

std::unique_ptr<VideoTokenizer> make_video_tokenizer(std::shared_ptr<const void> engine,
                                                     const Model& model, ThreadPool& pool,
                                                     const VideoOptions& options);
std::unique_ptr<AudioTokenizer> make_audio_tokenizer(std::shared_ptr<const void> engine,
                                                     const Model& model, ThreadPool& pool,
                                                     const AudioOptions& options);

}  // namespace omni
