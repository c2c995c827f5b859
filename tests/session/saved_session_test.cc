// Sessions that are saved and go on in another one: what both say is what one that was never
// interrupted says.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "models/devices.h"
#include "omni/engine.h"
#include "session/media.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCheckpoint = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint";

struct Said {
  Nanoseconds start;
  std::string text;
  bool operator==(const Said&) const = default;
};

class SavedSession : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::temp_directory_path() / ("omni_saved_session_" + std::to_string(::getpid()));
  }
  void TearDown() override { fs::remove(path_); }

  std::unique_ptr<Session> session(Trigger trigger = Trigger::manual) const {
    SessionOptions o;
    o.settings.has_video = o.settings.has_audio = true;
    o.settings.remember = true;
    o.settings.trigger = trigger;
    o.settings.interval = 3 * kSecond;
    o.settings.prompt = "What?";
    o.settings.sampling.max_tokens = 4;
    o.settings.sampling.temperature = 1;
    o.context_duration = 8 * kSecond;
    o.most_waiting = 1000;
    return engine_->make_session(o);
  }
  // Video and sound of a second, one after the other.
  void put(Session& s, int i, Nanoseconds later = 0) const {
    const Modality m = i % 2 ? Modality::audio : Modality::video;
    s.put(media(m, engine_->hidden(), i / 2 * kSecond + later, unsigned(i)));
  }
  static std::optional<SessionStored> stored(Session& s, std::vector<Said>* said = nullptr) {
    while (const auto event = s.next()) {
      if (const auto* what = std::get_if<SessionStored>(&event->what)) return *what;
      note(*event, said);
    }
    return std::nullopt;
  }
  static void note(const Event& event, std::vector<Said>* said) {
    const auto* answer = std::get_if<AnswerText>(&event.what);
    if (answer && said) said->push_back({event.span.start, answer->text});
  }
  static void end(Session& s, std::vector<Said>& said) {
    s.put(Input(TrackEnded{Track::video}));
    s.put(Input(TrackEnded{Track::audio}));
    while (const auto event = s.next()) {
      note(*event, &said);
      if (std::holds_alternative<EndOfStream>(event->what)) return;
    }
  }
  std::unique_ptr<Session> loaded(Trigger trigger) const {
    auto s = session(trigger);
    s->load(path_);
    const auto told = stored(*s);
    EXPECT_TRUE(told && told->loaded && !told->error)
        << (told && told->error ? told->error->what() : "");
    return s;
  }

  fs::path path_;
  std::shared_ptr<const Engine> engine_ =
      Engine::open({.model_path = kCheckpoint, .precision = Precision::float32});
};

// Wherever the file is made, in the middle of a chunk or of what is asked about: the same answers
// at the same times, drawn by the same chances.
TEST_F(SavedSession, IsAsIfNeverInterrupted) {
  constexpr int kEnd = 24;
  for (const Trigger trigger : {Trigger::chunk, Trigger::interval, Trigger::event}) {
    std::vector<Said> expected;
    const auto all = session(trigger);
    for (int i = 0; i < kEnd; ++i) put(*all, i);
    end(*all, expected);
    EXPECT_GE(expected.size(), 3u);
    for (int moment = 0; moment < kEnd; moment += trigger == Trigger::chunk ? 1 : 3) {
      std::vector<Said> said;
      const auto before = session(trigger);
      for (int i = 0; i < moment; ++i) put(*before, i);
      before->save(path_);
      const auto saved = stored(*before, &said);
      ASSERT_TRUE(saved && !saved->error && !saved->loaded);
      const auto behind = loaded(trigger);
      EXPECT_EQ(behind->remembered(), before->remembered());
      for (int i = moment; i < kEnd; ++i) put(*behind, i);
      end(*behind, said);
      EXPECT_TRUE(said == expected) << moment;
      EXPECT_EQ(behind->remembered(), all->remembered()) << moment;
    }
  }
}

// A chunk of which nothing more comes is asked about as what it has.
TEST_F(SavedSession, AChunkThatHasBegunIsAskedAbout) {
  std::vector<Said> expected, said;
  const auto all = session(Trigger::chunk);
  put(*all, 0);
  end(*all, expected);
  EXPECT_EQ(expected.size(), 1u);
  const auto before = session(Trigger::chunk);
  put(*before, 0);
  before->save(path_);
  ASSERT_TRUE(stored(*before));
  end(*loaded(Trigger::chunk), said);
  EXPECT_TRUE(said == expected);
}

// Of a track that runs far ahead, what waits is in the file.
TEST_F(SavedSession, WhatHasNotEnteredIsInIt) {
  constexpr int kSeconds = 14;
  const auto put_all = [&](Session& s, bool audio, int begin, int end) {
    for (int i = begin; i < end; ++i) put(s, 2 * i + int{audio});
  };
  std::vector<Said> expected, said;
  const auto all = session(Trigger::chunk);
  put_all(*all, false, 0, kSeconds);
  put_all(*all, true, 0, kSeconds);
  end(*all, expected);
  const auto before = session(Trigger::chunk);
  put_all(*before, false, 0, kSeconds);
  put_all(*before, true, 0, 3);
  before->save(path_);
  ASSERT_TRUE(stored(*before, &said));
  EXPECT_GT(before->stats().waiting, 0u);
  const auto behind = loaded(Trigger::chunk);
  put_all(*behind, true, 3, kSeconds);
  end(*behind, said);
  EXPECT_TRUE(said == expected);
}

// Another clock goes on where the saved one was, earlier or later.
TEST_F(SavedSession, TheClockMayBeAnother) {
  std::vector<Said> expected;
  const auto all = session(Trigger::chunk);
  for (int i = 0; i < 12; ++i) put(*all, i);
  all->save(path_);
  ASSERT_TRUE(stored(*all));
  for (int i = 12; i < 28; ++i) put(*all, i);
  end(*all, expected);
  for (const Nanoseconds later : {-6 * kSecond, -1 * kSecond, 100 * kSecond}) {
    std::vector<Said> said;
    const auto behind = loaded(Trigger::chunk);
    for (int i = 12; i < 28; ++i) put(*behind, i, later);
    end(*behind, said);
    ASSERT_EQ(said.size(), expected.size());
    for (size_t i = 0; i < said.size(); ++i) {
      EXPECT_EQ(said[i].start, expected[i].start + later);
      EXPECT_EQ(said[i].text, expected[i].text) << i;
    }
    EXPECT_EQ(behind->remembered().size(), all->remembered().size());
  }
}

// What could not be loaded changes nothing, and questions that wait are asked about what was
// loaded.
TEST_F(SavedSession, AFileThatIsNoneChangesNothing) {
  const auto s = session();
  for (int i = 0; i < 8; ++i) put(*s, i);
  const Answer first = ask_and_wait(*s, {"What?"});
  const int64_t n_rows = s->stats().context_tokens;
  std::ofstream(path_, std::ios::trunc) << "nonsense";
  s->load(path_);
  const auto refused = stored(*s);
  ASSERT_TRUE(refused && refused->loaded && refused->error);
  EXPECT_EQ(refused->path, path_);
  EXPECT_EQ(refused->error->code(), ErrorCode::corrupt_file);
  EXPECT_EQ(s->stats().context_tokens, n_rows);
  ASSERT_EQ(s->remembered().size(), 1u);
  EXPECT_EQ(s->remembered().front().answer, first.text);
  s->save(path_ / "none");
  const auto unsaved = stored(*s);
  ASSERT_TRUE(unsaved && !unsaved->loaded && unsaved->error);
  EXPECT_EQ(unsaved->error->code(), ErrorCode::not_found);
}

// Nobody else's media hold it up.
TEST_F(SavedSession, WhatWasPutBeforeIsInItAndNothingIsWaitedFor) {
  const auto s = session(Trigger::chunk);
  for (int i = 0; i < 8; ++i) put(*s, i);
  s->save(path_);
  for (int i = 8; i < 80; ++i) put(*s, i);
  std::vector<Said> said;
  ASSERT_TRUE(stored(*s, &said));
  EXPECT_GE(said.size(), 1u);
  EXPECT_LE(said.size(), 3u);
}

// In the order in which they were asked for; turns have numbers of their own.
TEST_F(SavedSession, SavesAndLoadsKeepTheirOrder) {
  const auto s = session();
  for (int i = 0; i < 4; ++i) put(*s, i);
  const TurnId first = s->ask({"One?"});
  s->save(path_);
  s->load(path_);
  const TurnId second = s->ask({"Two?"});
  std::vector<bool> is_load;
  while (const auto event = s->next()) {
    if (const auto* what = std::get_if<SessionStored>(&event->what)) {
      EXPECT_FALSE(what->error);
      is_load.push_back(what->loaded);
    }
    if (std::holds_alternative<TurnDone>(event->what) && event->turn == second) break;
  }
  EXPECT_EQ(is_load, (std::vector<bool>{false, true}));
  ASSERT_EQ(s->remembered().size(), 2u);
  EXPECT_EQ(s->remembered()[0].turn, first);
  EXPECT_EQ(s->remembered()[1].turn, second);
}

// Of each one is told, whatever becomes of it.
TEST_F(SavedSession, AFlushEndsWhatWaits) {
  const auto s = session();
  constexpr int kFiles = 200;
  for (int i = 0; i < kFiles; ++i) s->load(path_);
  s->flush();
  s->save(path_);
  int n = 0;
  while (const auto event = s->next())
    if (const auto* what = std::get_if<SessionStored>(&event->what)) {
      EXPECT_EQ(what->loaded, n < kFiles);
      EXPECT_EQ(bool(what->error), n < kFiles);
      if (++n > kFiles) break;
    }
  EXPECT_EQ(n, kFiles + 1);
}

#if OMNI_CUDA_EMULATED
// Pages and the rows that a voice reads, from a device and back.
TEST_F(SavedSession, GoesOnOnADevice) {
  open_test_device("cuda");  // sets which
  const auto engine =
      Engine::open({.model_path = kCheckpoint, .device = "cuda", .precision = Precision::float32});
  SessionOptions o;
  o.settings.has_video = true;
  o.settings.sampling.max_tokens = 2;
  const auto all = engine->make_session(o), behind = engine->make_session(o);
  const auto look = [&](Session& s, int i) {
    s.put(media(Modality::video, engine->hidden(), i * kSecond, unsigned(i)));
  };
  look(*all, 0);
  all->save(path_);
  const auto saved = stored(*all);
  ASSERT_TRUE(saved && !saved->error) << (saved ? saved->error->what() : "");
  behind->load(path_);
  const auto loaded = stored(*behind);
  ASSERT_TRUE(loaded && !loaded->error) << (loaded ? loaded->error->what() : "");
  look(*all, 1);
  look(*behind, 1);
  EXPECT_EQ(ask_and_wait(*all, {"What?"}).text, ask_and_wait(*behind, {"What?"}).text);
}
#endif

}  // namespace
}  // namespace omni
