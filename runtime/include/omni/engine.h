// A loaded checkpoint. Everyone who opens the same folder with the same options shares one copy of
// the weights; tokenizers and sessions made from it are independent of one another and may run at
// the same time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "omni/audio.h"
#include "omni/session.h"
#include "omni/transcriber.h"
#include "omni/video.h"

namespace omni {

struct EngineOptions {
  // A folder in the Hugging Face layout, or the name of one that was installed (docs/embedding.md).
  std::string model_path;
  // cpu, cuda or cuda:N; auto: the first GPU, where one answers and has room for the checkpoint,
  // else the CPU
  std::string device = "auto";
  // automatic = matrices that were published quantized as they are, the others as bfloat16 if the
  // checkpoint is stored so and the processor multiplies it, else as float32. int8 and int4
  // quantize a dense checkpoint when it is first opened; one that is quantized already passes over
  // them.
  Precision precision = Precision::automatic;
  int threads = 0;  // 0 = one for each processor
};

// What the checkpoint's files ask for: generation_config.json, its `omni` object, which wins, and
// the video processor's frame rate. A value is unset where they say nothing.
struct CheckpointDefaults {
  std::optional<std::string> system_prompt, prompt, spatial_prompt, trigger, nothing_new;
  std::optional<Rational> frame_rate;
  FrameSpread frame_spread = FrameSpread::arange;  // of a whole recording: the processor's class
  std::optional<int64_t> min_pixels, max_pixels;
  std::optional<double> context_duration;   // seconds
  std::optional<double> normaliser_window;  // seconds
  std::optional<int> max_tokens, top_k;
  std::optional<double> temperature, top_p, repetition_penalty;
  SpeechOptions speech;
};

// Where engines of a device compute, for those who share its memory.
struct CudaContext {
  void* context;  // CUcontext: the device's primary one
  int device;
};
struct CopiedBytes {
  uint64_t to_device = 0, to_host = 0;
};

class OMNI_API Engine {
 public:
  // Loads the checkpoint, or joins whoever has it loaded or is loading it. `progress` gets
  // fractions of 1 from this thread; what it throws ends the loading. Throws Error.
  static std::shared_ptr<const Engine> open(const EngineOptions& options,
                                            const std::function<void(double)>& progress = {});

  virtual ~Engine() = default;
  // 16 hexadecimal digits: the same for the same files
  virtual const std::string& fingerprint() const = 0;
  // Values of a token of media: the width of the text model, times 1 + the levels of features that
  // it takes beside embeddings.
  virtual int hidden() const = 0;
  virtual Precision precision() const = 0;  // never automatic
  // what computes: "avx2", "avx512 (bf16, vnni)", a device's name
  virtual std::string compute() const = 0;
  // Bytes that have been copied between the host and its device, by all who use that device.
  virtual CopiedBytes copied() const = 0;
  virtual bool on_device() const = 0;  // otherwise on the host
  virtual const CheckpointDefaults& defaults() const = 0;
  // the unit of time in which media enter the context
  virtual Nanoseconds chunk_duration() const = 0;
  virtual std::unique_ptr<VideoTokenizer> make_video_tokenizer(
      const VideoOptions& options) const = 0;
  virtual std::unique_ptr<AudioTokenizer> make_audio_tokenizer(
      const AudioOptions& options) const = 0;
  virtual std::unique_ptr<Session> make_session(const SessionOptions& options) const = 0;

  // The half that speaks is loaded by whoever first asks for it; here, on a device, it is tried out
  // as well, so that nothing is left to be planned when somebody listens. Throws unsupported where
  // the checkpoint has none.
  virtual void load_speech(const std::function<void(double)>& progress = {}) const = 0;
  virtual std::vector<std::string> voices() const = 0;
  // Loads it if need be. Throws invalid_argument for an unknown voice, with those there are.
  virtual std::unique_ptr<Speech> make_speech(const SpeechOptions& options) const = 0;

  // Of a family that transcribes (whisper); of such a checkpoint everything above throws
  // unsupported, as this does of the others.
  virtual bool transcribes() const = 0;
  virtual std::unique_ptr<Transcriber> make_transcriber(
      const TranscriptionOptions& options) const = 0;
};

// The instructions that engines on the host use: the best that this processor has, or what
// OMNI_CPU_ISA asks for; README lists them. Throws invalid_argument where that is none, or none of
// this processor's.
OMNI_API std::string cpu_instructions();

// Of an EngineOptions::device. Loads no checkpoint; empty for the host. With auto an engine may
// compute on the host nevertheless. Throws as Engine::open() does.
OMNI_API std::optional<CudaContext> cuda_context(const std::string& device);

}  // namespace omni
