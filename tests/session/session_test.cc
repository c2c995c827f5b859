// The streaming law: however media are cut on their way in, tokens and text are those of the whole;
// sessions do not disturb each other; the window slides.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "decoding/sequence.h"
#include "models/registry.h"
#include "omni/engine.h"

namespace omni {
namespace {

constexpr const char* kFixture = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a";

std::string read(const std::string& path) {
  std::stringstream s;
  s << std::ifstream(path, std::ios::binary).rdbuf();
  return s.str();
}

struct Clip {
  int width = 200, height = 120, frames = 6;
  std::string rgb = read(std::string(kFixture) + "/input/video.rgb");
  std::vector<float> audio;
  Clip() {
    const std::string wav = read(std::string(kFixture) + "/input/audio.wav");
    audio.resize((wav.size() - 44) / 2);
    for (size_t i = 0; i < audio.size(); ++i) {
      int16_t v;
      std::memcpy(&v, wav.data() + 44 + 2 * i, 2);
      audio[i] = float(v) / 32768.f;
    }
  }
  VideoFrame frame(int i) const {
    const auto* p = reinterpret_cast<const uint8_t*>(rgb.data()) +
                    size_t(i % frames) * size_t(width) * size_t(height) * 3;
    return {PixelFormat::rgb,    width, height,         {p, nullptr, nullptr}, {width * 3, 0, 0},
            ColourMatrix::bt601, false, i * kSecond / 2};
  }
};

std::shared_ptr<const Engine> engine() {
  static const auto e = Engine::open(
      {.model_path = std::string(kFixture) + "/checkpoint", .precision = Precision::float32});
  return e;
}

// Greedy, and with room for all that a test puts in at once.
SessionOptions options(Nanoseconds context = 0, bool video = true, bool audio = true) {
  SessionOptions o;
  o.system_prompt = "You watch a live feed.";
  o.context_duration = context;
  o.settings.has_video = video;
  o.settings.has_audio = audio;
  o.most_waiting = 1000;
  return o;
}

std::unique_ptr<Session> session(Nanoseconds context = 0, bool video = true, bool audio = true) {
  return engine()->make_session(options(context, video, audio));
}

Answer ask(Session& s, const std::string& question, const SamplingOptions& sampling,
           const std::function<void(const Event&)>& on_event = {}) {
  return ask_and_wait(s, {question, sampling}, on_event);
}

void end(Session& s) {
  s.put(TrackEnded{Track::audio});
  s.put(TrackEnded{Track::video});
}

int64_t n_context_tokens(Session& s) { return s.stats().context_tokens; }

constexpr const char* kQuestion = "Describe what you see and hear.";

std::vector<Segment> audio_segments(const Clip& clip, size_t piece) {
  auto tokenizer = engine()->make_audio_tokenizer({});
  tokenizer->start(0);
  std::vector<Segment> out;
  for (size_t at = 0; at < clip.audio.size(); at += piece)
    for (auto& s : tokenizer->push(
             std::span(clip.audio).subspan(at, std::min(piece, clip.audio.size() - at))))
      out.push_back(std::move(s));
  for (auto& s : tokenizer->finish()) out.push_back(std::move(s));
  return out;
}

std::vector<Segment> video_segments(const Clip& clip, int frames) {
  auto tokenizer = engine()->make_video_tokenizer({});
  std::vector<Segment> out;
  for (int i = 0; i < frames; ++i)
    if (auto s = tokenizer->push(clip.frame(i))) out.push_back(std::move(*s));
  if (auto s = tokenizer->finish()) out.push_back(std::move(*s));
  return out;
}

TEST(StreamingLaw, AudioTokensDoNotDependOnTheSplit) {
  const Clip clip;
  const auto whole = audio_segments(clip, clip.audio.size());
  ASSERT_EQ(whole.size(), 2u);
  EXPECT_EQ(whole[0].n_tokens, 50);
  EXPECT_EQ(whole[1].n_tokens, 32);
  for (size_t piece : {1u, 159u, 160u, 441u, 32000u, 32041u}) {
    const auto cut = audio_segments(clip, piece);
    ASSERT_EQ(cut.size(), whole.size());
    for (size_t i = 0; i < cut.size(); ++i)
      EXPECT_EQ(cut[i].embeddings, whole[i].embeddings) << piece;
  }
}

TEST(StreamingLaw, TextDoesNotDependOnTheOrderOfArrival) {
  const Clip clip;
  const auto audio = audio_segments(clip, 1000), video = video_segments(clip, 6);
  std::mt19937 g(1);
  std::string first;
  for (int round = 0; round < 6; ++round) {
    auto s = session();
    size_t a = 0, v = 0;
    while (a < audio.size() || v < video.size()) {
      if (v == video.size() || (a < audio.size() && g() % 2))
        s->put(audio[a++]);
      else
        s->put(video[v++]);
      // enters as soon as possible, or all at the end
      if (round % 2) ask(*s, "Well?", {.max_tokens = 1});
    }
    end(*s);
    const Answer answer = ask(*s, kQuestion, {.max_tokens = 16});
    if (round == 0) first = answer.text;
    EXPECT_FALSE(answer.text.empty());
    EXPECT_EQ(answer.text, first);
  }
}

TEST(StreamingLaw, AQuestionLeavesTheContextAsItWas) {
  const Clip clip;
  const auto audio = audio_segments(clip, 500), video = video_segments(clip, 6);
  auto a = session(), b = session();
  for (const auto& s : {audio[0], video[0], video[1]}) a->put(s);
  ask(*a, "Where is the ball?", {.max_tokens = 8});
  EXPECT_GT(n_context_tokens(*a), 0);
  a->put(audio[1]);
  a->put(video[2]);
  end(*a);
  ask(*a, "Hello?", {.max_tokens = 5});
  for (const auto& s : audio) b->put(s);
  for (const auto& s : video) b->put(s);
  end(*b);
  EXPECT_EQ(ask(*a, kQuestion, {.max_tokens = 16}).text,
            ask(*b, kQuestion, {.max_tokens = 16}).text);
}

TEST(Session, TwoOnOneEngineAnswerAsEachAlone) {
  const Clip clip;
  auto run = [&](bool video, int questions) {
    auto s = session(0, video, !video);
    for (auto& x : video ? video_segments(clip, 6) : audio_segments(clip, 700)) s->put(x);
    end(*s);
    std::string all;
    for (int i = 0; i < questions; ++i) all += ask(*s, kQuestion, {.max_tokens = 12}).text + "|";
    return all;
  };
  const std::string alone_v = run(true, 3), alone_a = run(false, 3);
  std::string v, a;
  std::thread other([&] { v = run(true, 3); });
  a = run(false, 3);
  other.join();
  EXPECT_EQ(a, alone_a);
  EXPECT_EQ(v, alone_v);
}

TEST(Session, TheWindowSlidesWithoutGrowing) {
  const Clip clip;
  SessionOptions o = options(4 * kSecond);
  o.settings.trigger = Trigger::chunk;
  o.settings.prompt = kQuestion;
  o.settings.sampling.max_tokens = 4;
  auto s = engine()->make_session(o);
  auto video = engine()->make_video_tokenizer({});
  auto audio = engine()->make_audio_tokenizer({});
  audio->start(0);
  std::mt19937 g(2);
  int64_t most = 0;
  int n_answers = 0;
  for (int second = 0; second < 40; ++second) {
    for (int i = 0; i < 2; ++i)
      if (auto x = video->push(clip.frame(2 * second + i))) s->put(std::move(*x));
    std::vector<float> samples(16000);
    for (float& x : samples) x = float(g() % 2000) / 4000 - 0.25f;
    for (auto& x : audio->push(samples)) s->put(std::move(x));
  }
  end(*s);
  while (const auto event = s->next()) {
    if (std::holds_alternative<EndOfStream>(event->what)) break;
    const auto* done = std::get_if<TurnDone>(&event->what);
    if (!done) continue;
    ++n_answers;
    EXPECT_GT(done->answer.tokens, 0);
    most = std::max(most, int64_t(done->answer.prompt_tokens));
  }
  EXPECT_EQ(n_answers, 20);
  EXPECT_GT(most, 0);
  // Two chunks of media and the dialogue's beginning, however long it runs.
  EXPECT_LE(n_context_tokens(*s), most);
  EXPECT_LT(most, 600);
}

// Positions are relative: a cache turned back by some time answers as one that was filled at the
// earlier positions.
TEST(Sequence, ShiftedKeysAreThoseOfTheEarlierPositions) {
  const Family family =
      load_family({std::string(kFixture) + "/checkpoint", Precision::float32}, {});
  ThreadPool pool(2);
  auto rows_at = [](int32_t base) {
    Rows rows;
    rows.lane = Lane::audio;
    for (int32_t i = 0; i < 40; ++i) {
      rows.ids.push_back(10 + 7 * i % 300);
      rows.positions.push_back({base + i, base + i / 5, base + i % 5});
    }
    return rows;
  };
  auto logits_after = [&](Sequence& c, int32_t next) {
    c.cursor().next = next;
    c.decode(33);
    return c.logits();
  };
  Scheduler scheduler(*family.text, pool);
  Sequence moved(scheduler), placed(scheduler), unmoved(scheduler);
  moved.prefill(rows_at(150));
  moved.slide(0, 0, {Position{}, Position{}, Position{50, 50, 50}});
  EXPECT_EQ(moved.positions()[3], (Position{103, 100, 103}));
  EXPECT_EQ(moved.cursor().next, 140);
  placed.prefill(rows_at(100));
  unmoved.prefill(rows_at(150));
  const auto a = logits_after(moved, 140), b = logits_after(placed, 140),
             c = logits_after(unmoved, 140);
  double worst = 0, difference = 0, scale = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, double(std::abs(a[i] - b[i])));
    difference = std::max(difference, double(std::abs(a[i] - c[i])));
    scale = std::max(scale, double(std::abs(b[i])));
  }
  EXPECT_LT(worst / scale, 2e-5);
  EXPECT_GT(difference / scale, 1e-2);  // so the comparison means something
}

// With a window of one chunk, what was before must not matter at all: the answer is that of a
// session which has seen the chunk alone.
TEST(Session, AWindowOfOneChunkForgetsEverything) {
  const Clip clip;
  auto video = video_segments(clip, 12);
  auto alone = session(2 * kSecond, true, false), after = session(2 * kSecond, true, false);
  for (auto& s : video) after->put(s);
  for (size_t i = video.size() - 2; i < video.size(); ++i) alone->put(video[i]);
  end(*after);
  end(*alone);
  EXPECT_EQ(ask(*after, kQuestion, {.max_tokens = 16}).text,
            ask(*alone, kQuestion, {.max_tokens = 16}).text);
  EXPECT_EQ(n_context_tokens(*after), n_context_tokens(*alone));
}

// What lies in the window as a whole stays; one more second and its oldest chunk goes.
TEST(Session, TheWindowHoldsWhatLiesInItAsAWhole) {
  const Clip clip;
  const auto video = video_segments(clip, 16);  // of 8 s
  const auto rows = [&](Nanoseconds window, size_t first, size_t last) {
    auto s = session(window, true, false);
    for (size_t i = first; i < last; ++i) s->put(video[i]);
    end(*s);
    ask(*s, kQuestion, {.max_tokens = 1});
    return n_context_tokens(*s);
  };
  const int64_t four = rows(100 * kSecond, 0, 4), six = rows(100 * kSecond, 0, 6);
  EXPECT_GT(six, four);
  EXPECT_EQ(rows(4 * kSecond, 0, 8), four);
  EXPECT_EQ(rows(5 * kSecond, 0, 8), four);
  EXPECT_EQ(rows(6 * kSecond, 0, 8), six);
}

TEST(Session, AFlushEndsAnAnswerAndMakesItUsableAgain) {
  SessionOptions o = options(0, false, false);
  o.settings.wants_pieces = true;
  auto s = engine()->make_session(o);
  std::thread other;
  EXPECT_THROW(ask(*s, "Say hello.", {.max_tokens = 2000, .temperature = 100},
                   [&](const Event& e) {
                     if (!other.joinable() && std::holds_alternative<TextPiece>(e.what))
                       other = std::thread([&] { s->flush(); });
                   }),
               Error);
  other.join();
  EXPECT_GT(ask(*s, "Say hello.", {.max_tokens = 4}).tokens, 0);
}

TEST(Session, InterruptKeepsWhatWasSaid) {
  SessionOptions o = options(0, false, false);
  o.settings.wants_pieces = true;
  auto s = engine()->make_session(o);
  int pieces = 0;
  const Answer a =
      ask(*s, "Say hello.", {.max_tokens = 2000, .temperature = 100}, [&](const Event& e) {
        if (std::holds_alternative<TextPiece>(e.what) && ++pieces == 3) s->interrupt();
      });
  EXPECT_FALSE(a.complete);
  EXPECT_FALSE(a.text.empty());
  EXPECT_GT(ask(*s, "Say hello.", {.max_tokens = 4}).tokens, 0);
}

TEST(Session, APromptLongerThanTheContext) {
  auto s = session(0, false, false);
  try {
    std::string longer;
    for (int i = 0; i < 5000; ++i) longer += "ball ";
    ask(*s, longer, {});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(ErrorCode::invalid_argument));
    EXPECT_NE(std::string(e.what()).find("4096"), std::string::npos) << e.what();
  }
  EXPECT_GT(ask(*s, "Say hello.", {.max_tokens = 4}).tokens, 0);
}

TEST(Session, SegmentsThatDoNotFit) {
  auto s = session();
  Segment bad;
  bad.hidden = 3, bad.n_tokens = 2, bad.embeddings.resize(6);
  EXPECT_THROW(s->put(bad), Error);
}

TEST(Tokenizers, LowDetailIsAQuarterOfThePixels) {
  const Clip clip;
  const auto area = [&](Detail detail, int64_t most) {
    auto tokenizer = engine()->make_video_tokenizer({.detail = detail, .max_pixels = most});
    tokenizer->push(clip.frame(0));
    const auto s = tokenizer->push(clip.frame(1));
    return double(s->resized_width) * s->resized_height;
  };
  const double high = area(Detail::high, 16000), low = area(Detail::low, 16000);
  EXPECT_LE(high, 16000);
  EXPECT_LE(low, 4000);
  EXPECT_EQ(area(Detail::automatic, 16000), high);
}

TEST(Tokenizers, AResetForgetsHalfAPair) {
  const Clip clip;
  auto fresh = engine()->make_video_tokenizer({}), used = engine()->make_video_tokenizer({});
  used->push(clip.frame(5));
  used->reset();
  EXPECT_FALSE(used->finish());
  for (auto* t : {fresh.get(), used.get()}) EXPECT_FALSE(t->push(clip.frame(0)));
  const auto a = fresh->push(clip.frame(1)), b = used->push(clip.frame(1));
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->embeddings, b->embeddings);
  EXPECT_EQ(b->start, 0);
}

// The floor of the spectrogram follows the loudest of the window, and no longer: a bang is
// forgotten.
TEST(Tokenizers, TheFloorForgetsWhatWasLoud) {
  const auto last = [&](float first, Nanoseconds window) {
    auto tokenizer = engine()->make_audio_tokenizer({.normaliser_window = window});
    tokenizer->start(0);
    std::vector<Segment> out;
    for (int unit = 0; unit < 3; ++unit) {
      std::vector<float> samples(32000);
      for (size_t i = 0; i < samples.size(); ++i)
        samples[i] = (unit == 0 ? first : 0.001f) * float(std::sin(0.3 * double(i)));
      for (auto& s : tokenizer->push(samples)) out.push_back(std::move(s));
    }
    for (auto& s : tokenizer->finish()) out.push_back(std::move(s));
    return out.back().embeddings;
  };
  EXPECT_EQ(last(1, 2 * kSecond), last(0.001f, 2 * kSecond));
  EXPECT_NE(last(1, 60 * kSecond), last(0.001f, 60 * kSecond));
}

TEST(Tokenizers, OptionsThatMakeNoSense) {
  EXPECT_THROW(engine()->make_video_tokenizer({.frame_rate = {0, 1}}), Error);
  EXPECT_THROW(engine()->make_video_tokenizer({.min_pixels = 100000, .max_pixels = 1000}), Error);
  auto tokenizer = engine()->make_audio_tokenizer({});
  tokenizer->start(0);
  EXPECT_TRUE(tokenizer->push(std::vector<float>(300)).empty());
  EXPECT_TRUE(tokenizer->finish().empty());  // two mel frames are no token
}

}  // namespace
}  // namespace omni
