// answer_talk FOLDER [THREADS] < conversations: what is answered to what is said in streams, with
// trigger `turn` and turns remembered, for tools/train/evaluate_talk.py. A conversation is a line
// `talk WIDTH HEIGHT FRAMES SAMPLES CONTEXT`, the RGB frames (2 a second) and the float32 samples
// (16 kHz); CONTEXT in ms. Its answers are lines, the ms of the end of the turn ahead of each, and
// then a line `end`.
#include <cstdio>
#include <iostream>
#include <sstream>

#include "bench/precision.h"
#include "omni/engine.h"
#include "omni/turn_detector.h"

using namespace omni;

namespace {

void put_video(const Engine& engine, Session& session, const std::string& rgb, int width,
               int height, int frames) {
  const auto video = engine.make_video_tokenizer({});
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
      session.put(std::move(*segment));
  }
  if (auto segment = video->finish()) session.put(std::move(*segment));
  session.put(TrackEnded{Track::video});
}

// As omniaudiotokenizer does: what was begun of a unit goes when a turn ends.
void put_sound(const Engine& engine, Session& session, std::span<const float> samples) {
  const auto audio = engine.make_audio_tokenizer({});
  const auto detector = make_turn_detector(kSecond / 2);
  size_t n = 0;
  const auto put = [&](std::vector<Segment> segments) {
    for (Segment& s : segments) session.put(std::move(s));
  };
  audio->start(0);
  detector->start(0);
  for (const TurnMark& mark : detector->push(samples)) {
    put(audio->push(samples.subspan(n, mark.at - n)));
    n = mark.at;
    const auto* ended = std::get_if<TurnEnded>(&mark.what);
    if (!ended) continue;
    put(audio->finish());
    audio->start(Nanoseconds(n) * kSecond / 16000);
    session.put(*ended);
  }
  put(audio->push(samples.subspan(n)));
  put(audio->finish());
  if (const auto ended = detector->finish()) session.put(*ended);
  session.put(TrackEnded{Track::audio});
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "answer_talk FOLDER [THREADS] < conversations\n");
    return 2;
  }
  const auto engine = Engine::open({.model_path = argv[1],
                                    .precision = asked_precision(Precision::float32),
                                    .threads = argc > 2 ? std::atoi(argv[2]) : 1});
  for (std::string head; std::getline(std::cin, head);) {
    std::istringstream s(head);
    std::string word;
    int width = 0, height = 0, frames = 0, samples = 0, context = 0;
    if (!(s >> word >> width >> height >> frames >> samples >> context) || word != "talk")
      throw Error(ErrorCode::corrupt_file, "no conversation: " + head);
    std::string rgb(size_t(width) * size_t(height) * 3 * size_t(frames), '\0');
    std::vector<float> sound(static_cast<size_t>(samples));
    std::cin.read(rgb.data(), std::streamsize(rgb.size()));
    std::cin.read(reinterpret_cast<char*>(sound.data()),
                  std::streamsize(sound.size() * sizeof(float)));
    SessionOptions options;
    options.system_prompt = engine->defaults().system_prompt.value_or("");
    options.context_duration = context * (kSecond / 1000);
    options.settings.trigger = Trigger::turn;
    options.settings.remember = true;
    options.settings.has_video = frames > 0;
    options.settings.has_audio = true;
    options.settings.sampling.max_tokens = 64;
    options.most_waiting = SIZE_MAX;
    const auto session = engine->make_session(options);
    if (frames > 0) put_video(*engine, *session, rgb, width, height, frames);
    put_sound(*engine, *session, sound);
    while (const auto event = session->next()) {
      if (std::holds_alternative<EndOfStream>(event->what)) break;
      if (const auto* failed = std::get_if<Failed>(&event->what)) throw Error(failed->error);
      if (const auto* done = std::get_if<TurnDone>(&event->what))
        std::printf("%lld %s\n", static_cast<long long>(event->span.end() / 1'000'000),
                    done->answer.text.c_str());
    }
    std::printf("end\n");
    std::fflush(stdout);
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "answer_talk: %s\n", e.what());
  return 1;
}
