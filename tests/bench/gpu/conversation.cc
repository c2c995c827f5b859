// A conversation about a camera with sound, through the public API: what its media cost, when the
// first word comes and when the first sound.
#include <cstdio>
#include <thread>

#include "bench/gpu/bench.h"
#include "bench/gpu/live_media.h"

namespace omni::bench {

namespace {

constexpr double kTailOfUnit = .02;  // seconds that the encoder wants to see behind a unit

// Fills a session with chunks of 2 s of video at 2 frames a second and sound.
class Camera {
 public:
  Camera(const Engine& engine, PictureSize size)
      : video_(engine, size.width, size.height, {2, 1}, 1),
        sound_(engine.make_audio_tokenizer({})) {
    sound_->start(0);
    sound_->push(some_sound(size_t(kTailOfUnit * sound_->sample_rate()), 1));
  }

  struct Cost {
    double video = 0, sound = 0;  // seconds in the tokenizers
  };
  Cost put_chunk(Session& session) {
    Cost cost;
    for (int i = 0; i < 4; ++i) {
      const double begin = seconds();
      auto segment = video_.push();
      cost.video += seconds() - begin;
      if (segment) session.put(std::move(*segment));
    }
    const double begin = seconds();
    auto segments = sound_->push(some_sound(size_t(2 * sound_->sample_rate()), 2));
    cost.sound = seconds() - begin;
    for (Segment& segment : segments) session.put(std::move(segment));
    return cost;
  }

 private:
  LiveVideo video_;
  std::unique_ptr<AudioTokenizer> sound_;
};

std::unique_ptr<Session> open_session(const Engine& engine, bool wants_speech) {
  SessionOptions options;
  options.settings.has_video = options.settings.has_audio = true;
  options.settings.wants_pieces = true;
  options.settings.wants_speech = wants_speech;
  return engine.make_session(options);
}

// Seconds from the question to the first word.
double first_word(Session& session, int max_tokens, Answer& answer) {
  const double begin = seconds();
  double first = 0;
  const SamplingOptions sampling{.max_tokens = max_tokens};
  answer = ask_and_wait(session, {.text = "What is there to see?", .sampling = sampling},
                        [&](const Event& event) {
                          if (first == 0 && std::holds_alternative<TextPiece>(event.what))
                            first = seconds() - begin;
                        });
  return first;
}

void measure_written(Bench& bench, const Engine& engine) {
  const auto session = open_session(engine, false);
  Camera camera(engine, bench.sizes().video);
  Answer answer;
  double last = 0;
  Camera::Cost cost;
  CopiedBytes before, copied;
  for (int n = 0; n == 0 || (n < 8 && answer.prompt_tokens < bench.sizes().context); ++n) {
    const double begin = seconds();
    before = engine.copied();
    cost = camera.put_chunk(*session);
    first_word(*session, 1, answer);
    last = seconds() - begin;
    copied = engine.copied();
  }
  std::vector<double> words;
  for (int i = 0; i < 3; ++i) words.push_back(first_word(*session, 1, answer));
  const double word = median(words);
  const double begin = seconds();
  const double first = first_word(*session, bench.sizes().answer_tokens, answer);
  const double rest = seconds() - begin - first;
  std::printf(
      "written, %d tokens behind: a chunk of 2 s costs %.1f ms (video %.1f, sound %.1f, text "
      "model %.1f); first word %.1f ms, then %.2f ms a token\n",
      answer.prompt_tokens, 1e3 * (last - word), 1e3 * cost.video, 1e3 * cost.sound,
      1e3 * (last - word - cost.video - cost.sound), 1e3 * word,
      answer.tokens > 1 ? 1e3 * rest / (answer.tokens - 1) : 0);
  std::printf(
      "  copied for such a chunk and one token: %.3f MB to the device, %.3f MB to the host\n",
      double(copied.to_device - before.to_device) / 1e6,
      double(copied.to_host - before.to_host) / 1e6);
  std::fflush(stdout);
}

// What a listener hears of an utterance, who plays it from its first sound on.
struct Heard {
  double first = 0, last = 0;  // when its first and last piece came
  double first_sound = 0;      // seconds of sound in the first piece
  double sound = 0;            // seconds of sound
  double longest_gap = 0;      // seconds that a loudspeaker had nothing to play

  void listen(Speech& speech, double most_seconds) {
    while (sound < most_seconds) {
      const auto piece = speech.read(size_t(speech.sample_rate()) * 2);
      if (piece.empty()) break;
      last = seconds();
      const double length = double(piece.size()) / speech.sample_rate();
      if (sound == 0) first = last, first_sound = length;
      longest_gap = std::max(longest_gap, last - first - sound);
      sound += length;
    }
    speech.stop();
  }
};

void measure_spoken(Bench& bench, const Engine& engine) {
  const double opening = seconds();
  engine.load_speech();
  const double loaded = seconds() - opening;
  const auto session = open_session(engine, true);
  Camera camera(engine, bench.sizes().video);
  Answer answer;
  double begin = 0, word = 0;
  const auto ask_aloud = [&](int max_tokens) {
    Heard heard;
    std::thread listener;
    TurnId turn = 0;
    const SamplingOptions sampling{.max_tokens = max_tokens};
    begin = seconds(), word = 0;
    answer = ask_and_wait(*session, {.text = "What is there to see?", .sampling = sampling},
                          [&](const Event& event) {
                            if (const auto* u = std::get_if<Utterance>(&event.what)) {
                              turn = event.turn;
                              listener = std::thread([&heard, &bench, speech = u->speech] {
                                heard.listen(*speech, bench.sizes().speech_seconds);
                              });
                            }
                            if (word == 0 && std::holds_alternative<TextPiece>(event.what))
                              word = seconds() - begin;
                          });
    if (listener.joinable()) listener.join();
    if (turn) session->put(SpeechEnded{turn, SpeechEnd::finished, 0, 0});
    return heard;
  };
  const int64_t context = bench.sizes().context;
  for (int n = 0; n == 0 || (n < 8 && session->stats().context_tokens < context); ++n) {
    camera.put_chunk(*session);
    ask_aloud(1);
  }
  const Heard heard = ask_aloud(bench.sizes().answer_tokens);
  std::printf("aloud, %d tokens behind: first word %.1f ms, ", answer.prompt_tokens, 1e3 * word);
  if (heard.sound == 0)
    std::printf("no sound was made");
  else
    std::printf(
        "first sound %.1f ms (%.2f s of it), %.2f s of sound, %.3f × real time, longest gap %.1f "
        "ms",
        1e3 * (heard.first - begin), heard.first_sound, heard.sound,
        heard.sound > heard.first_sound
            ? (heard.last - heard.first) / (heard.sound - heard.first_sound)
            : 0,
        1e3 * heard.longest_gap);
  std::printf("; voice loaded in %.1f s\n", loaded);
}

}  // namespace

void measure_conversation(Bench& bench) {
  bench.unload();
  EngineOptions options;
  options.model_path = bench.folder().string();
  options.device = bench.device_name();
  options.precision = bench.precision();
  const double begin = seconds();
  const auto engine = Engine::open(options);
  std::printf("engine opened in %.1f s, computes on %s\n", seconds() - begin,
              engine->compute().c_str());
  if (engine->transcribes()) throw Error(ErrorCode::unsupported, "the checkpoint transcribes");
  measure_written(bench, *engine);
  if (std::filesystem::exists(bench.folder() / "spk_dict.pt")) measure_spoken(bench, *engine);
}

}  // namespace omni::bench
