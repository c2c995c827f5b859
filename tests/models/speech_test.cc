// Talker and Token2Wav against transformers, each part alone
// (tools/fixtures/make_speech_fixture.py); speakers from files of all kinds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <utility>

#include "decoding/sampler.h"
#include "io/safetensors.h"
#include "io/tensor_pickle.h"
#include "models/devices.h"
#include "qwen2_5_omni/voice.h"

namespace omni::qwen2_5_omni {
namespace {

namespace fs = std::filesystem;
const fs::path kFixture = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/speech";

class SpeechParts : public testing::TestWithParam<const char*> {
 protected:
  fs::path folder_ = kFixture / "checkpoint";
  const Device* device_ = open_test_device(GetParam());
  Weights file_ = Weights::open(folder_).on(device_);
  SpeechConfig config_ = SpeechConfig::read(folder_);
  std::shared_ptr<const Safetensors> expected_ =
      Safetensors::open(kFixture / "expected.safetensors");
  ThreadPool pool_;
  Arena arena_{device_};
  ops::Context cx_{pool_, arena_};
  TalkerVoice voice_{{folder_, Precision::float32, device_}, file_, config_, {}};

  // Rows that another queue is still about to make, where there are queues.
  Arena elsewhere_{device_};
  KeptRows kept(const Tensor& rows) {
    if (!device_) return {rows};
    const Tensor there = Tensor::on(device_, DType::f32, rows.shape());
    elsewhere_.queue().upload(const_cast<void*>(there.raw()), rows.raw(), rows.nbytes());
    std::shared_ptr<Device::Mark> made = device_->make_mark();
    elsewhere_.queue().mark(*made);
    return {there, made};
  }

  Tensor expected(const char* name) const { return to_f32(expected_->get(name)); }
  std::vector<int32_t> codes() const {
    const Tensor t = expected_->get("talker.codes");
    return {t.i64(), t.i64() + t.numel()};
  }
  Speaker bass() const {
    PickledValue v = read_tensor_pickle(folder_ / "spk_dict.pt").members.at("Bass");
    return {int32_t(v.members.at("bos_token").number), v.members.at("cond").values,
            v.members.at("ref_mel").values.reshape({37, 20})};
  }
  static double error(const float* a, const Tensor& b) {
    double worst = 0, scale = 0;
    for (int64_t i = 0; i < b.numel(); ++i)
      worst = std::max(worst, std::abs(double(a[i]) - double(b.f32()[i]))),
      scale = std::max(scale, std::abs(double(b.f32()[i])));
    return worst / scale;
  }
};

INSTANTIATE_TEST_SUITE_P(, SpeechParts, testing::ValuesIn(test_devices()),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(SpeechParts, GreedyCodes) {
  VoicePrompt text;
  const Tensor prompt = expected("talker.prompt"), reply = expected("talker.reply"),
               positions = expected_->get("talker.positions");
  const int64_t some = prompt.dim(0) / 3;  // they come in pieces
  text.rows = {kept(prompt.rows(0, some)), kept(prompt.rows(some, prompt.dim(0)))};
  for (int64_t i = 0, n = positions.dim(1); i < n; ++i)
    text.positions.push_back({int32_t(positions.i64()[i]), int32_t(positions.i64()[n + i]),
                              int32_t(positions.i64()[2 * n + i])});
  Sampler sampler(0);
  const SamplingOptions greedy{.repetition_penalty = 1.05};
  const Tensor first = expected("talker.logits");
  bool compare = true;
  const PickCode pick = [&](ops::Context& cx, const Tensor& logits,
                            std::span<const int32_t> history, std::span<const uint32_t> allowed) {
    if (std::exchange(compare, false)) {
      std::vector<float> room;
      const auto there = ops::to_host(cx, logits, room);
      for (size_t i = 0; i < there.size(); ++i)
        if (allowed[i / 32] >> (i % 32) & 1) {
          EXPECT_NEAR(there[i], first.f32()[i], 1e-4) << i;
        }
    }
    return sampler.choose(cx, logits, history, greedy, allowed);
  };
  const auto say = [&](const std::string& voice, int64_t n_rows) {
    std::vector<int32_t> out;
    const auto stream = voice_.new_codes(text, voice);
    for (int64_t k = 0; k < 30; ++k) {
      const auto code =
          stream->next(cx_, k < n_rows ? kept(reply.rows(k, k + 1)) : KeptRows{}, pick);
      if (!code) break;
      out.push_back(*code);
    }
    return out;
  };
  EXPECT_EQ(say("Bass", reply.dim(0)), codes());
  EXPECT_NE(say("Alto", reply.dim(0)), codes()) << "the voice matters";
  EXPECT_TRUE(say("Bass", 0).empty()) << "nothing to say";
  try {
    voice_.new_codes(text, "Tenor");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "no voice \"Tenor\"; the checkpoint has Alto, Bass");
  }
}

TEST_P(SpeechParts, SpeakerVector) {
  const SpeakerEncoder encoder(
      file_.scope("token2wav.code2wav_dit_model.input_embed.spk_encoder").on(nullptr), config_.dit);
  Arena arena;
  ops::Context on_host{pool_, arena};
  EXPECT_LT(error(encoder.forward(on_host, bass().ref_mel).f32(), expected("speaker")), 1e-5);
}

TEST_P(SpeechParts, OneVelocity) {
  const Dit dit(file_.scope("token2wav.code2wav_dit_model"), config_.dit, {});
  const Tensor x = expected("dit.x");
  EXPECT_LT(
      error(dit.velocity(cx_, x, codes(), bass(), 0.3f, true).f32(), expected("dit.conditioned")),
      1e-5);
  EXPECT_LT(error(dit.velocity(cx_, x, codes(), bass(), 0.3f, false).f32(),
                  expected("dit.unconditioned")),
            1e-5);
}

TEST_P(SpeechParts, SampledMel) {
  const Tensor x = expected("dit.x");
  const FrameNoise noise = [&](int64_t frame, std::span<float> row) {
    std::copy_n(x.f32() + frame * x.dim(1), row.size(), row.data());
  };
  EXPECT_LT(error(voice_.mel(cx_, codes(), "Bass", noise, {10, 0.5f}).f32(), expected("mel")),
            1e-5);
  EXPECT_LT(error(voice_.mel(cx_, codes(), "Bass", noise, {3, 0}).f32(), expected("mel.unguided")),
            1e-5);
  EXPECT_THROW(voice_.mel(cx_, std::vector<int32_t>{500}, "Bass", noise, {}), Error)
      << "a code outside the table";
  EXPECT_THROW(voice_.mel(cx_, codes(), "Tenor", noise, {}), Error);
}

// However the codes arrive, the sound is that of the whole.
TEST_P(SpeechParts, StreamedEqualsWhole) {
  if (device_)
    GTEST_SKIP() << "five utterances take minutes on the emulation; the parts are compared there";
  std::mt19937 random(7);
  std::vector<int32_t> all;
  for (int i = 0; i < 240; ++i) all.push_back(int32_t(random() % 60));
  const FrameNoise noise = [](int64_t frame, std::span<float> row) {
    std::mt19937 r(static_cast<uint32_t>(frame));
    std::normal_distribution<float> normal;
    for (float& v : row) v = normal(r);
  };
  const std::vector<float> whole = voice_.wave(cx_, voice_.mel(cx_, all, "Bass", noise, {}));
  // of a − b against a, of the samples or of their differences
  const auto power_db = [](const std::vector<float>& a, const std::vector<float>& b, size_t lag) {
    double signal = 0, noise_power = 0;
    for (size_t i = lag; i < a.size(); ++i) {
      const double x = lag ? a[i] - a[i - 1] : a[i], y = lag ? b[i] - b[i - 1] : b[i];
      signal += x * x, noise_power += (x - y) * (x - y);
    }
    return 10 * std::log10(signal / std::max(noise_power, 1e-30));
  };
  for (const int piece : {1, 12, 36, 60, 0}) {  // 0: ragged
    const auto stream = voice_.new_wave(cx_, "Bass", noise, {});
    std::vector<float> wave;
    size_t first = 0;
    for (size_t at = 0; at < all.size();) {
      const size_t n = std::min(all.size() - at, size_t(piece ? piece : 1 + random() % 50));
      const auto more = stream->push(cx_, {all.data() + at, n});
      at += n;
      if (!more.empty() && !first) first = at;
      wave.insert(wave.end(), more.begin(), more.end());
    }
    const auto rest = stream->finish(cx_);
    wave.insert(wave.end(), rest.begin(), rest.end());
    ASSERT_EQ(wave.size(), whole.size());
    EXPECT_GT(power_db(whole, wave, 0), 90) << piece << " codes a piece";
    EXPECT_GT(power_db(whole, wave, 1), 90) << "a click at a joint, " << piece << " codes a piece";
    EXPECT_LT(first, all.size() / 2) << "the sound begins before the codes have ended";
  }
}

// With less to look at the first piece comes sooner, and the mel is less like that of the whole.
TEST_P(SpeechParts, LessLookAheadIsSooner) {
  if (device_) GTEST_SKIP() << "four utterances take minutes on the emulation";
  const std::vector<int32_t> all(90, 7);
  const FrameNoise noise = [](int64_t frame, std::span<float> row) {
    for (size_t i = 0; i < row.size(); ++i) row[i] = float((frame * 31 + int64_t(i) * 17) % 13 - 6);
  };
  const Dit dit(file_.scope("token2wav.code2wav_dit_model"), config_.dit, {});
  const Tensor whole = voice_.mel(cx_, all, "Bass", noise, {});
  size_t first_before = 0;
  double error_before = 1e9;
  for (const int look_ahead : {0, 1, 2, 3}) {
    Dit::Stream stream(dit, cx_, bass(), noise, {.look_ahead = look_ahead});
    size_t first = 0;
    std::vector<float> mel;
    for (size_t at = 0; at < all.size(); ++at) {
      const Tensor more = stream.push(cx_, {all.data() + at, 1}, at + 1 == all.size());
      if (more.dim(0) && !first) first = at + 1;
      mel.insert(mel.end(), more.f32(), more.f32() + more.numel());
    }
    ASSERT_EQ(int64_t(mel.size()), whole.numel());
    EXPECT_GT(first, first_before) << look_ahead;
    EXPECT_LT(error(mel.data(), whole), std::max(error_before / 3, 1e-6)) << look_ahead;
    first_before = first, error_before = error(mel.data(), whole);
  }
}

TEST_P(SpeechParts, AVoiceOfNothing) {
  const auto stream = voice_.new_wave(
      cx_, "Bass", [](int64_t, std::span<float> row) { std::fill(row.begin(), row.end(), 0.f); },
      {});
  EXPECT_TRUE(stream->finish(cx_).empty());
}

TEST_P(SpeechParts, Wave) {
  const std::vector<float> wave = voice_.wave(cx_, expected("mel"));
  const Tensor theirs = expected("wave");
  ASSERT_EQ(int64_t(wave.size()), theirs.numel());
  double worst = 0;
  for (size_t i = 0; i < wave.size(); ++i)
    worst = std::max(worst, std::abs(double(wave[i]) - double(theirs.f32()[i])));
  EXPECT_LT(worst, 1e-5);
}

// A few frames again, when others of as many have been recorded and run.
TEST_P(SpeechParts, WaveAgain) {
  const Tensor mel = expected("mel");
  const std::vector<float> first = voice_.wave(cx_, mel.rows(0, 4));
  for (const int64_t begin : {4, 8, 0}) {
    const std::vector<float> again = voice_.wave(cx_, mel.rows(begin, begin + 4));
    ASSERT_EQ(again.size(), first.size());
    EXPECT_EQ(again == first, begin == 0) << begin;
  }
}

// Damaged files: one error, whatever is wrong; never a crash, never memory for a size that the file
// merely claims.
TEST(TensorPickle, DamagedFiles) {
  std::stringstream s;
  s << std::ifstream(kFixture / "checkpoint/spk_dict.pt", std::ios::binary).rdbuf();
  const std::string whole = s.str();
  const fs::path path = fs::path(OMNI_BINARY_DIR) / "damaged.pt";
  std::mt19937 random(3);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = whole;
    if (i % 3 == 0)
      bytes.resize(random() % bytes.size());
    else
      for (int k = 0; k < 1 + int(random() % 8); ++k)
        bytes[random() % std::min<size_t>(bytes.size(), i % 3 == 1 ? 1400 : bytes.size())] =
            char(random());
    std::ofstream(path, std::ios::binary) << bytes;
    try {
      read_tensor_pickle(path);
    } catch (const Error& e) {
      ++refused;
      EXPECT_NE(std::string(e.what()).find("damaged.pt"), std::string::npos) << e.what();
    }
  }
  EXPECT_GT(refused, 1000);
  fs::remove(path);
}

// An archive as torch.save() writes it, of a pickle and one storage of 16 floats.
std::string archive_of(const std::string& pickle) {
  const std::pair<std::string, std::string> entries[] = {{"a/data.pkl", pickle},
                                                         {"a/data/0", std::string(64, '\x11')}};
  const auto number = [](uint64_t v, int bytes) {
    std::string s;
    for (int i = 0; i < bytes; ++i) s += char(v >> (8 * i));
    return s;
  };
  std::string files, directory;
  for (const auto& [name, body] : entries) {
    const std::string sizes =
        number(body.size(), 4) + number(body.size(), 4) + number(name.size(), 2);
    directory += number(0x02014b50, 4) + std::string(16, '\0') + sizes + std::string(12, '\0') +
                 number(files.size(), 4) + name;
    files +=
        number(0x04034b50, 4) + std::string(14, '\0') + sizes + std::string(2, '\0') + name + body;
  }
  return files + directory + number(0x06054b50, 4) + std::string(4, '\0') + number(2, 2) +
         number(2, 2) + number(directory.size(), 4) + number(files.size(), 4) +
         std::string(2, '\0');
}

std::string repeated(const std::string& s, int n) {
  std::string out;
  while (n--) out += s;
  return out;
}

// Short pickles that ask for much: the work is bounded by what is there to be read.
TEST(TensorPickle, BombsAreRefusedSmall) {
  const fs::path path = fs::path(OMNI_BINARY_DIR) / "bomb.pt";
  const auto read = [&](const std::string& pickle) -> std::string {
    std::ofstream(path, std::ios::binary) << archive_of(pickle);
    try {
      read_tensor_pickle(path);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::corrupt_file) << e.what();
      return e.what();
    }
    return "read";
  };
  const std::string begin = "\x80\x02", zero("\0", 1), put = "q" + zero, get = "h" + zero;
  const std::string too_large = path.string() + " is too large a pickle",
                    too_deep = path.string() + " has a pickle nested deeper than 64";
  // a tuple in a tuple, each time
  EXPECT_EQ(read(begin + ")" + repeated("\x85", 62) + "."), "read");
  EXPECT_EQ(read(begin + ")" + repeated("\x85", 1'000'000) + "."), too_deep);
  // the last one twice: 2^n values
  EXPECT_EQ(read(begin + "K\x01" + put + repeated(get + get + "\x86" + put, 60) + "."), too_large);
  // a dictionary in a dictionary
  EXPECT_EQ(read(begin + "}" + put +
                 repeated("}\x8c\x01"
                          "aq\x01" +
                              get + "s" + put,
                          200) +
                 "."),
            too_deep);
  // a long text again and again
  EXPECT_EQ(read(begin + "X" + zero + zero + "\x10" + zero + std::string(1 << 20, 'A') + put +
                 repeated(get, 1000) + "."),
            too_large);
  // one storage as many tensors: its parts wait in the memo
  const auto text = [](const std::string& t) {
    return "\x8c" + std::string(1, char(t.size())) + t;
  };
  const std::string parts = "ctorch._utils\n_rebuild_tensor_v2\nq\x01(" + text("storage") +
                            "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K\x10tQq\x02" +
                            "K\x10\x85q\x03K\x01\x85q\x04",
                    tensor = "h\x01(h\x02K" + zero + "h\x03h\x04\x89}tR";
  EXPECT_EQ(read(begin + parts + repeated(tensor, 4) + "."), "read");
  EXPECT_EQ(read(begin + parts + repeated(tensor, 1000) + "."),
            path.string() + " has more in its tensors than it stores");
  fs::remove(path);
}

// What a hostile pickle would have executed.
TEST(TensorPickle, NothingIsExecuted) {
  std::stringstream s;
  s << std::ifstream(kFixture / "checkpoint/spk_dict.pt", std::ios::binary).rdbuf();
  std::string bytes = s.str();
  const std::string known = "collections\nOrderedDict", evil = "builtins   \neval       ";
  ASSERT_EQ(known.size(), evil.size());
  const size_t at = bytes.find(known);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, known.size(), evil);
  const fs::path path = fs::path(OMNI_BINARY_DIR) / "evil.pt";
  std::ofstream(path, std::ios::binary) << bytes;
  try {
    read_tensor_pickle(path);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::unsupported);
    EXPECT_NE(std::string(e.what()).find("eval"), std::string::npos) << e.what();
  }
  fs::remove(path);
}

}  // namespace
}  // namespace omni::qwen2_5_omni
