// Many live streams on one engine, their media at the pace of a clock: how many keep up.
#include <cstdio>
#include <mutex>
#include <thread>

#include "bench/gpu/bench.h"
#include "bench/gpu/live_media.h"

namespace omni::bench {

namespace {

constexpr int kCaptionTokens = 16;
constexpr double kChunk = 2;           // seconds
constexpr double kPieceOfSound = .25;  // seconds that are pushed at a time

void wait_until(double time) {
  std::this_thread::sleep_for(std::chrono::duration<double>(std::max(0., time - seconds())));
}

// Streams that begin one after the other within a chunk, as they do in life. `run` is called on a
// thread of each with the second in which it begins, and gives the lags of its results.
template <class Run>
std::vector<std::vector<double>> run_together(int n, const Run& run) {
  std::vector<std::vector<double>> lags(static_cast<size_t>(n));
  std::vector<std::thread> threads;
  std::exception_ptr error;
  std::mutex lock;
  const double begin = seconds() + .1;
  for (int i = 0; i < n; ++i)
    threads.emplace_back([&, i] {
      try {
        lags[size_t(i)] = run(i, begin + kChunk * i / n);
      } catch (...) {
        std::lock_guard guard(lock);
        error = std::current_exception();
      }
    });
  for (std::thread& t : threads) t.join();
  if (error) std::rethrow_exception(error);
  return lags;
}

// A stream keeps up when every result is there before the next one is due.
void report(const char* what, const std::vector<std::vector<double>>& lags, double due) {
  std::vector<double> all;
  int n_keep_up = 0;
  double worst = 0;
  for (const auto& of_stream : lags) {
    const double most =
        of_stream.empty() ? 0 : *std::max_element(of_stream.begin(), of_stream.end());
    n_keep_up += !of_stream.empty() && most <= due;
    worst = std::max(worst, most);
    all.insert(all.end(), of_stream.begin(), of_stream.end());
  }
  std::printf("%3zu streams of %s: %3d keep up; lag median %8.1f ms, worst %8.1f ms of %.0f\n",
              lags.size(), what, n_keep_up, all.empty() ? 0 : 1e3 * median(all), 1e3 * worst,
              1e3 * due);
  std::fflush(stdout);
}

std::unique_ptr<Session> open_captions(const Engine& engine) {
  SessionOptions options;
  options.settings.has_video = true;
  options.settings.trigger = Trigger::chunk;
  options.settings.prompt = "What is there to see?";
  options.settings.sampling.max_tokens = kCaptionTokens;
  return engine.make_session(options);
}

// Frames when they are due; for each caption how long after the last frame it is about.
std::vector<double> caption_stream(const Engine& engine, PictureSize size, double media_seconds,
                                   int number, double begin) {
  const auto session = open_captions(engine);
  LiveVideo video(engine, size.width, size.height, {1, 1}, unsigned(number));
  std::vector<double> lags, due;
  std::mutex lock;
  std::jthread reader([&](std::stop_token) {
    while (const auto event = session->next()) {
      if (std::holds_alternative<EndOfStream>(event->what)) break;
      if (const auto* failed = std::get_if<Failed>(&event->what)) {
        std::fprintf(stderr, "bench_gpu: %s\n", failed->error.what());
        break;
      }
      if (!std::holds_alternative<TurnDone>(event->what)) continue;
      std::lock_guard guard(lock);
      if (lags.size() < due.size()) lags.push_back(seconds() - due[lags.size()]);
    }
  });
  while (double(video.next_time()) / kSecond < media_seconds) {
    const double time = begin + double(video.next_time()) / kSecond;
    wait_until(time);
    auto segment = video.push();
    if (!segment) continue;
    {
      std::lock_guard guard(lock);
      due.push_back(time);
    }
    session->put(std::move(*segment));
  }
  session->put(TrackEnded{Track::video});
  reader.join();
  return lags;
}

// Sound when it is due; for each piece how long after it was due the transcriber was done with it.
std::vector<double> transcribed_stream(const Engine& engine, double media_seconds, int number,
                                       double begin) {
  const auto transcriber =
      engine.make_transcriber({.language = "en", .voice_gate = false});  // noise has no voice
  const auto n = size_t(kPieceOfSound * transcriber->sample_rate());
  const std::vector<float> sound = some_sound(n, unsigned(number));
  std::vector<double> lags;
  transcriber->start(0);
  for (int i = 1; i * kPieceOfSound <= media_seconds; ++i) {
    wait_until(begin + i * kPieceOfSound);
    transcriber->push(sound);
    lags.push_back(seconds() - begin - i * kPieceOfSound);
  }
  return lags;
}

}  // namespace

void measure_streams(Bench& bench) {
  bench.unload();
  const Sizes& sizes = bench.sizes();
  EngineOptions options;
  options.model_path = bench.folder().string();
  options.device = bench.device_name();
  options.precision = bench.precision();
  const auto engine = Engine::open(options);
  const bool transcribes = engine->transcribes();
  const auto run_all = [&](int n, double media_seconds) {
    return run_together(n, [&](int i, double begin) {
      return transcribes ? transcribed_stream(*engine, media_seconds, i, begin)
                         : caption_stream(*engine, sizes.stream_video, media_seconds, i, begin);
    });
  };
  run_all(1, kChunk);  // unmeasured
  for (const int n : transcribes ? sizes.transcribed : sizes.streams)
    if (transcribes)
      report("sound, looked at every second", run_all(n, sizes.media_seconds), 1);
    else
      report("video at 1 frame/s, a caption every 2 s", run_all(n, sizes.media_seconds), kChunk);
}

}  // namespace omni::bench
