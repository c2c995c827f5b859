// answer_clips FOLDER [THREADS [DEVICE]] < clips: answers questions about clips through the public
// API, for tools/train/evaluate.py. A clip is a line `clip WIDTH HEIGHT FRAMES SAMPLES QUESTIONS
// STILL TRACKS`, the RGB frames (2 a second), the float32 samples (16 kHz), and QUESTIONS lines.
// TRACKS: 1 video, 2 audio, 3 both; a track may have nothing. Each answer is a line, with the
// milliseconds that it took from the first frame ahead of it.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <sstream>

#include "bench/precision.h"
#include "omni/engine.h"

using namespace omni;

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "answer_clips FOLDER [THREADS [DEVICE]] < clips\n");
    return 2;
  }
  const auto engine = Engine::open({.model_path = argv[1],
                                    .device = argc > 3 ? argv[3] : "cpu",
                                    .precision = asked_precision(Precision::float32),
                                    .threads = argc > 2 ? std::atoi(argv[2]) : 1});
  for (std::string head; std::getline(std::cin, head);) {
    std::istringstream s(head);
    std::string word;
    int width = 0, height = 0, frames = 0, samples = 0, n_questions = 0, still = 0, tracks = 0;
    if (!(s >> word >> width >> height >> frames >> samples >> n_questions >> still >> tracks) ||
        word != "clip")
      throw Error(ErrorCode::corrupt_file, "no clip: " + head);
    std::string rgb(size_t(width) * size_t(height) * 3 * size_t(frames), '\0');
    std::vector<float> sound(static_cast<size_t>(samples));
    std::cin.read(rgb.data(), std::streamsize(rgb.size()));
    std::cin.read(reinterpret_cast<char*>(sound.data()),
                  std::streamsize(sound.size() * sizeof(float)));
    const auto begin = std::chrono::steady_clock::now();
    SessionOptions options;
    options.system_prompt = engine->defaults().system_prompt.value_or("");
    options.settings.has_video = (tracks & 1) != 0;
    options.settings.has_audio = (tracks & 2) != 0;
    options.settings.sampling.max_tokens = 160;
    options.most_waiting = SIZE_MAX;
    const auto session = engine->make_session(options);
    if (frames > 0) {
      const auto video = engine->make_video_tokenizer({.still = still != 0});
      for (int i = 0; i < frames; ++i) {
        const auto* data =
            reinterpret_cast<const uint8_t*>(rgb.data()) + rgb.size() / size_t(frames) * size_t(i);
        if (auto segment = video->push({PixelFormat::rgb,
                                        width,
                                        height,
                                        {data, nullptr, nullptr},
                                        {int64_t{width} * 3, 0, 0},
                                        ColourMatrix::bt601,
                                        false,
                                        i * kSecond / 2}))
          session->put(std::move(*segment));
      }
      if (auto segment = video->finish()) session->put(std::move(*segment));
    }
    if (options.settings.has_video) session->put(TrackEnded{Track::video});
    if (samples > 0) {
      const auto audio = engine->make_audio_tokenizer({});
      audio->start(0);
      for (Segment& segment : audio->push(sound)) session->put(std::move(segment));
      for (Segment& segment : audio->finish()) session->put(std::move(segment));
    }
    if (options.settings.has_audio) session->put(TrackEnded{Track::audio});
    for (int q = 0; q < n_questions; ++q) {
      std::string question;
      std::getline(std::cin, question);
      const Answer a = ask_and_wait(*session, {question});
      std::printf(
          "%.0f %s\n",
          std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
              .count(),
          a.text.c_str());
    }
    std::fflush(stdout);
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "answer_clips: %s\n", e.what());
  return 1;
}
