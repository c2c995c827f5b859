// A session in a file and out of it: what goes on from there is what was never interrupted, and
// what does not fit or is damaged is refused.
#include "session/session_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "core/thread_pool.h"
#include "models/registry.h"
#include "session/archive.h"
#include "session/media.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

constexpr Nanoseconds kChunk = 2 * kSecond;
constexpr const char* kFixtures = OMNI_SOURCE_DIR "/tests/fixtures/";

std::string read(const fs::path& path) {
  std::stringstream s;
  s << std::ifstream(path, std::ios::binary).rdbuf();
  return s.str();
}

constexpr int64_t kOdd[] = {
    -1, 0, 1, 2, 63, 64, 65, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1 << 20, int64_t{1} << 40};

class SessionFiles : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("omni_session_file_test_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static DialogueOptions options(bool speech = false) {
    return {.system_prompt = "You watch.",
            .tracks = {true, true},
            .context_duration = 20 * kSecond,
            .seed = 7,
            .speech = speech,
            .remembers = true};
  }
  Dialogue dialogue(const DialogueOptions& o) {
    return Dialogue(*family_.prompter, scheduler_, masks_, o);
  }
  void show(Dialogue& d, int second, Nanoseconds behind = 0) {
    const Nanoseconds chunk = second / 2 * kChunk - behind, start = second * kSecond - behind;
    const int width = family_.text->media_width();
    d.add({chunk, kChunk}, media(Modality::video, width, start, unsigned(second)));
    if (family_.audio)
      d.add({chunk, kChunk}, media(Modality::audio, width, start, 100 + unsigned(second)));
  }
  std::string ask(Dialogue& d, TurnId turn) {
    const std::atomic<bool> interrupted{false};
    const SamplingOptions drawn{.max_tokens = 8, .temperature = 1};
    return d
        .ask("And now?", {.sampling = drawn,
                          .on_token = [](const AnswerToken&) {},
                          .interrupted = interrupted,
                          .remembered_as = turn})
        .text;
  }
  void save(Dialogue& d, const fs::path& path) { save_session(path, "checkpoint", d, {}); }
  void load(Dialogue& d, const fs::path& path, const std::string& checkpoint = "checkpoint") {
    load_session(path, checkpoint, d, family_.text->media_width());
  }
  std::string bytes_of(Dialogue& d) {
    save(d, folder_ / "compared");
    return read(folder_ / "compared");
  }
  ErrorCode refused(Dialogue& d, const fs::path& path, const std::string& checkpoint) {
    try {
      load(d, path, checkpoint);
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(path.filename().string()), std::string::npos)
          << e.what();
      return e.code();
    }
    ADD_FAILURE() << "loaded";
    return ErrorCode::internal;
  }

  void look_back_at(const DialogueOptions& o) {
    Dialogue d = dialogue(o), other = dialogue(o);
    const auto answer = [](Dialogue& of) {
      const std::atomic<bool> interrupted{false};
      return of
          .ask("What?", {.sampling = {.max_tokens = 4},
                         .on_token = [](const AnswerToken&) {},
                         .interrupted = interrupted})
          .text;
    };
    std::string of_first;
    for (int i = 0; i < 36; ++i) {
      show(d, i);
      show(other, i);
      if (i % 2 == 0) {
        Dialogue first = dialogue(o);
        save(other, folder_ / "file");
        load(first, folder_ / "file");
        of_first = answer(first);
        continue;
      }
      const std::string of_d = answer(d), of_other = answer(other);
      if (o.most_rows == 0) {
        EXPECT_EQ(of_d, of_other) << i;
      }
      int n = 0;
      d.look_back([&] {
        ++n;
        const std::string behind_first = answer(d);
        if (!family_.audio && o.most_rows == 0) {
          EXPECT_EQ(behind_first, of_first) << i;
        }
        return i % 4 == 1;
      });
      EXPECT_EQ(n, 1);
      ASSERT_EQ(d.sequence().positions(), other.sequence().positions()) << i;
      ASSERT_TRUE(std::ranges::equal(d.sequence().ids(), other.sequence().ids())) << i;
      // Rows that are put in again have not seen what has left to make room.
      if (o.most_rows == 0) {
        ASSERT_TRUE(bytes_of(d) == bytes_of(other)) << i;
      }
      if (o.remembers && i % 12 == 7) {
        const std::string said = ask(d, TurnId(i)), said_by_other = ask(other, TurnId(i));
        if (o.most_rows == 0) {
          EXPECT_EQ(said, said_by_other);
        }
        int none = 0;
        d.look_back([&] { return ++none != 0; });
        EXPECT_EQ(none, 0);
      }
    }
  }

  fs::path folder_;
  const Family family_ =
      load_family({std::string(kFixtures) + GetParam() + "/checkpoint", Precision::float32}, {});
  ThreadPool pool_{2};
  Scheduler scheduler_{*family_.text, pool_};
  AnswerMasks masks_{*family_.prompter};
};

INSTANTIATE_TEST_SUITE_P(Families, SessionFiles,
                         testing::Values("qwen2_5_omni/a", "qwen2_vl/a", "qwen3_vl/a"),
                         [](const auto& family) {
                           std::string name = family.param;
                           for (char& c : name)
                             if (c == '/') c = '_';
                           return name;
                         });

// At any moment: in the middle of a chunk, behind a turn, when turns and chunks have left. Files
// are compared byte for byte: keys, values, draws.
TEST_P(SessionFiles, WhatGoesOnWasNeverInterrupted) {
  for (const bool speech : {false, true}) {
    const DialogueOptions o = options(speech);
    for (const int moment : {0, 1, 2, 3, 5, 30}) {
      Dialogue all = dialogue(o), before = dialogue(o), behind = dialogue(o);
      const auto act = [&](Dialogue& d, int i) {
        show(d, i);
        if (i % 4 == 2) ask(d, TurnId(i + 1));
      };
      for (int i = 0; i < moment; ++i) {
        act(all, i);
        act(before, i);
      }
      save(before, folder_ / "file");
      load(behind, folder_ / "file");
      EXPECT_EQ(behind.turns(), before.turns());
      EXPECT_TRUE(bytes_of(behind) == read(folder_ / "file")) << moment;
      for (int i = moment; i < moment + 8; ++i) {
        act(all, i);
        act(behind, i);
      }
      EXPECT_TRUE(bytes_of(all) == bytes_of(behind)) << moment << (speech ? ", spoken" : "");
      EXPECT_EQ(ask(all, 99), ask(behind, 99)) << moment;
    }
  }
}

TEST_P(SessionFiles, AClockMayBeginAnew) {
  Dialogue all = dialogue(options()), behind = dialogue(options());
  for (int i = 0; i < 6; ++i) show(all, i);
  ask(all, 1);
  for (int i = 6; i < 10; ++i) show(all, i);
  save(all, folder_ / "file");
  load(behind, folder_ / "file");
  behind.begin_clock();
  for (int i = 10; i < 40; ++i) {
    show(all, i);
    show(behind, i, 10 * kSecond);
    if (i % 10 == 5) {
      EXPECT_EQ(ask(all, TurnId(i)), ask(behind, TurnId(i))) << i;
    }
    ASSERT_EQ(all.sequence().positions(), behind.sequence().positions()) << i;
  }
  EXPECT_EQ(all.turns(), behind.turns());
}

TEST_P(SessionFiles, WhatDoesNotFitIsRefused) {
  Dialogue d = dialogue(options());
  show(d, 0);
  ask(d, 1);
  const fs::path path = folder_ / "file";
  save(d, path);
  const auto refused_by = [&](const DialogueOptions& o, const fs::path& file,
                              const std::string& checkpoint) {
    Dialogue other = dialogue(o);
    return refused(other, file, checkpoint);
  };
  EXPECT_EQ(refused_by(options(), path, "another"), ErrorCode::invalid_argument);
  EXPECT_EQ(refused_by(options(true), path, "checkpoint"), ErrorCode::invalid_argument);
  DialogueOptions o = options();
  o.system_prompt = "You listen.";
  EXPECT_EQ(refused_by(o, path, "checkpoint"), ErrorCode::invalid_argument);
  o = options();
  o.remembers = false;
  EXPECT_EQ(refused_by(o, path, "checkpoint"), ErrorCode::invalid_argument);
  EXPECT_EQ(refused_by(options(), folder_ / "none", "checkpoint"), ErrorCode::not_found);
  EXPECT_EQ(refused_by(options(), folder_, "checkpoint"), ErrorCode::not_found);
  EXPECT_THROW(save(d, folder_ / "none" / "file"), Error);
}

TEST_P(SessionFiles, EveryShorterFileIsRefused) {
  Dialogue d = dialogue(options());
  show(d, 0);
  const fs::path path = folder_ / "file";
  save(d, path);
  const std::string good = read(path);
  uint64_t header = 0;
  std::memcpy(&header, good.data(), 8);
  Dialogue victim = dialogue(options());
  for (size_t n = good.size(); n-- > 0; n -= n > 8 + header + 100 ? std::min<size_t>(n, 97) : 0) {
    fs::resize_file(path, n);
    ASSERT_EQ(refused(victim, path, "checkpoint"), ErrorCode::corrupt_file) << n;
  }
  EXPECT_EQ(victim.n_rows(), 0);
}

// Of a damaged file nothing but an error comes, or a session that can be used: numbers and bytes
// are replaced.
TEST_P(SessionFiles, DamagedFilesAreHarmless) {
  Dialogue d = dialogue(options());
  for (int i = 0; i < 5; ++i) {
    show(d, i);
    if (i == 2) ask(d, 1);
  }
  const fs::path path = folder_ / "file";
  save(d, path);
  const std::string good = read(path);
  uint64_t header = 0;
  std::memcpy(&header, good.data(), 8);
  const std::string table = good.substr(8, header);
  const size_t at = table.find("data_offsets", table.find("session.numbers"));
  size_t begin = 0, end = 0;
  ASSERT_EQ(std::sscanf(table.c_str() + at, "data_offsets\":[%zu,%zu]", &begin, &end), 2);
  std::mt19937_64 random(3);
  int n_refused = 0, n_used = 0;
  for (int i = 0; i < 200; ++i) {
    std::string bad = good;
    const size_t n_words = (good.size() - 8 - header) / 8;
    if (i % 8 == 0) {
      bad[random() % (8 + header)] = char(random());
    } else {
      const size_t which =
          i % 8 == 1 ? random() % n_words : begin / 8 + random() % ((end - begin) / 8);
      const int64_t value = i % 2 ? kOdd[random() % std::size(kOdd)] : int64_t(random() % 200);
      std::memcpy(bad.data() + 8 + header + 8 * which, &value, 8);
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bad;
    Dialogue victim = dialogue(options());
    try {
      load(victim, path);
      ++n_used;
      for (int k = 5; k < 12; ++k) show(victim, k);
      ask(victim, 2);
      show(victim, 60);
      ask(victim, 3);
    } catch (const Error& e) {
      EXPECT_TRUE(e.code() == ErrorCode::corrupt_file || e.code() == ErrorCode::invalid_argument)
          << i << ": " << e.what();
      ++n_refused;
    }
  }
  EXPECT_GT(n_refused, 20);
  EXPECT_GT(n_used, 20);
  // nobody else has noticed
  Dialogue again = dialogue(options());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << good;
  load(again, path);
  EXPECT_EQ(ask(again, 4), ask(d, 4));
}

// The context is what it was, and in between what it was behind each picture, whatever has left:
// by age, turns, and to make room.
TEST_P(SessionFiles, LookingBackChangesNothing) {
  for (const int64_t most_rows : {0, 90, 160}) {
    DialogueOptions o = options();
    o.remembers = most_rows != 90;
    o.most_rows = most_rows;
    SCOPED_TRACE(most_rows);
    look_back_at(o);
  }
}

// Many tensors that are the same bytes are not a small file of much.
TEST(SessionFile, BytesCountOnce) {
  const fs::path path =
      fs::temp_directory_path() / ("omni_session_bytes_" + std::to_string(::getpid()));
  const std::vector<int64_t> numbers{1, 1, 1};
  std::string header =
      "{\"session.numbers\":{\"dtype\":\"I64\",\"shape\":[3],"
      "\"data_offsets\":[0,24]}";
  for (int i = 0; i < 3; ++i)
    header += ",\"session.tensor." + std::to_string(i) +
              "\":{\"dtype\":\"U8\",\"shape\":[1000],\"data_offsets\":[24,1024]}";
  header += "}";
  const uint64_t size = header.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&size), 8) << header;
  out.write(reinterpret_cast<const char*>(numbers.data()), 24) << std::string(1000, 'x');
  out.close();
  ArchiveReader from(path);
  EXPECT_EQ(from.tensor().numel(), 1000);
  EXPECT_THROW(from.tensor(), Error);
  fs::remove(path);
}

}  // namespace
}  // namespace omni
