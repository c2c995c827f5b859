// Watching: which answers to a standing question are news, and from which frame on. The model is a
// script: what it says is a function of the last picture that it sees.
#include "session/watch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <random>

#include "core/thread_pool.h"
#include "models/registry.h"
#include "session/session.h"
#include "text/fold.h"

namespace omni {
namespace {

TEST(Folded, IsWhatReadsTheSame) {
  EXPECT_EQ(folded("  A red\n\tball. "), "a red ball");
  EXPECT_EQ(folded("\"A RED BALL!\""), "a red ball");
  EXPECT_EQ(folded("Stra\xc3\x9f"
                   "e"),
            folded("STRASSE"));
  EXPECT_EQ(folded("e\xcc\x81"), folded("\xc3\x89"));  // composed or not
  EXPECT_NE(folded("-5 degrees"), folded("5 degrees"));
  EXPECT_NE(folded("3.5"), folded("35"));
  EXPECT_EQ(folded(""), "");
  EXPECT_EQ(folded(" ...\n"), "");
  EXPECT_EQ(folded("\xff broken"), "\xff broken");
}

TEST(Meaning, OfValuesIsTheirValue) {
  const auto same = [](const char* a, const char* b) {
    return is_same(meaning_of(a, "{}", ""), meaning_of(b, "{}", ""));
  };
  EXPECT_TRUE(same(R"({"people": 2, "fire": false})", R"({ "fire":false,"people":2.0 })"));
  EXPECT_FALSE(same(R"({"people": 2})", R"({"people": 3})"));
  EXPECT_FALSE(same(R"({"people": 2})", R"({"people": "2"})"));
  EXPECT_FALSE(same(R"(["a", "b"])", R"(["b", "a"])"));
  EXPECT_TRUE(same(R"("Red.")", R"( "Red.")"));
  EXPECT_FALSE(same(R"("Red.")", R"("red")"));                       // a value is what it is
  EXPECT_TRUE(same(R"({"people": [1, 2)", R"({"people": [1,  2)"));  // cut: a text
}

TEST(Meaning, OfATextIsItsNormalForm) {
  const auto meaning = [](const char* text) { return meaning_of(text, "", "Nothing new."); };
  EXPECT_TRUE(is_same(meaning("A ball."), meaning("a ball")));
  EXPECT_FALSE(is_same(meaning("A ball."), meaning("A bell.")));
  EXPECT_TRUE(is_same(meaning("nothing new"), Meaning()));
  EXPECT_FALSE(is_same(meaning("nothing newer"), Meaning()));
  EXPECT_FALSE(is_same(meaning_of("", "", ""), Meaning()));
}

SpatialObject box(const char* label, double x, double y, double size) {
  SpatialObject o;
  o.label = label;
  o.box = Box{x, y, x + size, y + size};
  return o;
}
SpatialObject point(const char* label, double x, double y) {
  SpatialObject o;
  o.label = label;
  o.point = Point{x, y};
  return o;
}

TEST(Meaning, OfObjectsIsWhatAndWhere) {
  const auto same = [](std::vector<SpatialObject> a, std::vector<SpatialObject> b) {
    return is_same(Meaning(Sighting{std::move(a)}), Meaning(Sighting{std::move(b)}));
  };
  EXPECT_TRUE(same({}, {}));
  EXPECT_FALSE(same({}, {box("ball", 0, 0, 100)}));
  EXPECT_TRUE(same({box("ball", 0, 0, 100)}, {box("ball", 10, 5, 100)}));
  EXPECT_FALSE(same({box("ball", 0, 0, 100)}, {box("ball", 60, 0, 100)}));
  EXPECT_FALSE(same({box("ball", 0, 0, 100)}, {box("bell", 0, 0, 100)}));
  EXPECT_TRUE(same({box("a", 0, 0, 100), box("b", 500, 500, 100)},
                   {box("b", 500, 500, 100), box("a", 0, 0, 100)}));
  EXPECT_FALSE(same({box("a", 0, 0, 100), box("a", 500, 500, 100)},
                    {box("a", 0, 0, 100), box("a", 0, 0, 100)}));  // each has its own
  EXPECT_TRUE(same({point("a", 100, 100)}, {point("a", 130, 140)}));
  EXPECT_FALSE(same({point("a", 100, 100)}, {point("a", 140, 140)}));
}

TEST(Watch, TheFirstAnswerIsWhatOthersAreComparedWith) {
  Watch watch;
  const auto is_news = [&](const char* text, const char* question = "What?") {
    return watch.is_news(question, meaning_of(text, "", "nothing new"));
  };
  EXPECT_FALSE(is_news("A ball."));
  EXPECT_FALSE(is_news("a ball"));
  EXPECT_TRUE(is_news("A bell."));
  EXPECT_FALSE(is_news("A bell."));
  EXPECT_TRUE(is_news("A ball."));
  EXPECT_FALSE(is_news("A red ball.", "And now?"));  // another question
  EXPECT_TRUE(is_news("A ball.", "And now?"));
  EXPECT_FALSE(is_news("Nothing new.", "And now?"));
  EXPECT_FALSE(is_news("Nothing new.", "And now?"));
  EXPECT_TRUE(is_news("A ball.", "And now?"));  // again
}

// What moves slowly is compared with where it was told to be.
TEST(Watch, AnObjectThatHasMovedIsNewsOnce) {
  Watch watch;
  int n = 0;
  for (int x = 0; x <= 300; x += 10)
    n += watch.is_news("Where?", Sighting{{box("ball", x, 0, 100)}});
  EXPECT_EQ(n, 7);  // every 40: half of both is covered up to 33
}

// --- a model that follows a script

constexpr int kHidden = 4;
constexpr Nanoseconds kChunk = 2 * kSecond, kPair = kSecond;

struct ScriptedRow {
  float scene;  // the last one seen by then
  int32_t id;   // −1: of media
};

class ScriptedState final : public SequenceState {
 public:
  int64_t length() const override { return int64_t(rows.size()); }
  void reserve(Arena&, Lane, int64_t) override {}
  void truncate(int64_t length) override { rows.resize(size_t(length)); }
  void slide(int64_t begin, int64_t end, const LaneShift&) override {
    rows.erase(rows.begin() + begin, rows.begin() + end);
  }
  SavedState save(Arena&) const override { return {}; }
  void load(Arena&, const SavedState&) override {}
  std::vector<ScriptedRow> rows;
};

class ScriptedModel final : public TextModel {
 public:
  // What it says of a scene in its nth answer.
  using Script = std::function<std::string(int scene, int nth)>;
  ScriptedModel(const Prompter& prompter, Script script)
      : prompter_(prompter), script_(std::move(script)) {
    while (!prompter.is_stop(stop_)) ++stop_;
  }

  const Device* device() const override { return nullptr; }
  int hidden() const override { return kHidden; }
  int64_t max_positions() const override { return 1 << 20; }
  ops::KvLayout kv_layout(DType type) const override { return {type, 1, 1, 8}; }
  std::unique_ptr<SequenceState> new_state(KvPages&) const override {
    return std::make_unique<ScriptedState>();
  }
  Tensor embed(ops::Context&, std::span<const int32_t> ids) const override {
    Tensor x = Tensor::zeros(DType::f32, {int64_t(ids.size()), kHidden});
    for (size_t i = 0; i < ids.size(); ++i) {
      x.f32()[i * kHidden] = -1;
      x.f32()[i * kHidden + 1] = float(ids[i]);
    }
    return x;
  }
  // Of each row: the scene, and how many tokens of its answer are there.
  Tensor forward(ops::Context&, const Tensor& x, std::span<const SequenceRows> rows,
                 ForwardWorkspace&) const override {
    Tensor y = Tensor::zeros(DType::f32, x.shape());
    int64_t row = 0;
    for (const SequenceRows& r : rows) {
      auto& state = static_cast<ScriptedState&>(*r.state).rows;
      for (size_t i = 0; i < r.positions.size(); ++i, ++row) {
        const float* in = x.f32() + row * kHidden;
        const float scene = in[0] >= 0 ? in[0] : state.empty() ? 0 : state.back().scene;
        state.push_back({scene, in[0] >= 0 ? -1 : int32_t(in[1])});
        y.f32()[row * kHidden] = scene;
        y.f32()[row * kHidden + 1] = float(n_said(state));
      }
    }
    return y;
  }
  Tensor logits(ops::Context&, const Tensor& hidden) const override {
    Tensor y = Tensor::zeros(DType::f32, {hidden.dim(0), prompter_.tokenizer().n_tokens()});
    for (int64_t i = 0; i < hidden.dim(0); ++i) {
      const float* in = hidden.f32() + i * kHidden;
      const std::vector<int32_t> ids = answer(int(in[0]));
      const bool ends = size_t(in[1]) >= ids.size();
      if (ends) ++n_answers_;
      y.f32()[i * y.dim(1) + (ends ? stop_ : ids[size_t(in[1])])] = 1;
    }
    return y;
  }
  int n_answers() const { return n_answers_; }

 private:
  std::vector<int32_t> answer(int scene) const {
    return prompter_.tokenizer().encode_text(script_(scene, n_answers_));
  }
  // The last rows that are the beginning of the answer.
  size_t n_said(const std::vector<ScriptedRow>& rows) const {
    const std::vector<int32_t> ids = answer(int(rows.back().scene));
    for (size_t n = std::min(ids.size(), rows.size()); n > 0; --n)
      if (std::equal(ids.begin(), ids.begin() + std::ptrdiff_t(n), rows.end() - std::ptrdiff_t(n),
                     [](int32_t id, const ScriptedRow& row) { return id == row.id; }))
        return n;
    return 0;
  }

  const Prompter& prompter_;
  const Script script_;
  int32_t stop_ = 0;
  mutable std::atomic<int> n_answers_{0};
};

// A pair of frames.
Segment picture(int nth, int scene, Nanoseconds duration = kPair) {
  Segment s;
  s.hidden = kHidden;
  s.grid_t = 1, s.grid_h = s.grid_w = 2;
  s.n_tokens = 4;
  s.seconds_per_grid = double(duration) / kSecond;
  s.start = nth * duration;
  s.duration = duration;
  s.source_width = s.source_height = s.resized_width = s.resized_height = 1000;
  s.embeddings.assign(size_t(s.n_tokens * kHidden), float(scene));
  return s;
}

class Watching : public testing::Test {
 protected:
  struct Seen {
    std::vector<Event> texts, objects, pieces;
    std::vector<Event> done;
    Nanoseconds text_until = 0;
    int n_gaps = 0;  // of text
  };

  static SessionOptions options() {
    SessionOptions o;
    o.settings.trigger = Trigger::event;
    o.settings.has_video = true;
    o.settings.prompt = "What is there?";
    o.settings.spatial_prompt = "Where?";
    o.settings.sampling.max_tokens = 64;
    o.context_duration = 8 * kSecond;
    return o;
  }
  // What comes of a feed whose scene of each pair is told.
  Seen watch(const SessionOptions& o, const std::vector<int>& scenes, Nanoseconds each = kPair) {
    const auto session = make_session(nullptr, *family_.prompter, scheduler_, {}, o);
    Seen seen;
    std::jthread feeder([&](const std::stop_token&) {
      for (size_t i = 0; i < scenes.size(); ++i)
        while (!session->put(picture(int(i), scenes[i], each)).accepted) std::this_thread::yield();
      session->put(Input(TrackEnded{Track::video}));
    });
    while (auto event = session->next()) {
      if (std::holds_alternative<EndOfStream>(event->what)) break;
      note(seen, std::move(*event));
    }
    remembered_ = session->remembered();
    n_news_ = session->stats().n_news;
    return seen;
  }
  static void note(Seen& seen, Event event) {
    const auto* advanced = std::get_if<TimeAdvanced>(&event.what);
    const bool is_text = std::holds_alternative<AnswerText>(event.what);
    if (is_text || (advanced && advanced->text)) {
      EXPECT_GE(event.span.end(), seen.text_until);
      seen.n_gaps += !is_text;
      seen.text_until = event.span.end();
    }
    if (const auto* failed = std::get_if<Failed>(&event.what))
      ADD_FAILURE() << failed->error.what();
    if (is_text) seen.texts.push_back(event);
    if (std::holds_alternative<SpatialResult>(event.what)) seen.objects.push_back(event);
    if (std::holds_alternative<TextPiece>(event.what)) seen.pieces.push_back(event);
    if (std::holds_alternative<TurnDone>(event.what)) seen.done.push_back(std::move(event));
  }

  ScriptedModel::Script script_ = [](int scene, int) { return "Scene " + std::to_string(scene); };
  const Family family_ = load_family(
      {OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint", Precision::float32}, {});
  ScriptedModel model_{*family_.prompter,
                       [this](int scene, int nth) { return script_(scene, nth); }};
  ThreadPool pool_{1};
  Scheduler scheduler_{model_, pool_};
  std::vector<RememberedTurn> remembered_;
  uint64_t n_news_ = 0;
};

const std::string& text_of(const Event& e) { return std::get<AnswerText>(e.what).text; }

// An hour with 40 changes at any second; the same is said in other words now and then.
TEST_F(Watching, EveryChangeIsOneEventAtItsFrame) {
  constexpr int kSeconds = 3600, kChanges = 40;
  script_ = [](int scene, int nth) {
    const std::string text = std::to_string(scene) + " balls";
    return nth % 3 == 0 ? " " + text + "." : nth % 3 == 1 ? text : text + " ";
  };
  for (const bool remembers : {false, true}) {
    std::mt19937 random(7);
    std::vector<int> scenes(kSeconds, 1), changes;
    for (int i = 0; i < kChanges; ++i)  // a minute and a half each, not in two chunks on end
      changes.push_back(90 * i + 4 + int(random() % 80));
    for (size_t i = 0; i < changes.size(); ++i)
      std::fill(scenes.begin() + changes[i], scenes.end(), int(i % 7) + 2);
    SessionOptions o = options();
    o.settings.remember = remembers;
    const int before = model_.n_answers();
    const Seen seen = watch(o, scenes);
    ASSERT_EQ(seen.texts.size(), size_t(kChanges));
    for (size_t i = 0; i < seen.texts.size(); ++i) {
      const Event& e = seen.texts[i];
      EXPECT_EQ(folded(text_of(e)), std::to_string(i % 7 + 2) + " balls");
      const Nanoseconds change = changes[i] * kSecond;
      EXPECT_EQ(e.span.start, change + kPair / 2) << i;  // the last frame of the pair
      EXPECT_EQ(e.span.end(), (changes[i] / 2 + 1) * kChunk);
      EXPECT_EQ(std::get<AnswerText>(e.what).answered.media.start, changes[i] / 2 * kChunk);
    }
    EXPECT_EQ(seen.text_until, kSeconds * kSecond);
    EXPECT_EQ(n_news_, uint64_t(kChanges));
    // asked once a chunk, and once more for each change that may have been earlier in it
    EXPECT_EQ(model_.n_answers() - before, kSeconds / 2 + kChanges);
    EXPECT_EQ(seen.done.size(), size_t(kSeconds / 2));
    EXPECT_EQ(std::count_if(seen.done.begin(), seen.done.end(),
                            [](const Event& e) { return std::get<TurnDone>(e.what).is_news; }),
              kChanges);
    EXPECT_LE(remembered_.size(), remembers ? 1u : 0u);  // the last one, if its media are there
  }
}

// Of a chunk of four pairs those up to the first that says it are asked about again.
TEST_F(Watching, AChunkIsSearchedFromItsBeginning) {
  const Seen seen = watch(options(), {1, 1, 1, 1, 1, 2, 2, 2}, kPair / 2);
  ASSERT_EQ(seen.texts.size(), 1u);
  EXPECT_EQ(seen.texts[0].span.start, 5 * kPair / 2 + kPair / 4);
  EXPECT_EQ(model_.n_answers(), 2 + 2);
}

TEST_F(Watching, AStaticHourIsSilent) {
  SessionOptions o = options();
  o.settings.wants_pieces = true;
  script_ = [](int, int) { return "A ball."; };
  const Seen seen = watch(o, std::vector<int>(3600, 1));
  EXPECT_TRUE(seen.texts.empty() && seen.pieces.empty());
  EXPECT_EQ(seen.text_until, 3600 * kSecond);
  EXPECT_EQ(seen.done.size(), 1800u);
  EXPECT_GE(seen.n_gaps, 1800);
  for (const Event& e : seen.done) EXPECT_FALSE(std::get<TurnDone>(e.what).is_news);
}

TEST_F(Watching, ObjectsThatTrembleAreNotNews) {
  SessionOptions o = options();
  o.settings.wants_objects = true;
  o.settings.wants_text = false;
  script_ = [](int, int nth) {
    return R"([{"bbox_2d": [10, 10, 20)" + std::to_string(nth % 5) + R"(, 200], "label": "ball"}])";
  };
  const Seen seen = watch(o, std::vector<int>(200, 1));
  EXPECT_TRUE(seen.objects.empty());
  EXPECT_EQ(seen.done.size(), 100u);
}

TEST_F(Watching, WhatSaysNothingNewIsNeverTold) {
  SessionOptions o = options();
  o.settings.nothing_new = "Nothing new.";
  script_ = [](int scene, int) {
    return scene == 1 ? "nothing new" : "Ball " + std::to_string(scene);
  };
  const Seen seen = watch(o, {1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 2, 2, 3, 3, 1, 1});
  std::vector<std::string> texts;
  for (const Event& e : seen.texts) texts.push_back(text_of(e));
  EXPECT_EQ(texts, (std::vector<std::string>{"Ball 2", "Ball 2", "Ball 3"}));
}

TEST_F(Watching, ValuesAreBoundToTheirSchema) {
  SessionOptions o = options();
  o.settings.sampling.json_schema =
      R"({"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]})";
  script_ = [](int scene, int) { return R"({"n":)" + std::to_string(scene) + "}"; };
  const Seen seen = watch(o, {1, 1, 1, 1, 2, 2, 2, 2});
  ASSERT_EQ(seen.texts.size(), 1u);
  EXPECT_EQ(text_of(seen.texts[0]), R"({"n":2})");
}

// Objects leave on the frame from which on they are so, text when it changes.
TEST_F(Watching, ObjectsAreNewsOfTheirOwn) {
  SessionOptions o = options();
  o.settings.wants_objects = true;
  o.settings.wants_text = false;
  script_ = [](int scene, int) {
    const std::string x = std::to_string(100 * scene), end = std::to_string(100 * scene + 90);
    return R"([{"bbox_2d": [)" + x + ", 10, " + end + R"(, 100], "label": "ball"}])";
  };
  const Seen seen = watch(o, {1, 1, 1, 1, 1, 3, 3, 3, 5, 5, 5, 5});
  ASSERT_EQ(seen.objects.size(), 2u);
  EXPECT_EQ(seen.objects[0].span.start, 5 * kPair + kPair / 2);
  EXPECT_EQ(seen.objects[1].span.start, 8 * kPair + kPair / 2);
  const auto& result = std::get<SpatialResult>(seen.objects[1].what);
  EXPECT_EQ(result.frame_time, 8 * kPair + kPair / 2);
  ASSERT_EQ(result.objects.size(), 1u);
  EXPECT_EQ(result.objects[0].box->x1, 500);
}

TEST_F(Watching, PiecesAreTheWholeOfWhatIsNew) {
  SessionOptions o = options();
  o.settings.wants_pieces = true;
  const Seen seen = watch(o, {1, 1, 1, 1, 2, 2, 2, 2});
  ASSERT_EQ(seen.pieces.size(), 1u);
  EXPECT_EQ(std::get<TextPiece>(seen.pieces[0].what).text, "Scene 2");
  EXPECT_TRUE(std::get<TextPiece>(seen.pieces[0].what).is_last);
  EXPECT_EQ(seen.pieces[0].span, seen.texts[0].span);
}

TEST_F(Watching, WhatWasToldIsRememberedAndNothingElse) {
  SessionOptions o = options();
  o.settings.remember = true;
  o.context_duration = 60 * kSecond;
  watch(o, {1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3});
  ASSERT_EQ(remembered_.size(), 2u);
  EXPECT_EQ(remembered_[0].answer, "Scene 2");
  EXPECT_EQ(remembered_[1].answer, "Scene 3");
}

}  // namespace
}  // namespace omni
