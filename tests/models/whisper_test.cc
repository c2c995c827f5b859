// The family whisper against transformers (tools/fixtures/make_whisper_fixture.py), and the
// transcriber's policies on a checkpoint that knows nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "audio/log_mel.h"
#include "io/safetensors.h"
#include "models/devices.h"
#include "models/registry.h"
#include "omni/engine.h"
#include "transcription/whisper_decoding.h"
#include "transcription/word_times.h"

namespace omni {
namespace {

namespace fs = std::filesystem;
const fs::path kFixture = OMNI_SOURCE_DIR "/tests/fixtures/whisper";

double error(const float* a, const float* b, int64_t n) {
  double worst = 0, scale = 0;
  for (int64_t i = 0; i < n; ++i)
    worst = std::max(worst, std::abs(double(a[i]) - double(b[i]))),
    scale = std::max(scale, std::abs(double(b[i])));
  return worst / scale;
}

class Whisper : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<const Recogniser> model_ =
      load_family({kFixture / "checkpoint", Precision::float32, open_test_device(GetParam())}, {})
          .recogniser;
  std::shared_ptr<const Safetensors> expected_ =
      Safetensors::open(kFixture / "expected.safetensors");
  ThreadPool pool_;
  Arena arena_{model_->device()};
  ops::Context cx_{pool_, arena_};
  std::atomic<bool> cancelled_{false};

  Tensor expected(const char* name) const { return to_f32(expected_->get(name)); }
  std::vector<int32_t> ids(const char* name) const {
    const Tensor t = expected_->get(name);
    return {t.i64(), t.i64() + t.numel()};
  }
  EncodedAudio sound() { return model_->encode(cx_, expected("mel")); }
  std::vector<float> host(const Tensor& x) {
    std::vector<float> room;
    const auto values = ops::to_host(cx_, x, room);
    return {values.begin(), values.end()};
  }
};

INSTANTIATE_TEST_SUITE_P(, Whisper, testing::ValuesIn(test_devices()),
                         [](const auto& p) { return std::string(p.param); });

TEST(WhisperMel, OfAPaddedWindow) {
  const auto file = Safetensors::open(kFixture / "expected.safetensors");
  const Tensor samples = to_f32(file->get("samples")), mel = to_f32(file->get("mel"));
  LogMel log_mel(80);
  std::vector<float> frames;
  log_mel.push({samples.f32(), size_t(samples.numel())}, frames);
  log_mel.push(std::vector<float>(size_t(32000 - samples.numel()), 0.f), frames);
  log_mel.finish(frames);
  ASSERT_EQ(int64_t(frames.size()), mel.numel());
  LogMel::normalise(frames, *std::max_element(frames.begin(), frames.end()));
  EXPECT_LT(error(frames.data(), mel.f32(), mel.numel()), 1e-5);
}

TEST_P(Whisper, LogitsAndAttention) {
  const EncodedAudio s = sound();
  const std::vector<int32_t> given = ids("ids");
  const Tensor logits = expected("logits"), attention = expected("attention");
  const auto sequence = model_->new_sequence();
  Attention whole;
  const Tensor y = model_->decode(cx_, given, s, *sequence, &whole);
  const int64_t width = logits.dim(1), n = int64_t(given.size());
  EXPECT_LT(error(host(y).data(), logits.f32() + (n - 1) * width, width), 1e-5);
  EXPECT_LT(error(whole.data(), attention.f32(), attention.numel()), 1e-5);
  // One by one is the same.
  const auto again = model_->new_sequence();
  const int64_t row = attention.numel() / n;
  for (int64_t i = 0; i < n; ++i) {
    Attention one;
    const Tensor z = model_->decode(cx_, {&given[size_t(i)], 1}, s, *again, &one);
    EXPECT_LT(error(host(z).data(), logits.f32() + i * width, width), 1e-5);
    EXPECT_LT(error(one.data(), attention.f32() + i * row, row), 1e-5);
  }
}

TEST_P(Whisper, GreedyTextAndItsTimes) {
  const EncodedAudio s = sound();
  WhisperDecoding decoder(*model_, pool_, arena_, cancelled_);
  DecodingOptions o;
  o.language = model_->tokens().languages.at("de");
  o.task = model_->tokens().transcribe;
  const std::vector<int32_t> greedy = ids("greedy");
  size_t n = 0;
  o.keep_going = [&](int32_t, std::span<const float>) { return n++ < greedy.size() - 4; };
  const DecodedText text = decoder.decode(s, o);
  // The random checkpoint goes in circles soon; up to there it is the reference's text.
  ASSERT_GT(text.tokens.size(), 6u);
  for (size_t i = 0; i < text.tokens.size(); ++i) EXPECT_EQ(text.tokens[i], greedy[4 + i]) << i;
  // What stands already changes nothing.
  o.given.assign(greedy.begin() + 4, greedy.begin() + 7);
  n = 3;
  const DecodedText rest = decoder.decode(s, o);
  ASSERT_EQ(rest.n_given, 3);
  for (size_t i = 0; i < rest.tokens.size() && 7 + i < greedy.size(); ++i)
    EXPECT_EQ(rest.tokens[i], greedy[7 + i]) << i;
  const size_t same = std::min(text.attention.size(), rest.attention.size());
  EXPECT_LT(error(rest.attention.data(), text.attention.data(), int64_t(same)), 1e-5)
      << "rows of given tokens are those of written ones";

  const auto sequence = model_->new_sequence();
  Attention attention;
  model_->decode(cx_, greedy, s, *sequence, &attention);
  const int64_t heads = model_->n_alignment_heads(), row = heads * s.n_states;
  const auto begins = token_states(std::span<const float>(attention).subspan(size_t(4 * row)),
                                   int64_t(greedy.size()) - 4, heads, s.n_states, 21000 / 160 / 2);
  const Tensor theirs = expected_->get("token_states");
  ASSERT_EQ(int64_t(begins.size()), theirs.numel() + 1);
  for (int64_t i = 0; i < theirs.numel(); ++i) EXPECT_EQ(begins[size_t(i)], theirs.i64()[i]) << i;
}

TEST_P(Whisper, TimestampsComeInPairsAndNeverGoBack) {
  if (GetParam() != std::string("cpu")) GTEST_SKIP() << "the same code on either";
  const EncodedAudio s = sound();
  WhisperDecoding decoder(*model_, pool_, arena_, cancelled_);
  DecodingOptions o;
  o.language = model_->tokens().languages.at("en");
  o.task = model_->tokens().transcribe;
  o.timestamps = true;
  const int32_t first = model_->tokens().first_timestamp;
  int stamps = 0;
  for (int run = 0; run < 60; ++run) {
    o.temperature = 1 + run % 3;
    const DecodedText text = decoder.decode(s, o);
    ASSERT_FALSE(text.tokens.empty());
    for (const int32_t id : text.tokens)
      for (const int32_t never : model_->tokens().suppressed) EXPECT_NE(id, never);
    EXPECT_GE(text.tokens[0], first) << "a time begins";
    EXPECT_LE(text.tokens[0], first + 50);
    int32_t latest = first;
    for (size_t i = 0; i < text.tokens.size(); ++i) {
      if (text.tokens[i] < first) continue;
      ++stamps;
      EXPECT_GE(text.tokens[i], latest);
      latest = text.tokens[i];
      if (i >= 2) {
        EXPECT_FALSE(text.tokens[i - 1] >= first && text.tokens[i - 2] >= first)
            << "three in a row";
      }
    }
  }
  EXPECT_GT(stamps, 100);
}

TEST(WhisperEngine, LanguagesAreNamedInTheError) {
  const auto engine = Engine::open({.model_path = (kFixture / "checkpoint").string()});
  EXPECT_TRUE(engine->transcribes());
  TranscriptionOptions o;
  o.language = "xx";
  try {
    engine->make_transcriber(o);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "no language \"xx\"; the checkpoint has de, en, fr");
  }
  o.language = "de-AT";
  EXPECT_EQ(engine->make_transcriber(o)->language(), "de");
  EXPECT_THROW(engine->make_session({}), Error);
  EXPECT_THROW(engine->make_speech({}), Error);
}

}  // namespace
}  // namespace omni
