// The tokenizers of the public API over encoders that stay alive as long as `engine` does.
#pragma once

#include <memory>

#include "interface/audio.h"
#include "interface/vision.h"
#include "omni/audio.h"
#include "omni/video.h"

namespace omni {

std::unique_ptr<VideoTokenizer> make_video_tokenizer(std::shared_ptr<const void> engine,
                                                     const VisionEncoder& encoder, ThreadPool& pool,
                                                     const VideoOptions& options);
std::unique_ptr<AudioTokenizer> make_audio_tokenizer(std::shared_ptr<const void> engine,
                                                     const AudioEncoder& encoder, ThreadPool& pool,
                                                     const AudioOptions& options);

}  // namespace omni
