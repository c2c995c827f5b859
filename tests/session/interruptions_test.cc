// Answers that are interrupted at random moments while they are spoken: the sound stops, the
// context holds the words that were played, the next question is answered.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <mutex>
#include <random>
#include <thread>

#include "omni/engine.h"
#include "session/events.h"
#include "session/heard.h"
#include "session/media.h"

namespace omni {
namespace {

constexpr size_t kPiece = 480, kFade = 120;        // samples, as the speech pad takes them
constexpr Nanoseconds kMostBehind = kSecond / 20;  // of sound, behind the decision

std::shared_ptr<const Engine> nano() {
  static const auto engine =
      Engine::open({.model_path = OMNI_SOURCE_DIR "/models/nano", .threads = 2});
  return engine;
}

// Who plays: at `moment` (samples) it stands still until somebody has decided. A wait that does not
// end is a failure, and those that come behind it do not wait.
class Player {
 public:
  Player(Session& session, TurnId turn, std::shared_ptr<Speech> speech, size_t moment)
      : session_(session), turn_(turn), speech_(std::move(speech)), moment_(moment) {}
  ~Player() {
    wait_until([this] { return over_; }, "the end of the speech");
    thread_.join();
  }

  // False: the end came before the moment.
  bool wait_for_moment() {
    wait_until([this] { return stands_ || over_; }, "the moment");
    std::lock_guard guard(lock_);
    return stands_;
  }
  void decided() {
    std::lock_guard guard(lock_);
    decided_ = true;
    changed_.notify_all();
  }
  void wait_until_held() {
    wait_until([this] { return held_ || over_; }, "silence");
  }
  Nanoseconds back() const { return Nanoseconds(n_back_) * kSecond / speech_->sample_rate(); }
  Nanoseconds wait_for_end() {
    wait_until([this] { return over_; }, "the end of the speech");
    return heard();
  }
  Nanoseconds heard() const { return Nanoseconds(n_) * kSecond / speech_->sample_rate(); }
  bool was_cut() const { return cut_; }

 private:
  template <class Condition>
  void wait_until(const Condition& condition, const char* what) {
    {
      std::unique_lock lock(lock_);
      const auto is_enough = [&] { return condition() || given_up_; };
      if (changed_.wait_for(lock, kLongestWait, is_enough)) return;
      ADD_FAILURE() << "waited for " << what;
      given_up_ = true;
      changed_.notify_all();
    }
    speech_->stop();  // nobody reads it for ever
  }
  void run() {
    const auto take = [this](size_t most) {
      const size_t n = speech_->read(most).size();
      std::lock_guard guard(lock_);
      n_ += n;
      return n;
    };
    speech_->on_change([this] {
      std::lock_guard guard(lock_);
      changed_.notify_all();
    });
    session_.put(SpeechBegan{turn_, kSecond});
    while (!(cut_ = speech_->is_interrupted())) {
      if (speech_->is_held() && !is_given_up()) {
        if (n_ > 0) take(kFade);
        be_silent();
      } else if (take(kPiece)) {
        stand_still();
      } else {
        break;
      }
    }
    if (cut_ && n_ > 0 && !held_) take(kFade);
    speech_->on_change({});
    speech_->stop();
    session_.put(
        SpeechEnded{turn_, cut_ ? SpeechEnd::interrupted : SpeechEnd::finished, kSecond, heard()});
    std::lock_guard guard(lock_);
    over_ = true;
    changed_.notify_all();
  }
  // Until it is known what the voice was; then reading goes on no later than here.
  void be_silent() {
    std::unique_lock lock(lock_);
    held_ = true;
    changed_.notify_all();
    changed_.wait(lock,
                  [this] { return !speech_->is_held() || speech_->is_interrupted() || given_up_; });
    if (speech_->is_interrupted() || given_up_) return;
    held_ = false;
    const auto at = size_t((speech_->n_read() * speech_->sample_rate() + kSecond / 2) / kSecond);
    n_back_ = n_ - at;
    n_ = at;
  }
  void stand_still() {
    std::unique_lock lock(lock_);
    if (n_ < moment_ || decided_) return;
    stands_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return decided_ || given_up_; });
  }
  bool is_given_up() {
    std::lock_guard guard(lock_);
    return given_up_;
  }

  Session& session_;
  const TurnId turn_;
  const std::shared_ptr<Speech> speech_;
  const size_t moment_;
  std::mutex lock_;
  std::condition_variable changed_;
  size_t n_ = 0, n_back_ = 0;
  bool stands_ = false, decided_ = false, held_ = false, over_ = false, given_up_ = false;
  std::atomic<bool> cut_ = false;
  std::thread thread_{[this] { run(); }};
};

// Without what the allocator keeps for its threads, which is more on a busy machine.
size_t resident_bytes() {
  size_t pages = 0, resident = 0;
  if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%zu %zu", &pages, &resident) != 2) resident = 0;
    std::fclose(f);
  }
  return resident * 4096 - mallinfo2().fordblks;
}

// Of a conversation by voice.
class Talk {
 public:
  explicit Talk(Trigger trigger = Trigger::manual) {
    SessionOptions o;
    o.system_prompt = nano()->defaults().system_prompt.value_or("");
    o.settings.wants_speech = o.settings.remember = true;
    o.settings.sampling.max_tokens = 24;
    o.settings.trigger = trigger;
    o.settings.resume_false_interruption = kFalse;
    o.context_tokens = 600;
    o.clock = [] { return ClockReading{.live = true}; };
    session_ = nano()->make_session(o);
  }

  // Asked, and interrupted at the moment that `seed` tells in the way that it tells.
  void interrupted_once(unsigned seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const size_t moment = random() % 4 == 0 ? 0 : random() % 48000;
    const unsigned how = random() % 3;
    const TurnId turn = session_->ask({.text = "Describe the feed.", .reply = reply_of(random)});
    Turn said{turn};
    follow(said, [&] { return said.speech != nullptr; });
    ASSERT_TRUE(said.speech);
    Player player(*session_, turn, said.speech, moment);
    const bool stands = player.wait_for_moment();
    const Nanoseconds at = player.heard();
    const bool knew = has_answer(said);
    TurnId next = 0;
    if (stands) next = decide(how);
    player.decided();
    const Nanoseconds heard = player.wait_for_end();
    follow(said, [&] { return said.done && said.span.has_value(); });
    ASSERT_TRUE(said.span);
    if (stands) {
      EXPECT_TRUE(player.was_cut());
      EXPECT_LE(heard - at, kMostBehind);
    }
    expect_remembered(said, stands ? at : heard, heard, stands, knew);
    if (next) session_->interrupt(next);
  }
  // The same by a voice that is over after `duration`.
  void spoken_over(unsigned seed, Nanoseconds duration) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const size_t moment = random() % 4 == 0 ? 0 : random() % 24000;
    const TurnId turn = session_->ask({.text = "Describe the feed.", .reply = reply_of(random)});
    Turn said{turn};
    follow(said, [&] { return said.speech != nullptr; });
    ASSERT_TRUE(said.speech);
    Player player(*session_, turn, said.speech, moment);
    const bool stands = player.wait_for_moment();
    const Nanoseconds at = player.heard();
    const bool knew = has_answer(said);
    const uint64_t n_resumed = session_->stats().n_resumed;
    if (stands) session_->put(VoiceBegan{kSecond});
    player.decided();
    if (stands) player.wait_until_held();
    const Nanoseconds silent_at = player.heard();
    if (stands) {
      EXPECT_LE(silent_at - at, kMostBehind);
      session_->put(TurnEnded{{kSecond, duration}, 2 * kSecond + duration});
    }
    const bool was_false = !stands || duration < kFalse;
    const Nanoseconds heard = player.wait_for_end();
    follow(said, [&] { return said.done && said.span.has_value(); });
    ASSERT_TRUE(said.span);
    EXPECT_EQ(player.was_cut(), !was_false);
    if (was_false) {
      EXPECT_EQ(heard, said.span->duration) << "all of it was said";
    }
    EXPECT_EQ(session_->stats().n_resumed, n_resumed + (stands && was_false ? 1 : 0));
    EXPECT_LE(player.back(), kSecond) << "a word";
    if (stands && was_false) {
      EXPECT_GE(player.back(), std::min(silent_at, kSecond / 20)) << "what faded is said again";
    }
    expect_remembered(said, stands ? at : heard, heard, !was_false, knew);
    EXPECT_EQ(n_others_, 0u) << "nobody has asked anything";
  }
  // What ends an answer ends one that is held.
  void held_and_ended(const std::function<void(Session&)>& end) {
    const TurnId turn = session_->ask({.text = "Describe the feed.", .reply = "Eight nine."});
    Turn said{turn};
    follow(said, [&] { return said.speech != nullptr; });
    ASSERT_TRUE(said.speech);
    Player player(*session_, turn, said.speech, 0);
    ASSERT_TRUE(player.wait_for_moment());
    session_->put(VoiceBegan{kSecond});
    player.decided();
    player.wait_until_held();
    end(*session_);
    player.wait_for_end();
    EXPECT_EQ(session_->stats().n_resumed, 0u);
  }
  const Session& session() const { return *session_; }

  static constexpr Nanoseconds kFalse = kSecond * 8 / 10;

 private:
  struct Turn {
    TurnId id;
    bool is_played = true;
    std::shared_ptr<Speech> speech = nullptr;
    bool done = false;
    std::string text = {};
    std::optional<TimeSpan> span = {};  // of its text
  };

  // Mixtures of what nano can say, of one to nine words.
  static std::string reply_of(std::mt19937& random) {
    static const char* parts[] = {"Video: red screen. ", "Audio: silence. ", "Eight nine. ",
                                  "Video: moving ball on black screen. ", "No signal. "};
    std::string text;
    for (unsigned n = 1 + random() % 3; n > 0; --n) text += parts[random() % 5];
    text.pop_back();
    return text;
  }

  TurnId decide(unsigned how) {
    if (how == 0)
      session_->interrupt();
    else if (how == 1)
      session_->put(VoiceBegan{kSecond});
    else
      return session_->ask({.text = "And now?", .reply = "No."});
    return 0;
  }

  template <class Until>
  void follow(Turn& turn, const Until& until) {
    const TimeLimit limit;
    while (!until()) {
      auto e = session_->next(limit.token());
      if (!e) return ADD_FAILURE() << "no event", void();
      take(turn, *e);
    }
  }
  void take(Turn& turn, Event& e) {
    if (std::holds_alternative<TurnBegan>(e.what)) n_others_ += e.turn != turn.id;
    if (auto* failed = std::get_if<Failed>(&e.what)) ADD_FAILURE() << failed->error.what();
    if (auto* u = std::get_if<Utterance>(&e.what)) {
      if (e.turn == turn.id && turn.is_played)
        turn.speech = u->speech;
      else
        pass_over(e.turn, *u->speech);
    }
    if (e.turn != turn.id) return;
    if (auto* done = std::get_if<TurnDone>(&e.what)) {
      turn.done = true;
      turn.text = done->answer.text;
    }
    if (std::holds_alternative<AnswerText>(e.what)) turn.span = e.span;
  }
  // Nobody plays it.
  void pass_over(TurnId turn, Speech& speech) {
    speech.stop();
    session_->put(SpeechEnded{turn, SpeechEnd::interrupted, kSecond, 0});
  }
  // Whether its sound's length was told ahead.
  bool has_answer(Turn& turn) {
    std::stop_source at_once;
    at_once.request_stop();
    while (auto e = session_->next(at_once.get_token())) take(turn, *e);
    return turn.span.has_value();
  }

  void expect_remembered(const Turn& said, Nanoseconds least, Nanoseconds most, bool cut,
                         bool knew) {
    Turn next{session_->ask({.text = "So?", .reply = "Yes.", .remembered = false}), false};
    follow(next, [&] { return next.done; });
    std::optional<std::string> kept;
    for (const RememberedTurn& t : session_->remembered())
      if (t.turn == said.id) kept = t.answer;
    ASSERT_TRUE(kept) << said.text;
    if (!cut) {
      EXPECT_EQ(*kept, said.text);
      return;
    }
    std::vector<std::string> may;
    for (const auto heard : {least, most}) {
      may.push_back(heard_words(said.text, heard, said.span->duration));
      if (!knew) may.push_back(heard_words(said.text, heard, std::nullopt));
    }
    EXPECT_NE(std::find(may.begin(), may.end(), *kept), may.end())
        << *kept << "\nof: " << said.text << "\nnot: " << may[0] << "\nheard "
        << double(most) / kSecond << " s of " << double(said.span->duration) / kSecond;
  }

  std::unique_ptr<Session> session_;
  size_t n_others_ = 0;  // turns of nobody's
};

TEST(Interruptions, AtAnyMomentTheWordsThatWereHeardStay) {
  Talk talk;
  const unsigned n = std::getenv("OMNI_MANY") ? 300 : 20;
  size_t warm = 0;
  for (unsigned i = 0; i < n && !testing::Test::HasFailure(); ++i) {
    talk.interrupted_once(i);
    EXPECT_LE(talk.session().stats().context_tokens, 700);
    if (i == 100) warm = resident_bytes();
  }
  if (warm) {
    EXPECT_LE(resident_bytes(), warm + (size_t{4} << 20));
  }
}

// Voices of 250 ms to a second and a half: the shorter ones are none.
TEST(Interruptions, WhatWasNoneIsTakenBackAtTheWordWhereItWas) {
  Talk talk(Trigger::turn);
  const unsigned n = std::getenv("OMNI_MANY") ? 200 : 20;
  for (unsigned i = 0; i < n && !testing::Test::HasFailure(); ++i) {
    std::mt19937 random(1000 + i);
    const Nanoseconds shortest = i % 2 ? kSecond / 4 : Talk::kFalse,
                      most = i % 2 ? Talk::kFalse - kSecond / 4 : Talk::kFalse;
    talk.spoken_over(i, shortest + Nanoseconds(random()) % most);
  }
}

TEST(Interruptions, WhatIsHeldEndsWithWhateverEndsAnswers) {
  const std::function<void(Session&)> ends[] = {
      [](Session& s) { s.flush(); },
      [](Session& s) { s.reset(); },
      [](Session& s) { s.interrupt(); },
      [](Session& s) { s.ask({.text = "And now?", .reply = "No."}); },
      [](Session& s) { s.put(TrackEnded{Track::audio}); },
      [](Session& s) {
        s.put(TurnEnded{{kSecond, 2 * kSecond}, 4 * kSecond});
      },
      [](Session& s) {
        SessionSettings settings = s.settings();
        settings.trigger = Trigger::manual;
        s.set(settings);
      },
  };
  for (size_t i = 0; i < std::size(ends); ++i) {
    SCOPED_TRACE(i);
    Talk(Trigger::turn).held_and_ended(ends[i]);
  }
}

// The sound of it stays in the context; what is answered is who speaks later. is_told: it had
// lasted long enough to be told of, and to silence the answer, before it was over.
void expect_no_answer_to_a_cough(bool is_told) {
  SessionOptions o;
  o.settings.wants_speech = o.settings.has_audio = true;
  o.settings.trigger = Trigger::turn;
  o.settings.sampling.max_tokens = 2;
  o.settings.resume_false_interruption = Talk::kFalse;
  o.clock = [] { return ClockReading{.live = true}; };
  const auto session = nano()->make_session(o);
  for (unsigned i = 0; i < 2; ++i)
    session->put(media(Modality::audio, nano()->hidden(), i * kSecond, i));
  const TurnId turn = session->ask({.text = "What?", .reply = "Eight nine."});
  std::optional<Player> player;
  std::vector<TimeSpan> asked;  // what others said
  const TimeLimit limit;
  while (const auto e = session->next(limit.token())) {
    if (std::holds_alternative<TurnBegan>(e->what) && e->turn != turn) asked.push_back(e->span);
    if (std::holds_alternative<TurnDone>(e->what) && e->turn != turn) break;
    const auto* u = std::get_if<Utterance>(&e->what);
    if (!u) continue;
    if (e->turn != turn) {
      u->speech->stop();
      session->put(SpeechEnded{e->turn, SpeechEnd::interrupted, kSecond, 0});
      continue;
    }
    player.emplace(*session, turn, u->speech, 0);
    ASSERT_TRUE(player->wait_for_moment());
    if (is_told) {
      session->put(VoiceBegan{kSecond / 2});
      player->decided();
      player->wait_until_held();
    }
    session->put(TurnEnded{{kSecond / 2, kSecond / 4}, kSecond});
    player->decided();
    player->wait_for_end();
    session->put(TurnEnded{{kSecond, kSecond / 4}, 2 * kSecond});  // over nothing
  }
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].start, kSecond) << "and not with the cough";
  EXPECT_EQ(asked[0].end(), 2 * kSecond);
}

TEST(Interruptions, WhatWasNoneIsNotAnswered) { expect_no_answer_to_a_cough(true); }
TEST(Interruptions, WhatWasOverBeforeItWasToldOfIsNotAnswered) {
  expect_no_answer_to_a_cough(false);
}

}  // namespace
}  // namespace omni
