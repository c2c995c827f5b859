// What a session remembers of a conversation: turns and what was heard of them, what leaves, and
// where the rest then stands.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "core/thread_pool.h"
#include "models/registry.h"
#include "omni/engine.h"
#include "session/dialogue.h"
#include "session/media.h"

namespace omni {
namespace {

constexpr Nanoseconds kChunk = 2 * kSecond;
constexpr const char* kRandom = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint";
constexpr const char* kLevels = OMNI_SOURCE_DIR "/tests/fixtures/qwen3_omni/a/checkpoint";
constexpr const char* kPictures = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_vl/a/checkpoint";

// Of a picture of another size than the model's.
Segment media(Modality modality, int hidden, double start, unsigned seed) {
  Segment s = omni::media(modality, hidden, Nanoseconds(start * double(kSecond)), seed);
  s.source_width = 640, s.source_height = 480;
  return s;
}

// --- a dialogue by itself

class Memory : public testing::TestWithParam<const char*> {
 protected:
  Dialogue dialogue(int64_t most_rows = 0, Nanoseconds window = 60 * kSecond) {
    return Dialogue(*family_.prompter, scheduler_, masks_,
                    {.system_prompt = "You watch.",
                     .tracks = {true, hears()},
                     .context_duration = window,
                     .remembers = true,
                     .most_rows = most_rows});
  }
  bool hears() const { return family_.audio != nullptr; }
  // Two seconds from `start` on, of media that `seed` tells.
  void show(Dialogue& d, int chunk, unsigned seed) {
    const double start = 2.0 * chunk;
    const int width = family_.text->media_width();
    for (int i = 0; i < 2; ++i)
      d.add({chunk * kChunk, kChunk},
            media(Modality::video, width, start + i, 100 * seed + unsigned(i)));
    for (int i = 0; i < 2 && hears(); ++i)
      d.add({chunk * kChunk, kChunk},
            media(Modality::audio, width, start + i, 100 * seed + 10 + unsigned(i)));
  }
  Answer ask(Dialogue& d, const std::string& question, TurnId turn) {
    const std::atomic<bool> interrupted{false};
    const SamplingOptions greedy{.max_tokens = 8};
    return d.ask(question, {.sampling = greedy,
                            .on_token = [](const AnswerToken&) {},
                            .interrupted = interrupted,
                            .remembered_as = turn});
  }
  static std::vector<int32_t> ids(const Dialogue& d) {
    return {d.sequence().ids().begin(), d.sequence().ids().end()};
  }
  static void expect_same_rows(const Dialogue& a, const Dialogue& b) {
    EXPECT_EQ(ids(a), ids(b));
    EXPECT_EQ(a.sequence().positions(), b.sequence().positions());
  }

  const Family family_ = load_family({GetParam(), Precision::float32}, {});
  ThreadPool pool_{2};
  Scheduler scheduler_{*family_.text, pool_};
  AnswerMasks masks_{*family_.prompter};
};

INSTANTIATE_TEST_SUITE_P(Families, Memory, testing::Values(kRandom, kPictures, kLevels),
                         [](const auto& tested) {
                           return std::string(tested.param == kRandom     ? "hears"
                                              : tested.param == kPictures ? "sees"
                                                                          : "qwen3_omni");
                         });

// Where the rest stands when a turn has left is where it would be had the turn never been.
TEST_P(Memory, ATurnLeavesAsAWhole) {
  Dialogue all = dialogue(), later = dialogue();
  show(all, 0, 1);
  ask(all, "What is this?", 1);
  show(all, 1, 2);
  const std::string second = ask(all, "And now?", 2).text;
  show(all, 2, 3);
  const int64_t before = all.n_rows();
  // the first two have left the window when this chunk comes, and the third chunk has not
  show(all, 32, 4);
  ASSERT_EQ(all.turns().size(), 0u);
  EXPECT_LT(all.n_rows(), before);
  show(later, 2, 3);
  show(later, 32, 4);
  expect_same_rows(all, later);
  EXPECT_EQ(all.sequence().positions().front(), Position{});
  EXPECT_EQ(ask(all, "What?", 0).picture->time, ask(later, "What?", 0).picture->time);
}

TEST_P(Memory, TheOldestTurnsLeaveFirst) {
  Dialogue all = dialogue(), later = dialogue();
  show(all, 0, 1);
  ask(all, "What is this, and where does it come from?", 1);
  show(all, 10, 2);
  const std::string second = ask(all, "And now?", 2).text;
  ask(all, "Sure?", 3);
  show(all, 30, 3);
  ASSERT_EQ(all.turns().size(), 2u) << "only the first is older than a minute";
  EXPECT_EQ(all.turns().front().turn, 2u);
  show(later, 10, 2);
  later.say("And now?", second, nullptr, 2);
  later.say("Sure?", all.turns().back().answer, nullptr, 3);
  show(later, 30, 3);
  expect_same_rows(all, later);
  // and it goes on from there
  const std::string third = ask(all, "Where?", 4).text;
  later.say("Where?", third, nullptr, 4);
  expect_same_rows(all, later);
  show(all, 31, 4);
  show(later, 31, 4);
  expect_same_rows(all, later);
}

TEST_P(Memory, TheWindowOfAnOpenRunSlidesBehindTurns) {
  Dialogue all = dialogue(0, 8 * kSecond), later = dialogue(0, 8 * kSecond);
  show(all, 0, 1);
  ask(all, "What is this?", 1);
  for (int i = 1; i < 20; ++i) {
    show(all, i, unsigned(10 + i));
    if (i == 3) {
      EXPECT_EQ(all.turns().size(), 1u);
    }
    if (i > 8) show(later, i, unsigned(10 + i));
  }
  EXPECT_TRUE(all.turns().empty());
  expect_same_rows(all, later);
}

TEST_P(Memory, SizeBoundsItAsAgeDoes) {
  Dialogue d = dialogue(150);
  int64_t most = 0;
  size_t turns = 0;
  for (int i = 0; i < 12; ++i) {
    show(d, i, unsigned(i));
    ask(d, "What is this?", TurnId(i + 1));
    most = std::max(most, d.n_rows());
    turns = std::max(turns, d.turns().size());
    EXPECT_EQ(d.turns().back().turn, TurnId(i + 1)) << "the last one stays";
  }
  EXPECT_LE(most, 150);
  EXPECT_LT(turns, 4u);
  EXPECT_GE(turns, 1u);
}

// A question that fits nowhere costs no memory of the others.
TEST_P(Memory, AQuestionThatIsTooLongForgetsNothing) {
  Dialogue d = dialogue();
  ask(d, "What is this?", 1);
  const auto before = ids(d);
  std::string longer;
  for (int i = 0; i < 5000; ++i) longer += "ball ";
  EXPECT_THROW(ask(d, longer, 2), Error);
  EXPECT_EQ(ids(d), before);
  EXPECT_EQ(d.turns().size(), 1u);
  // one that fits once the oldest have left does so
  longer.resize(5 * 1000);
  for (TurnId turn = 3; turn < 8; ++turn) ask(d, longer, turn);
  EXPECT_LT(d.turns().size(), 6u);
  EXPECT_EQ(d.turns().back().turn, 7u);
}

// --- sessions

std::shared_ptr<const Engine> open(const std::string& folder) {
  return Engine::open({.model_path = folder, .precision = Precision::float32});
}

std::shared_ptr<const Engine> random_engine() {
  static const auto e = open(kRandom);
  return e;
}

std::shared_ptr<const Engine> speaking_engine() {
  static const auto e = open(OMNI_SOURCE_DIR "/models/nano");
  return e;
}

SessionOptions remembering() {
  SessionOptions o;
  o.system_prompt = "You watch.";
  o.settings.has_video = true;
  o.settings.sampling.max_tokens = 6;
  o.settings.prompt = "Describe.";
  o.settings.spatial_prompt = "Detect.";
  o.settings.remember = true;
  o.most_waiting = 1000;
  return o;
}

Segment picture(double start, unsigned seed = 1) {
  return media(Modality::video, random_engine()->hidden(), start, seed);
}

template <class What>
std::vector<Event> up_to(Session& s) {
  std::vector<Event> out;
  while (auto event = s.next()) {
    if (const auto* failed = std::get_if<Failed>(&event->what))
      ADD_FAILURE() << failed->error.what();
    out.push_back(std::move(*event));
    if (std::get_if<What>(&out.back().what)) break;
  }
  return out;
}

TEST(SessionMemory, IsAskedFor) {
  for (const bool remember : {false, true}) {
    SessionOptions o = remembering();
    o.settings.remember = remember;
    const auto session = random_engine()->make_session(o);
    const Answer first = ask_and_wait(*session, {"What?"});
    EXPECT_EQ(session->remembered().size(), size_t(remember));
    EXPECT_EQ(session->stats().remembered_turns, int64_t(remember));
    const Answer second = ask_and_wait(*session, {"What?"});
    EXPECT_EQ(second.prompt_tokens > first.prompt_tokens, remember);
    if (!remember) continue;
    const std::vector<RememberedTurn> turns = session->remembered();
    ASSERT_EQ(turns.size(), 2u);
    EXPECT_EQ(turns[0].question, "What?");
    EXPECT_EQ(turns[0].answer, first.text);
    EXPECT_EQ(turns[1].answer, second.text);
    EXPECT_LT(turns[0].turn, turns[1].turn);
  }
}

TEST(SessionMemory, AQuestionMayLeaveNoTrace) {
  const auto session = random_engine()->make_session(remembering());
  ask_and_wait(*session, {"What?"});
  const int64_t before = session->stats().context_tokens;
  ask_and_wait(*session, {.text = "Psst?", .remembered = false});
  EXPECT_EQ(session->remembered().size(), 1u);
  EXPECT_EQ(session->stats().context_tokens, before);
}

TEST(SessionMemory, CaptionsAreTurnsAndObjectsAreNot) {
  SessionOptions o = remembering();
  o.settings.trigger = Trigger::chunk;
  o.settings.wants_objects = true;
  const auto session = random_engine()->make_session(o);
  for (int i = 0; i < 4; ++i) session->put(picture(i));
  session->put(TrackEnded{Track::video});
  up_to<EndOfStream>(*session);
  EXPECT_EQ(session->stats().n_answers, 4u);
  const auto turns = session->remembered();
  ASSERT_EQ(turns.size(), 2u);
  for (const RememberedTurn& t : turns) EXPECT_EQ(t.question, "Describe.");
}

TEST(SessionMemory, FlushAndResetForgetTurns) {
  const auto session = random_engine()->make_session(remembering());
  const Answer first = ask_and_wait(*session, {"What?"});
  for (const bool flush : {false, true}) {
    ask_and_wait(*session, {"And now?"});
    EXPECT_FALSE(session->remembered().empty());
    if (flush)
      session->flush();
    else
      session->reset();
    EXPECT_TRUE(session->remembered().empty());
    EXPECT_EQ(ask_and_wait(*session, {"What?"}).prompt_tokens, first.prompt_tokens);
    EXPECT_EQ(session->remembered().size(), 1u);
  }
}

TEST(SessionMemory, WithoutSpeechAnInterruptedAnswerIsWhatWasWritten) {
  SessionOptions o = remembering();
  o.settings.wants_pieces = true;
  const auto session = random_engine()->make_session(o);
  int n = 0;
  const Answer a =
      ask_and_wait(*session, {"What?", SamplingOptions{.max_tokens = 2000, .temperature = 100}},
                   [&](const Event& e) {
                     if (std::holds_alternative<TextPiece>(e.what) && ++n == 3)
                       session->interrupt();
                   });
  ASSERT_EQ(session->remembered().size(), 1u);
  EXPECT_EQ(session->remembered()[0].answer, a.text);
}

// --- what was heard

// Of nano's own, which it can say; kHalf: the words that end within half of its letters.
constexpr const char *kReply = "Video: red screen. Audio: silence.", *kHalf = "Video: red";

SessionOptions talking() {
  SessionOptions o = remembering();
  o.system_prompt = speaking_engine()->defaults().system_prompt.value_or("");
  o.settings.wants_speech = true;
  return o;
}

Segment seen(double start, unsigned seed) {
  return media(Modality::video, speaking_engine()->hidden(), start, seed);
}

struct Said {
  TurnId turn;
  std::shared_ptr<Speech> speech;
};

Said say(Session& session, const std::string& reply) {
  session.ask({.text = "What?", .reply = reply});
  Said said{};
  for (const Event& e : up_to<TurnDone>(session))
    if (const auto* u = std::get_if<Utterance>(&e.what)) said = {e.turn, u->speech};
  EXPECT_TRUE(said.speech);
  return said;
}

Nanoseconds play(Speech& speech) {
  size_t n = 0;
  for (auto x = speech.read(2400); !x.empty(); x = speech.read(2400)) n += x.size();
  return Nanoseconds(n) * kSecond / speech.sample_rate();
}

// Until the chunk that begins at `time` has entered.
void wait_for_chunk(Session& session, Nanoseconds time) {
  while (const auto event = session.next())
    if (std::holds_alternative<TimeAdvanced>(event->what) && event->span.end() >= time) return;
}

Answer ask_behind(Session& session) {
  return ask_and_wait(
      session,
      {.text = "And now?", .sampling = SamplingOptions{.max_tokens = 4}, .remembered = false});
}

// A cut answer is one that had never been longer: rows, positions, and what is answered then.
TEST(SessionMemory, ACutAnswerIsWhatWasHeard) {
  SessionOptions o = talking();
  o.settings.barge_in = false;
  for (const double share : {0.0, 0.5, 1.0}) {
    const auto cut = speaking_engine()->make_session(o),
               shorter = speaking_engine()->make_session(o);
    for (Session* s : {cut.get(), shorter.get()}) {
      s->put(seen(0, 1));
      s->put(seen(1, 2));
    }
    const Said said = say(*cut, kReply);
    cut->put(SpeechBegan{said.turn, kSecond});
    const Nanoseconds whole = play(*said.speech);
    ASSERT_GT(whole, 0);
    // media go on while it is spoken
    for (int i = 2; i < 6; ++i) cut->put(seen(i, unsigned(i)));
    wait_for_chunk(*cut, 4 * kSecond);
    cut->put(SpeechEnded{said.turn, share == 1 ? SpeechEnd::finished : SpeechEnd::interrupted,
                         kSecond, Nanoseconds(share * double(whole))});
    const Answer a = ask_behind(*cut);
    const std::string heard = cut->remembered().back().answer;
    EXPECT_EQ(heard, share == 0 ? "" : share == 0.5 ? kHalf : kReply);
    // without a reply it would be generated
    const Said told = say(*shorter, heard.empty() ? kReply : heard);
    shorter->put(SpeechEnded{
        told.turn, heard.empty() ? SpeechEnd::interrupted : SpeechEnd::finished, kSecond, 0});
    for (int i = 2; i < 6; ++i) shorter->put(seen(i, unsigned(i)));
    const Answer b = ask_behind(*shorter);
    EXPECT_EQ(a.text, b.text) << share;
    EXPECT_EQ(a.prompt_tokens, b.prompt_tokens) << share;
  }
}

// Nobody waits for who plays it: what has been read was heard.
TEST(SessionMemory, AQuestionOverAnAnswerKnowsWhatWasRead) {
  SessionOptions o = talking();
  o.settings.has_video = false;
  o.clock = [] { return ClockReading{.live = true}; };
  const auto session = speaking_engine()->make_session(o);
  const Said first = say(*session, kReply);
  session->put(SpeechBegan{first.turn, kSecond});
  const Nanoseconds whole = up_to<AnswerText>(*session).back().span.duration;
  while (first.speech->n_read() < whole / 2 - kSecond / 50) first.speech->read(240);
  const TurnId second = session->ask({.text = "And now?", .reply = "Eight nine."});
  EXPECT_EQ(up_to<TurnDone>(*session).back().turn, second);
  ASSERT_EQ(session->remembered().size(), 2u);
  EXPECT_EQ(session->remembered()[0].answer, kHalf);
  // told too late: it has been looked back on
  session->put(SpeechEnded{first.turn, SpeechEnd::interrupted, kSecond, whole});
  ask_behind(*session);
  EXPECT_EQ(session->remembered()[0].answer, kHalf);
  EXPECT_EQ(session->remembered()[1].answer, "") << "which nobody has read";
}

TEST(SessionMemory, WhereNobodyPlaysItAllOfItWasSaid) {
  SessionOptions o = talking();
  o.settings.has_video = false;
  const auto session = speaking_engine()->make_session(o);
  say(*session, kReply);
  SessionSettings s = session->settings();
  s.wants_speech = false;
  session->set(s);
  ask_behind(*session);
  EXPECT_EQ(session->remembered()[0].answer, kReply);
}

// Media, questions, cuts, interruptions, flushes and resets in any order, from two threads: what is
// remembered are turns that were asked, in their order, within the bounds.
TEST(SessionMemory, InAnyOrder) {
  SessionOptions o = remembering();
  o.context_duration = 8 * kSecond;
  o.context_tokens = 400;
  o.clock = [] { return ClockReading{.live = true}; };
  const auto session = random_engine()->make_session(o);
  std::thread reader([&] {
    while (const auto event = session->next())
      if (std::holds_alternative<EndOfStream>(event->what)) return;
  });
  std::thread other([&] {
    std::mt19937 random(2);
    for (int i = 0; i < 150; ++i) {
      switch (random() % 8) {
        case 0:
          session->flush();
          break;
        case 1:
          session->reset();
          break;
        case 2:
          session->interrupt();
          break;
        case 3:
          session->put(SpeechEnded{random() % 50, SpeechEnd::interrupted, 0, kSecond});
          break;
        default:
          for (size_t n = 1; n < session->remembered().size(); ++n) {
            const auto turns = session->remembered();
            if (n < turns.size()) {
              EXPECT_LT(turns[n - 1].turn, turns[n].turn);
            }
          }
      }
    }
  });
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    session->put(picture(i, unsigned(i)));
    if (random() % 2) session->ask({"What?", SamplingOptions{.max_tokens = 4}});
    EXPECT_LE(session->stats().context_tokens, 400);
  }
  other.join();
  session->flush();
  session->put(picture(0));
  session->put(TrackEnded{Track::video});
  reader.join();
  EXPECT_TRUE(session->remembered().empty());
}

}  // namespace
}  // namespace omni
