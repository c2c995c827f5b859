// What a session says and when: triggers, pieces, objects, time under a clock, utterances, drops,
// without GStreamer. The clock is one that a test sets.
#include "session/events.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "omni/engine.h"

namespace omni {
namespace {

constexpr Nanoseconds kChunk = 2 * kSecond;

std::shared_ptr<const Engine> open(const std::string& folder) {
  return Engine::open(
      {.model_path = OMNI_SOURCE_DIR "/" + folder, .precision = Precision::float32});
}

std::shared_ptr<const Engine> random_engine() {
  static const auto e = open("tests/fixtures/qwen2_5_omni/a/checkpoint");
  return e;
}

std::shared_ptr<const Engine> speaking_engine() {
  static const auto e = open("models/nano");
  return e;
}

// A picture of noise: a second of video.
Segment picture(const Engine& engine, double start, double duration = 1) {
  Segment s;
  s.modality = Modality::video;
  s.hidden = engine.hidden();
  s.grid_t = 1, s.grid_h = 2, s.grid_w = 2;
  s.n_tokens = 4;
  s.seconds_per_grid = 1;
  s.start = Nanoseconds(start * double(kSecond));
  s.duration = Nanoseconds(duration * double(kSecond));
  s.source_width = 640, s.source_height = 480;
  s.resized_width = 56, s.resized_height = 56;
  for (int i = 0; i < s.n_tokens * s.hidden; ++i)
    s.embeddings.push_back(float((i * 7919) % 1000) / 1000 - 0.5f);
  return s;
}

SessionOptions watching(Trigger trigger) {
  SessionOptions o;
  o.settings.trigger = trigger;
  o.settings.has_video = true;
  o.settings.prompt = "Describe.";
  o.settings.spatial_prompt = "Detect.";
  o.settings.sampling.max_tokens = 4;
  o.most_waiting = 1000;
  return o;
}

template <class What>
std::vector<TimeSpan> spans(const std::vector<Event>& events) {
  std::vector<TimeSpan> out;
  for (const Event& e : events)
    if (as<What>(e)) out.push_back(e.span);
  return out;
}

TEST(SessionEvents, ACaptionForEveryChunkThenTheEnd) {
  const auto session = random_engine()->make_session(watching(Trigger::chunk));
  for (int i = 0; i < 5; ++i) session->put(picture(*random_engine(), i));
  session->put(TrackEnded{Track::video});
  const auto events = up_to<EndOfStream>(*session);
  EXPECT_EQ(spans<AnswerText>(events),
            (std::vector<TimeSpan>{{0, kChunk}, {kChunk, kChunk}, {2 * kChunk, kSecond}}));
  EXPECT_EQ(spans<TurnDone>(events).size(), 3u);
  EXPECT_EQ(events.at(events.size() - 2).span.end(), 5 * kSecond) << "time goes on to the end";
  EXPECT_TRUE(as<TimeAdvanced>(events.at(events.size() - 2)));
}

TEST(SessionEvents, SettingsChangeWhileItRuns) {
  const auto session = random_engine()->make_session(watching(Trigger::manual));
  session->put(picture(*random_engine(), 0));
  session->put(picture(*random_engine(), 1));
  EXPECT_EQ(up_to<TimeAdvanced>(*session).size(), 1u);
  SessionSettings s = session->settings();
  s.trigger = Trigger::chunk;
  s.prompt = "And now?";
  session->set(s);
  session->put(picture(*random_engine(), 2));
  session->put(picture(*random_engine(), 3));
  const auto events = up_to<TurnDone>(*session);
  EXPECT_EQ(as<TurnDone>(events.back())->question, "And now?");
}

// A question costs only itself: what has come of a chunk is in the context before it is complete.
TEST(SessionEvents, MediaEnterWhenTheyArrive) {
  const auto session = random_engine()->make_session(watching(Trigger::manual));
  const Answer before = ask_and_wait(*session, {"What?"});
  session->put(picture(*random_engine(), 0));
  const Answer after = ask_and_wait(*session, {"What?"});
  EXPECT_GE(after.prompt_tokens, before.prompt_tokens + 4);
  EXPECT_TRUE(after.picture);
}

// Chunks that become complete at once have all entered before a question that was put behind them.
TEST(SessionEvents, AQuestionIsAboutAllThatWasPutBefore) {
  SessionOptions o = watching(Trigger::manual);
  o.settings.has_audio = true;
  const auto tokens_of = [&](bool wait_for_end) {
    const auto session = random_engine()->make_session(o);
    for (int i = 0; i < 6; ++i) session->put(picture(*random_engine(), i));
    ask_and_wait(*session, {"What?"});  // all have been taken, and wait for the other track
    session->put(TrackEnded{Track::audio});
    session->put(TrackEnded{Track::video});
    if (wait_for_end) up_to<EndOfStream>(*session);
    return ask_and_wait(*session, {"What?"}).prompt_tokens;
  };
  const int all = tokens_of(true);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(tokens_of(false), all);
}

TEST(SessionEvents, PiecesAreTheAnswerAndTheLastIsMarked) {
  SessionOptions o = watching(Trigger::chunk);
  o.settings.wants_pieces = true;
  o.settings.sampling.max_tokens = 16;
  const auto session = random_engine()->make_session(o);
  session->put(picture(*random_engine(), 0));
  session->put(picture(*random_engine(), 1));
  const auto events = up_to<TurnDone>(*session);
  std::string text;
  size_t n = 0, n_last = 0;
  Nanoseconds at = 0;
  for (const Event& e : events) {
    const auto* piece = as<TextPiece>(e);
    if (!piece) continue;
    EXPECT_EQ(n_last, 0u) << "nothing behind the last";
    EXPECT_GE(e.span.start, at);
    EXPECT_LE(e.span.end(), kChunk);
    at = e.span.start;
    text += piece->text;
    n_last += piece->is_last;
    ++n;
    if (piece->is_last) {
      EXPECT_EQ(e.span.end(), kChunk) << "it lasts as long as the answer";
    }
  }
  EXPECT_GT(n, 2u);
  EXPECT_EQ(n_last, 1u);
  EXPECT_EQ(text, as<TurnDone>(events.back())->answer.text);
}

TEST(SessionEvents, ObjectsOnTheFrameThatWasSeen) {
  SessionOptions o = watching(Trigger::chunk);
  o.settings.wants_objects = true;
  o.settings.wants_text = false;
  o.settings.sampling.max_tokens = 80;
  o.settings.sampling.json_schema = "boxes";
  const auto session = random_engine()->make_session(o);
  session->put(picture(*random_engine(), 0));
  session->put(picture(*random_engine(), 1));
  const auto events = up_to<TurnDone>(*session);
  const auto found = std::find_if(events.begin(), events.end(),
                                  [](const Event& e) { return as<SpatialResult>(e) != nullptr; });
  ASSERT_NE(found, events.end());
  const auto* result = as<SpatialResult>(*found);
  EXPECT_EQ(result->question, "Detect.");
  EXPECT_EQ(result->frame_time, kSecond + kSecond / 2) << "the second of the pair";
  EXPECT_EQ(found->span, (TimeSpan{result->frame_time, kChunk - result->frame_time}));
  EXPECT_EQ(result->geometry.source_width, 640);
  EXPECT_TRUE(as<TurnDone>(events.back())->about_objects);
  EXPECT_EQ(session->stats().n_objects, result->objects.size());
}

TEST(SessionEvents, AQuestionThatCannotBeAskedIsNotTheEnd) {
  const auto session = random_engine()->make_session(watching(Trigger::manual));
  const TurnId turn = session->ask({"\xff\xfe What?"});
  for (;;) {
    const auto event = session->next();
    ASSERT_TRUE(event);
    const auto* failed = as<Failed>(*event);
    if (!failed) continue;
    EXPECT_EQ(event->turn, turn);
    EXPECT_FALSE(failed->is_fatal);
    EXPECT_NE(failed->question.find(" What?"), std::string::npos);
    break;
  }
  EXPECT_GT(ask_and_wait(*session, {"What?"}).tokens, 0);
}

TEST(SessionEvents, AWrongStandingQuestionEndsItUntilAReset) {
  SessionOptions o = watching(Trigger::chunk);
  o.settings.sampling.json_schema = R"({"type":"sound"})";
  const auto session = random_engine()->make_session(o);
  session->put(picture(*random_engine(), 0));
  session->put(picture(*random_engine(), 1));
  for (;;) {
    const auto event = session->next();
    ASSERT_TRUE(event);
    if (const auto* failed = as<Failed>(*event)) {
      EXPECT_TRUE(failed->is_fatal);
      break;
    }
  }
  SessionSettings s = session->settings();
  s.sampling.json_schema.clear();
  session->set(s);
  session->flush();
  EXPECT_GT(ask_and_wait(*session, {"What?"}).tokens, 0);
}

// --- bounds

TEST(SessionEvents, ThousandsOfQuestionsAreBoundedAndTheOldestRefused) {
  std::mutex gate;
  std::unique_lock closed(gate);
  SessionOptions o = watching(Trigger::manual);
  const auto tester = std::this_thread::get_id();
  o.clock = [&]() -> ClockReading {
    if (std::this_thread::get_id() != tester) std::lock_guard open(gate);
    return {};
  };
  o.settings.sampling.max_tokens = 1;
  const auto session = random_engine()->make_session(o);
  constexpr uint64_t kMany = 3000, kMost = 256;
  for (uint64_t i = 0; i < kMany; ++i) session->ask({"What?"});
  EXPECT_FALSE(session->put(UserText{"A file's question waits."}).accepted);
  closed.unlock();
  uint64_t n_done = 0;
  TurnId last = 0;
  while (n_done < kMost) {
    const auto event = session->next();
    ASSERT_TRUE(event);
    if (!as<TurnDone>(*event)) continue;
    ++n_done;
    EXPECT_GT(event->turn, last);
    last = event->turn;
  }
  EXPECT_EQ(last, kMany) << "the newest were kept";
  EXPECT_EQ(session->stats().n_refused, kMany - kMost);
}

TEST(SessionEvents, WhoWasRefusedIsToldOfRoom) {
  std::mutex lock;
  std::condition_variable changed;
  int n_rooms = 0;
  SessionOptions o = watching(Trigger::chunk);
  o.most_waiting = 2;
  o.on_room = [&] {
    std::lock_guard guard(lock);
    ++n_rooms;
    changed.notify_all();
  };
  const auto session = random_engine()->make_session(o);
  std::thread reader([&] { up_to<EndOfStream>(*session); });
  for (int i = 0; i < 40; ++i) {
    for (;;) {
      std::unique_lock guard(lock);
      const int seen = n_rooms;
      guard.unlock();
      if (session->put(picture(*random_engine(), i)).accepted) break;
      guard.lock();
      changed.wait(guard, [&] { return n_rooms != seen; });
    }
  }
  session->put(TrackEnded{Track::video});
  reader.join();
  EXPECT_EQ(session->stats().n_answers, 20u) << "nothing was lost";
  EXPECT_EQ(session->stats().n_dropped, 0u);
}

// A session whose thread is held up while a test puts things in, under a clock that the test sets.
class Live {
 public:
  explicit Live(SessionOptions o, std::shared_ptr<const Engine> engine = random_engine())
      : closed_(gate_) {
    const auto tester = std::this_thread::get_id();
    o.clock = [this, tester]() -> ClockReading {
      if (std::this_thread::get_id() != tester) std::lock_guard open(gate_);
      return {true, now.load()};
    };
    session = engine->make_session(o);
  }
  ~Live() { go(); }
  void go() {
    if (closed_.owns_lock()) closed_.unlock();
  }

  std::atomic<Nanoseconds> now{0};

 private:
  std::mutex gate_;
  std::unique_lock<std::mutex> closed_;

 public:
  std::unique_ptr<Session> session;
};

TEST(SessionEvents, LiveTheOldestSegmentMakesRoomAndIsNamed) {
  SessionOptions o = watching(Trigger::manual);
  o.most_waiting = 2;
  Live live(o);
  EXPECT_FALSE(live.session->put(picture(*random_engine(), 0)).dropped);
  live.session->put(picture(*random_engine(), 1));
  const Admission third = live.session->put(picture(*random_engine(), 2));
  EXPECT_TRUE(third.accepted);
  EXPECT_EQ(third.dropped, (TimeSpan{0, kSecond}));
  EXPECT_EQ(live.session->stats().n_dropped, 1u);
}

// Overload: what is owed beyond its promise is dropped, oldest first, so that what is answered is
// fresh.
TEST(SessionEvents, LiveWhatIsOverdueIsDroppedAndTold) {
  SessionOptions o = watching(Trigger::chunk);
  o.settings.promise = 3 * kSecond;
  Live live(o);
  for (int i = 0; i < 10; ++i) live.session->put(picture(*random_engine(), i));
  live.now = 8 * kSecond;
  live.go();
  const auto events = up_to<TurnDone>(*live.session);
  EXPECT_EQ(spans<TurnDropped>(events),
            (std::vector<TimeSpan>{{0, kChunk}, {kChunk, kChunk}, {2 * kChunk, kChunk}}))
      << "not that of 6 s, which is still owed at 8 s";
  EXPECT_EQ(events.back().span, (TimeSpan{3 * kChunk, kChunk}));
  EXPECT_EQ(as<TurnDone>(events.back())->due, 3 * kChunk);
  EXPECT_EQ(live.session->stats().n_overdue, 3u);
  for (const Event& e : events)
    if (const auto* dropped = as<TurnDropped>(e)) {
      EXPECT_EQ(int(dropped->why), int(TurnDropped::Why::overdue));
    }
}

TEST(SessionEvents, LiveTextMayBeStampedWhenItIsThere) {
  SessionOptions o = watching(Trigger::chunk);
  o.settings.stamped_when_ready = true;
  Live live(o);
  live.session->put(picture(*random_engine(), 0));
  live.session->put(picture(*random_engine(), 1));
  live.now = 7 * kSecond;
  live.go();
  const auto events = up_to<TurnDone>(*live.session);
  EXPECT_EQ(spans<AnswerText>(events), (std::vector<TimeSpan>{{7 * kSecond, kChunk}}));
  EXPECT_EQ(as<TurnDone>(events.back())->due, 0);
  EXPECT_EQ(events.back().span, (TimeSpan{0, kChunk})) << "the media, whenever it is there";
  for (const Event& e : events)
    if (const auto* text = as<AnswerText>(e)) {
      EXPECT_EQ(text->answered.media, (TimeSpan{0, kChunk}));
      EXPECT_EQ(text->answered.question, as<TurnDone>(events.back())->question);
    }
}

TEST(SessionEvents, WhatCameTooLateIsCountedToTheEnd) {
  Live live(watching(Trigger::chunk));
  for (int i = 0; i < 4; ++i) live.session->put(picture(*random_engine(), i));
  live.go();
  up_to<TurnDone>(*live.session);
  live.session->put(picture(*random_engine(), 0));
  live.session->put(picture(*random_engine(), 4));
  live.session->put(picture(*random_engine(), 5));
  for (int n = 0; n < 2; ++n) up_to<TurnDone>(*live.session);
  EXPECT_EQ(live.session->stats().n_late, 1u);
  live.session->reset();
  for (int i = 6; i < 8; ++i) live.session->put(picture(*random_engine(), i));
  up_to<TurnDone>(*live.session);
  EXPECT_EQ(live.session->stats().n_late, 1u) << "a new dialogue forgets media, not counters";
}

// --- tracks that bring nothing

// A second of noise to hear.
Segment sound(const Engine& engine, double start) {
  Segment s = picture(engine, start);
  s.modality = Modality::audio;
  s.grid_t = s.n_tokens, s.grid_h = s.grid_w = 1;
  s.seconds_per_grid = 0.25;
  return s;
}

SessionOptions watching_and_listening() {
  SessionOptions o = watching(Trigger::chunk);
  o.settings.has_audio = true;
  o.most_waiting = 4;
  return o;
}

// Puts pictures from `first` on until there is no room; how many.
int fill(Session& session, int first) {
  int n = 0;
  while (session.put(picture(*random_engine(), first + n)).accepted && n < 1000) ++n;
  return n;
}

TEST(SessionEvents, ATrackThatNeverComesIsGivenUpAndToldOfOnce) {
  SessionOptions o = watching_and_listening();
  std::mutex lock;
  std::condition_variable changed;
  int n_rooms = 0;
  o.patience_at_first = 0;
  o.patience = 3600 * kSecond;
  o.on_room = [&] {
    std::lock_guard guard(lock);
    ++n_rooms;
    changed.notify_all();
  };
  const auto session = random_engine()->make_session(o);
  for (int i = 0; i < 40; ++i) {
    const auto accepted = [&] { return session->put(picture(*random_engine(), i)).accepted; };
    std::unique_lock guard(lock);
    for (int seen = n_rooms; !accepted(); seen = n_rooms)
      changed.wait(guard, [&] { return n_rooms != seen; });
  }
  session->put(TrackEnded{Track::video});
  const auto events = up_to<EndOfStream>(*session);
  EXPECT_EQ(spans<AnswerText>(events).size(), 20u);
  EXPECT_EQ(spans<TrackSilent>(events).size(), 1u);
  EXPECT_EQ(session->stats().n_silent, 1u);
}

// It may have missed much by then; everything waits for it until it has caught up.
TEST(SessionEvents, AFileWaitsAgainForATrackThatGoesOn) {
  SessionOptions o = watching_and_listening();
  o.most_waiting = 100;
  o.patience_at_first = 0;
  o.patience = 3600 * kSecond;
  const auto session = random_engine()->make_session(o);
  for (int i = 0; i < 4; ++i) session->put(picture(*random_engine(), i));
  session->put(TrackEnded{Track::video});
  EXPECT_EQ(spans<AnswerText>(up_to<EndOfStream>(*session)).size(), 2u);
  session->put(TrackBegan{Track::video});
  session->put(sound(*random_engine(), 0));
  for (int i = 4; i < 6; ++i) session->put(picture(*random_engine(), i));
  ask_and_wait(*session, {"What?"});
  EXPECT_EQ(session->stats().n_answers, 3u) << "and not about the chunk without its sound";
  for (int i = 1; i < 6; ++i) session->put(sound(*random_engine(), i));
  EXPECT_EQ(up_to<AnswerText>(*session).back().span, (TimeSpan{2 * kChunk, kChunk}));
}

TEST(SessionEvents, AFileThatIsShorterThanTheRoomEndsToo) {
  SessionOptions o = watching_and_listening();
  o.patience_at_first = 0;
  const auto session = random_engine()->make_session(o);
  for (int i = 0; i < 3; ++i) session->put(picture(*random_engine(), i));
  session->put(TrackEnded{Track::video});
  const auto events = up_to<EndOfStream>(*session);
  EXPECT_EQ(spans<AnswerText>(events).size(), 2u);
  EXPECT_EQ(spans<TrackSilent>(events).size(), 1u);
}

// There is room, or it has begun: that something is only slow changes nothing.
TEST(SessionEvents, WhatIsSlowIsWaitedFor) {
  SessionOptions o = watching_and_listening();
  o.patience_at_first = 0;
  o.patience = 3600 * kSecond;
  for (const bool begun : {false, true}) {
    const auto session = random_engine()->make_session(o);
    if (begun) session->put(TrackBegan{Track::audio});
    for (int i = 0; i < 3; ++i) session->put(picture(*random_engine(), i));
    if (begun) fill(*session, 3);
    ask_and_wait(*session, {"What?"});
    EXPECT_EQ(session->stats().n_silent, 0u);
    for (int i = 0; i < 2; ++i) session->put(sound(*random_engine(), i));
    const auto events = up_to<AnswerText>(*session);
    EXPECT_EQ(events.back().span, (TimeSpan{0, kChunk}));
    EXPECT_TRUE(spans<TrackSilent>(events).empty());
  }
}

TEST(SessionEvents, WhoeverWaitsForASilentTrackIsWokenByAFlush) {
  SessionOptions o = watching_and_listening();
  o.patience = o.patience_at_first = 3600 * kSecond;
  const auto session = random_engine()->make_session(o);
  fill(*session, 0);
  ask_and_wait(*session, {"What?"});
  session->flush();
  EXPECT_GT(fill(*session, 0), 0);
}

TEST(SessionEvents, GapsAreTimeInWhichNothingComes) {
  const auto session = random_engine()->make_session(watching_and_listening());
  Segment nothing;
  nothing.modality = Modality::audio;
  nothing.duration = 100 * kSecond;
  session->put(nothing);
  for (int i = 0; i < 4; ++i) session->put(picture(*random_engine(), i));
  EXPECT_EQ(up_to<AnswerText>(*session).back().span, (TimeSpan{0, kChunk}));
  EXPECT_EQ(up_to<AnswerText>(*session).back().span, (TimeSpan{kChunk, kChunk}));
  EXPECT_EQ(session->stats().n_silent, 0u);
}

TEST(SessionEvents, LiveASilentTrackIsGivenUpWhenItsPromiseHasPassed) {
  SessionOptions o = watching_and_listening();
  o.settings.promise = 3 * kSecond;
  o.most_waiting = 100;
  Live live(o);
  for (int i = 0; i < 2; ++i) live.session->put(picture(*random_engine(), i));
  live.now = 2 * kSecond;
  live.go();
  ask_and_wait(*live.session, {"What?"});
  EXPECT_EQ(live.session->stats().n_answers, 1u) << "until then it is waited for";
  live.now = 3 * kSecond;
  live.session->put(picture(*random_engine(), 2));
  EXPECT_EQ(up_to<AnswerText>(*live.session).back().span, (TimeSpan{0, kChunk}));
  for (int i = 3; i < 16; ++i) {  // from now on at once
    live.now = (i + 1) * kSecond;
    live.session->put(picture(*random_engine(), i));
    if (i % 2 == 0) continue;
    const auto events = up_to<AnswerText>(*live.session);
    EXPECT_EQ(events.back().span, (TimeSpan{(i - 1) * kSecond, kChunk}));
    EXPECT_EQ(spans<TrackSilent>(events).size(), i == 9 ? 1u : 0u) << i << ": after 10 s, once";
  }
  EXPECT_EQ(live.session->stats().n_silent, 1u);
  for (int i = 16; i < 18; ++i) live.session->put(sound(*random_engine(), i));
  for (int i = 16; i < 18; ++i) live.session->put(picture(*random_engine(), i));
  EXPECT_EQ(up_to<AnswerText>(*live.session).back().span, (TimeSpan{16 * kSecond, kChunk}));
}

// --- what the model is told of tracks that a chunk has not got

// The answers to chunks, of a stream that has all these segments.
std::vector<std::string> answers(SessionOptions o, const std::vector<Segment>& segments,
                                 const std::shared_ptr<const Engine>& engine) {
  o.settings.sampling.max_tokens = 24;
  o.most_waiting = 1000;
  const auto session = engine->make_session(o);
  for (const Segment& s : segments) session->put(s);
  for (const Track t : {Track::video, Track::audio}) session->put(TrackEnded{t});
  std::vector<std::string> out;
  for (const Event& e : up_to<EndOfStream>(*session))
    if (const auto* text = as<AnswerText>(e)) out.push_back(text->text);
  return out;
}

// A chunk without pictures is asked about as one of sound alone, and one without sound as one of
// pictures alone, whatever the pads are and in whatever order it comes.
TEST(SessionEvents, AModelIsNotToldOfWhatIsMissing) {
  const Engine& e = *random_engine();
  SessionOptions both = watching_and_listening(), video = both, audio = both;
  both.context_duration = video.context_duration = audio.context_duration = kChunk;
  video.settings.has_audio = false;
  audio.settings.has_video = false;
  const std::vector<Segment> pictures = {picture(e, 0), picture(e, 1)},
                             later_sound = {sound(e, 2), sound(e, 3)};
  std::vector<Segment> mixed = pictures;
  mixed.insert(mixed.end(), later_sound.begin(), later_sound.end());
  std::vector<std::string> alone = answers(video, pictures, random_engine());
  for (std::string& a : answers(audio, later_sound, random_engine())) alone.push_back(std::move(a));
  EXPECT_EQ(answers(both, mixed, random_engine()), alone);
}

// --- flushes

TEST(SessionEvents, AFlushVoidsWhatWaitsAndWhatCameOut) {
  const auto session = random_engine()->make_session(watching(Trigger::chunk));
  for (int i = 0; i < 10; ++i) session->put(picture(*random_engine(), i));
  session->ask({"What?"});
  const uint64_t epoch = session->flush();
  for (int i = 0; i < 2; ++i) session->put(picture(*random_engine(), 100 + i));
  session->put(TrackEnded{Track::video});
  const auto events = up_to<EndOfStream>(*session);
  EXPECT_TRUE(as<Flushed>(events.at(0)));
  for (const Event& e : events) EXPECT_EQ(e.epoch, epoch);
  EXPECT_EQ(spans<AnswerText>(events), (std::vector<TimeSpan>{{100 * kSecond, kChunk}}));
}

TEST(SessionEvents, FlushesFromOtherThreadsAtAnyMoment) {
  const auto session = random_engine()->make_session(watching(Trigger::chunk));
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (const auto event = session->next())
      if (as<EndOfStream>(*event)) break;
  });
  std::thread flusher([&] {
    for (int i = 0; i < 60; ++i) {
      session->flush();
      session->reset();
      session->interrupt();
      std::this_thread::yield();
    }
    stop = true;
  });
  for (int i = 0; !stop; ++i) session->put(picture(*random_engine(), i % 50));
  flusher.join();
  session->flush();
  session->put(picture(*random_engine(), 0));
  session->put(TrackEnded{Track::video});
  reader.join();
}

// Sessions of one engine, of which some are interrupted, reset and flushed in the middle of what
// all say: nobody else notices, and what is said is what each would say alone, or the beginning of
// it.
TEST(SessionEvents, DisturbedAtRandomMomentsOfABatch) {
  SessionOptions o = watching(Trigger::manual);
  o.settings.wants_pieces = true;
  const Question question{
      "What?", SamplingOptions{
                   .max_tokens = 24,
                   .json_schema = R"({"type":"array","items":{"type":"integer"},"minItems":5})"}};
  const auto show = [](Session& s) {
    for (int i = 0; i < 3; ++i) s.put(picture(*random_engine(), i));
  };
  const auto begin = [&] {
    auto session = random_engine()->make_session(o);
    show(*session);
    return session;
  };
  const std::string whole = ask_and_wait(*begin(), question).text;
  ASSERT_GT(whole.size(), 5u);

  std::atomic<int> n_cut{0};
  const auto steady = [&] {
    const auto session = begin();
    for (int i = 0; i < 8; ++i) EXPECT_EQ(ask_and_wait(*session, question).text, whole);
  };
  const auto disturbed = [&](unsigned seed) {
    const auto session = begin();
    std::mt19937 random(seed);
    for (int round = 0; round < 12; ++round) {
      const unsigned how = random() % 3, when = random() % 16;
      unsigned n_pieces = 0;
      const auto disturb = [&] {
        if (how == 0) session->interrupt();
        if (how == 1) session->reset();
        if (how == 2) session->flush();
      };
      try {
        const Answer a = ask_and_wait(*session, question, [&](const Event& e) {
          if (as<TextPiece>(e) && n_pieces++ == when) disturb();
        });
        EXPECT_EQ(a.text, whole.substr(0, a.text.size()));
        n_cut += a.text != whole;
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::cancelled);
        EXPECT_EQ(how, 2u);
        ++n_cut;
      }
      if (n_pieces <= when) disturb();
      if (how != 0) show(*session);  // its media are forgotten
    }
    EXPECT_EQ(ask_and_wait(*session, question).text, whole);
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2; ++i) {
    threads.emplace_back(steady);
    threads.emplace_back(disturbed, i);
  }
  for (std::thread& t : threads) t.join();
  EXPECT_GT(n_cut, 0);
}

TEST(SessionEvents, AResetEndsAnAnswerEarlyAndForgetsTheMedia) {
  SessionOptions o = watching(Trigger::manual);
  o.settings.wants_pieces = true;
  const auto session = random_engine()->make_session(o);
  session->put(picture(*random_engine(), 0));
  int n = 0;
  // longer than the events that may wait
  const SamplingOptions longer{
      .max_tokens = 3000,
      .json_schema = R"({"type":"array","items":{"type":"integer"},"minItems":300})"};
  const Answer cut = ask_and_wait(*session, {"What?", longer}, [&](const Event& e) {
    if (as<TextPiece>(e) && ++n == 3) session->reset();
  });
  EXPECT_FALSE(cut.complete);
  EXPECT_TRUE(cut.picture);
  EXPECT_FALSE(ask_and_wait(*session, {"What?"}).picture);
}

TEST(SessionEvents, ATrackThatComesLaterBeginsAnew) {
  SessionOptions o = watching(Trigger::chunk);
  o.settings.has_video = false;
  const auto session = random_engine()->make_session(o);
  EXPECT_TRUE(session->put(picture(*random_engine(), 0)).accepted) << "and passed over";
  SessionSettings s = session->settings();
  s.has_video = true;
  session->set(s);
  session->put(TrackBegan{Track::video});
  session->put(picture(*random_engine(), 4));
  session->put(picture(*random_engine(), 5));
  const auto events = up_to<TurnDone>(*session);
  EXPECT_EQ(events.back().span, (TimeSpan{4 * kSecond, kChunk}));
}

// --- turns

// Noise for sound: 25 tokens a second.
Segment sound(const Engine& engine, double start, double duration) {
  Segment s;
  s.modality = Modality::audio;
  s.hidden = engine.hidden();
  s.n_tokens = s.grid_t = int(duration * 25);
  s.seconds_per_grid = 0.04;
  s.start = Nanoseconds(start * double(kSecond));
  s.duration = Nanoseconds(duration * double(kSecond));
  for (int i = 0; i < s.n_tokens * s.hidden; ++i)
    s.embeddings.push_back(float((i * 104729) % 1000) / 1000 - 0.5f);
  return s;
}

TurnEnded turn_ended(double start, double end, double time) {
  const auto ns = [](double s) { return Nanoseconds(s * double(kSecond)); };
  return {{ns(start), ns(end) - ns(start)}, ns(time)};
}

SessionOptions hearing() {
  SessionOptions o = watching(Trigger::turn);
  o.settings.has_video = false;
  o.settings.has_audio = true;
  o.settings.prompt = "";
  return o;
}

TEST(SessionEvents, ATurnIsAnsweredWhenItEnds) {
  const auto session = random_engine()->make_session(hearing());
  session->put(sound(*random_engine(), 0, 2));
  session->put(sound(*random_engine(), 2, 0.7));
  session->put(turn_ended(1.5, 2.2, 2.7));
  const auto events = up_to<TurnDone>(*session);  // before the stream goes on
  EXPECT_EQ(as<TurnDone>(events.back())->question, "");
  EXPECT_EQ(events.back().span, (TimeSpan{Nanoseconds(1.5e9), Nanoseconds(1.2e9)}));
  // all of the sound is in the context
  EXPECT_GE(as<TurnDone>(events.back())->answer.prompt_tokens, 67);
  session->put(sound(*random_engine(), 2.7, 2));
  session->put(sound(*random_engine(), 4.7, 2));
  session->put(TrackEnded{Track::audio});
  EXPECT_TRUE(spans<TurnDone>(up_to<EndOfStream>(*session)).empty());
}

TEST(SessionEvents, ATurnThatEndsWithTheStreamIsAnswered) {
  const auto session = random_engine()->make_session(hearing());
  session->put(sound(*random_engine(), 0, 1.2));
  session->put(turn_ended(0.5, 1.25, 1.25));
  session->put(TrackEnded{Track::audio});
  EXPECT_EQ(spans<TurnDone>(up_to<EndOfStream>(*session)).size(), 1u);
}

TEST(SessionEvents, WithVideoATurnOfAFileWaitsForThePictures) {
  SessionOptions o = hearing();
  o.settings.has_video = true;
  const auto session = random_engine()->make_session(o);
  session->put(sound(*random_engine(), 0, 1.5));
  session->put(turn_ended(0.2, 1, 1.5));
  session->put(picture(*random_engine(), 0));
  session->put(picture(*random_engine(), 1));
  session->put(sound(*random_engine(), 1.5, 2));
  const auto events = up_to<TurnDone>(*session);
  EXPECT_TRUE(as<TurnDone>(events.back())->answer.picture);
  EXPECT_EQ(events.back().span.end(), Nanoseconds(1.5e9));
}

TEST(SessionEvents, LiveATurnDoesNotWaitForPictures) {
  SessionOptions o = hearing();
  o.settings.has_video = true;
  o.clock = [] { return ClockReading{.live = true, .now = 2 * kSecond}; };
  const auto session = random_engine()->make_session(o);
  session->put(picture(*random_engine(), 0));
  session->put(sound(*random_engine(), 0, 1.5));
  session->put(turn_ended(0.2, 1, 1.5));
  up_to<TurnDone>(*session);
  session->put(picture(*random_engine(), 1));
  session->put(sound(*random_engine(), 1.5, 0.5));
  session->put(turn_ended(1.6, 1.8, 2));
  up_to<TurnDone>(*session);
  EXPECT_EQ(session->stats().n_late, 0u);
}

TEST(SessionEvents, AFlushForgetsTurnsAndOtherTriggersHaveNone) {
  const auto session = random_engine()->make_session(hearing());
  session->put(turn_ended(0.2, 1, 1.5));
  session->flush();
  for (int i = 0; i < 2; ++i) session->put(sound(*random_engine(), 2 * i, 2));
  SessionSettings s = session->settings();
  s.trigger = Trigger::manual;
  session->set(s);
  session->put(turn_ended(0.2, 1, 1.5));
  s.trigger = Trigger::turn;
  session->set(s);
  session->put(TrackEnded{Track::audio});
  EXPECT_TRUE(spans<TurnDone>(up_to<EndOfStream>(*session)).empty());
}

// --- speech

SessionOptions talking() {
  SessionOptions o;
  o.system_prompt = speaking_engine()->defaults().system_prompt.value_or("");
  o.settings.wants_speech = true;
  o.settings.sampling.max_tokens = 6;
  return o;
}

std::shared_ptr<Speech> utterance(const std::vector<Event>& events) {
  for (const Event& e : events)
    if (const auto* said = as<Utterance>(e)) return said->speech;
  return nullptr;
}

Nanoseconds play(Speech& speech) {
  size_t n = 0;
  for (auto x = speech.read(2400); !x.empty(); x = speech.read(2400)) n += x.size();
  return Nanoseconds(n) * kSecond / speech.sample_rate();
}

TEST(SessionEvents, TheTextOfSpeechHasTheTimeOfItsSound) {
  const auto session = speaking_engine()->make_session(talking());
  const TurnId turn = session->ask({"Describe the feed."});
  const auto events = up_to<TurnDone>(*session);
  EXPECT_TRUE(spans<AnswerText>(events).empty()) << "when it will be heard is not known yet";
  const auto speech = utterance(events);
  ASSERT_TRUE(speech);
  session->put(SpeechBegan{turn, 5 * kSecond});
  const Nanoseconds heard = play(*speech);
  EXPECT_GT(heard, 0);
  const auto text = up_to<AnswerText>(*session);
  EXPECT_EQ(text.back().span, (TimeSpan{5 * kSecond, heard}));
  EXPECT_EQ(as<AnswerText>(text.back())->answered.question, "Describe the feed.");
  EXPECT_EQ(as<AnswerText>(text.back())->answered.media, events.back().span);
  EXPECT_EQ(as<AnswerText>(text.back())->text, as<TurnDone>(events.back())->answer.text);
  session->put(SpeechEnded{turn, SpeechEnd::finished, 5 * kSecond, heard});
  EXPECT_EQ(session->stats().n_spoken, 1u);
}

TEST(SessionEvents, OneUtteranceEndsBeforeTheNextBeginsAndBeforeTheEnd) {
  SessionOptions o = talking();
  o.settings.has_questions = true;
  o.settings.barge_in = false;
  const auto session = speaking_engine()->make_session(o);
  for (int i = 0; i < 2; ++i) session->put(UserText{"Describe the feed."});
  session->put(TrackEnded{Track::questions});
  for (int i = 0; i < 2; ++i) {
    const auto events = up_to<TurnDone>(*session);
    ASSERT_TRUE(utterance(events)) << i;
    EXPECT_EQ(spans<EndOfStream>(events).size(), 0u);
    session->put(SpeechEnded{events.back().turn, SpeechEnd::interrupted, 0, 0});
  }
  up_to<EndOfStream>(*session);
  EXPECT_EQ(session->stats().n_interrupted, 2u);
}

TEST(SessionEvents, AQuestionBargesIn) {
  const auto session = speaking_engine()->make_session(talking());
  session->ask({"Describe the feed."});
  const auto events = up_to<TurnDone>(*session);
  const auto speech = utterance(events);
  ASSERT_TRUE(speech);
  std::atomic<int> n_changes{0};
  speech->on_change([&] { ++n_changes; });
  EXPECT_FALSE(speech->is_interrupted());
  session->ask({"And now?"});
  EXPECT_TRUE(speech->is_interrupted());
  EXPECT_GT(n_changes, 0) << "who plays it is told";
  speech->on_change({});
  session->put(SpeechEnded{events.back().turn, SpeechEnd::interrupted, 0, 0});
  const auto next = up_to<TurnDone>(*session);
  ASSERT_TRUE(utterance(next));
  EXPECT_FALSE(utterance(next)->is_interrupted());
}

TEST(SessionEvents, AVoiceEndsWhatIsSpoken) {
  SessionOptions o = talking();
  for (const bool barge_in : {false, true}) {
    o.settings.barge_in = barge_in;
    const auto session = speaking_engine()->make_session(o);
    session->ask({"Describe the feed."});
    const auto speech = utterance(up_to<TurnDone>(*session));
    ASSERT_TRUE(speech);
    session->put(VoiceBegan{kSecond});
    EXPECT_EQ(speech->is_interrupted(), barge_in);
  }
}

TEST(SessionEvents, WhereNobodyPlaysSpeechItIsText) {
  const auto session = speaking_engine()->make_session(talking());
  session->ask({"Describe the feed."});
  const auto events = up_to<TurnDone>(*session);
  ASSERT_TRUE(utterance(events));
  SessionSettings s = session->settings();
  s.wants_speech = false;
  session->set(s);
  EXPECT_FALSE(as<AnswerText>(up_to<AnswerText>(*session).back())->text.empty());
  session->ask({"And now?"});
  EXPECT_FALSE(utterance(up_to<TurnDone>(*session)));
}

TEST(SessionEvents, AReplyIsSpokenAsIfItWereTheAnswer) {
  const auto session = speaking_engine()->make_session(talking());
  session->ask({.text = "Say it.", .reply = "A red ball."});
  const auto events = up_to<TurnDone>(*session);
  EXPECT_EQ(as<TurnDone>(events.back())->answer.text, "A red ball.");
  const auto speech = utterance(events);
  ASSERT_TRUE(speech);
  EXPECT_GT(play(*speech), 0);
}

// With Trigger::event what is not new is spoken only where all is.
TEST(SessionEvents, WhichStandingAnswersAreSpokenIsASetting) {
  const auto engine = speaking_engine();
  const auto watch = [&](Trigger trigger, SpeakOn speak_on) {
    SessionOptions o = talking();
    o.settings.trigger = trigger;
    o.settings.speak_on = speak_on;
    o.settings.has_video = true;
    o.settings.prompt = "Describe the feed.";
    o.context_duration = kChunk;
    o.settings.sampling.max_tokens = 12;
    const auto session = engine->make_session(o);
    for (int i = 0; i < 4; ++i) {
      Segment s = picture(*engine, i);
      if (i >= 2) std::fill(s.embeddings.begin(), s.embeddings.end(), 0.f);
      session->put(std::move(s));
    }
    session->put(TrackEnded{Track::video});
    std::vector<bool> spoken;  // of each answer
    bool has_utterance = false;
    while (const auto event = session->next()) {
      has_utterance |= as<Utterance>(*event) != nullptr;
      if (as<TurnDone>(*event)) {
        spoken.push_back(std::exchange(has_utterance, false));
        session->put(SpeechEnded{event->turn, SpeechEnd::finished, 0, kSecond});
      }
      if (as<EndOfStream>(*event)) break;
    }
    return spoken;
  };
  const std::vector<bool> none{false, false}, all{true, true}, second{false, true};
  EXPECT_EQ(watch(Trigger::chunk, SpeakOn::change), all);
  EXPECT_EQ(watch(Trigger::chunk, SpeakOn::never), none);
  EXPECT_EQ(watch(Trigger::event, SpeakOn::change), second);
  EXPECT_EQ(watch(Trigger::event, SpeakOn::always), all);
  EXPECT_EQ(watch(Trigger::event, SpeakOn::never), none);
}

}  // namespace
}  // namespace omni
