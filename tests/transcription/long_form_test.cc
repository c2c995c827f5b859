// Recordings of several windows against transformers (tools/fixtures/make_whisper_fixture.py), on a
// tiny random checkpoint; with models/whisper-base (tools/fetch-model) beside it, on speech.
#include "transcription/long_form.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "io/safetensors.h"
#include "models/checkpoint_copy.h"
#include "models/registry.h"
#include "omni/engine.h"
#include "transcription/word_times.h"

namespace omni {
namespace {

namespace fs = std::filesystem;
const fs::path kFixture = OMNI_SOURCE_DIR "/tests/fixtures/whisper";
const fs::path kBase = OMNI_SOURCE_DIR "/models/whisper-base";
constexpr int64_t kHop = 160;

struct Expected {
  std::shared_ptr<const Safetensors> file = Safetensors::open(kFixture / "long_form.safetensors");

  std::vector<int64_t> all(const char* name) const {
    const Tensor t = file->get(name);
    return {t.i64(), t.i64() + t.numel()};
  }
  // Of a matrix whose rows end with −1.
  std::vector<int32_t> row(const char* name, int64_t i) const {
    const Tensor t = file->get(name);
    std::vector<int32_t> out;
    for (int64_t k = 0; k < t.dim(1) && t.i64()[i * t.dim(1) + k] >= 0; ++k)
      out.push_back(int32_t(t.i64()[i * t.dim(1) + k]));
    return out;
  }
};

int32_t first_timestamp() {
  return load_family({kFixture / "checkpoint", Precision::float32, nullptr}, {})
      .recogniser->tokens()
      .first_timestamp;
}

TEST(LongForm, SegmentsAndSeeksOfAnyText) {
  const Expected expected;
  const int32_t first = first_timestamp();
  const std::vector<int64_t> frames = expected.all("case_frames"),
                             offsets = expected.all("case_offset");
  for (size_t i = 0; i < frames.size(); ++i) {
    const std::vector<int32_t> ids = expected.row("case_ids", int64_t(i)),
                               ends = expected.row("case_ends", int64_t(i));
    const LongFormStep step = retrieve_segments(ids, first, frames[i], 2);
    // Theirs may stand still or jump over the end, where their loop ends.
    EXPECT_EQ(step.seek, offsets[i] == 0 ? frames[i] : std::min(offsets[i], frames[i])) << i;
    ASSERT_EQ(step.segments.size(), ends.size()) << i;
    for (size_t s = 0; s < ends.size(); ++s) {
      const LongFormSegment& segment = step.segments[s];
      EXPECT_EQ(segment.begin, s == 0 ? 0 : step.segments[s - 1].end) << i;
      // Of what ends with two time stamps they count the second one in.
      const bool cut = s + 1 == ends.size() && segment.end < ids.size();
      EXPECT_EQ(segment.end + (cut ? 1 : 0), size_t(ends[s])) << i;
    }
  }
}

// The checkpoint with a last norm eight times as large, as in the recipe: sure of what it writes.
class SureCheckpoint : public CheckpointCopy {
 public:
  SureCheckpoint() : CheckpointCopy(kFixture / "checkpoint", "sure") {
    std::ifstream in(kFixture / "checkpoint/model.safetensors", std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    uint64_t n = 0;
    std::memcpy(&n, bytes.data(), sizeof n);
    const auto header = nlohmann::json::parse(bytes.substr(8, n));
    for (const char* name : {"weight", "bias"}) {
      const auto& at = header[std::string("model.decoder.layer_norm.") + name]["data_offsets"];
      for (size_t i = 8 + n + at[0].get<size_t>(); i < 8 + n + at[1].get<size_t>(); i += 2)
        if (const int exponent = bytes[i + 1] >> 2 & 31; exponent > 0)  // float16
          bytes[i + 1] = char((bytes[i + 1] & ~(31 << 2)) | (exponent + 3) << 2);
    }
    write("model.safetensors", bytes);
  }
};

std::vector<float> recording_of_the_recipe() {
  const auto file = Safetensors::open(kFixture / "expected.safetensors");
  const Tensor samples = to_f32(file->get("samples"));
  std::vector<float> out;
  for (const int64_t speed : {10, 13, 11, 14, 7, 9})
    for (int64_t i = 0; i < samples.numel(); ++i)
      out.push_back(samples.f32()[i * speed % samples.numel()]);
  return out;
}

std::string joined(const std::vector<Word>& words) {
  std::string out;
  for (const Word& w : words) out += (w.space_ahead ? " " : "") + w.text;
  return out;
}

std::string without_spaces(std::string s) {
  std::erase(s, ' ');
  return s;
}

TEST(LongForm, SeeksAndTextOfTransformers) {
  const Expected expected;
  const std::vector<int64_t> seeks = expected.all("seek"), frames = expected.all("frames"),
                             offsets = expected.all("offset");
  const SureCheckpoint checkpoint;
  const auto model = load_family({checkpoint.folder(), Precision::float32, nullptr}, {}).recogniser;
  const int32_t first = model->tokens().first_timestamp;
  const auto engine = Engine::open({.model_path = checkpoint.folder().string(),
                                    .device = "cpu",
                                    .precision = Precision::float32,
                                    .threads = 1});
  const auto transcriber = engine->make_transcriber(
      {.policy = TranscriptionPolicy::whole, .language = "en", .voice_gate = false});
  const Nanoseconds start = 5 * kSecond;
  transcriber->start(start);
  const std::vector<float> sound = recording_of_the_recipe();
  std::vector<Word> words;
  std::vector<int64_t> begins = {0};  // of windows, in frames, as far as they can be seen
  const auto take = [&](std::vector<Word> fresh) {
    words.insert(words.end(), fresh.begin(), fresh.end());
    const int64_t seek = (transcriber->settled() - start) / (kSecond / 100);
    if (seek != begins.back()) begins.push_back(seek);
  };
  for (size_t i = 0; i < sound.size(); i += 1000)
    take(transcriber->push({&sound[i], std::min<size_t>(1000, sound.size() - i)}));
  // A window that reaches into the end is written with it.
  const size_t full = begins.size();
  ASSERT_GE(full, 5u) << "text leaves at each seek";
  for (size_t i = 0; i < full; ++i) EXPECT_EQ(begins[i], seeks[i]) << i;
  take(transcriber->finish());
  EXPECT_EQ(transcriber->stats().looks, int64_t(seeks.size()));
  EXPECT_EQ(transcriber->stats().rejected, 0);

  std::string text;
  for (size_t i = 0; i < seeks.size(); ++i) {
    const std::vector<int32_t> ids = expected.row("ids", int64_t(i));
    const LongFormStep step = retrieve_segments(ids, first, frames[i], 2);
    EXPECT_EQ(step.seek, std::min(offsets[i], frames[i]));
    for (size_t k = 0; k < step.segments.back().end; ++k)
      if (ids[k] < first) text += model->tokenizer().token_bytes(ids[k]);
  }
  EXPECT_EQ(without_spaces(joined(words)), without_spaces(text));

  Nanoseconds until = start;
  for (const Word& w : words) {
    EXPECT_GE(w.start, until);
    EXPECT_GE(w.duration, kSecond / 100);
    until = w.start + w.duration;
  }
  EXPECT_LE(until, start + int64_t(sound.size()) / kHop * (kSecond / 100));
}

// Two recordings with an end between them are two recordings, whatever stood in the first.
TEST(LongForm, AnEndBeginsAnew) {
  const SureCheckpoint checkpoint;
  const auto engine = Engine::open({.model_path = checkpoint.folder().string(),
                                    .device = "cpu",
                                    .precision = Precision::float32,
                                    .threads = 1});
  const auto transcriber = engine->make_transcriber(
      {.policy = TranscriptionPolicy::whole, .language = "en", .voice_gate = false});
  transcriber->start(0);
  const std::vector<float> sound = recording_of_the_recipe();
  const auto write = [&] {
    std::vector<Word> words = transcriber->push(sound);
    for (Word& w : transcriber->finish()) words.push_back(std::move(w));
    return words;
  };
  const std::vector<Word> once = write(), again = write();
  EXPECT_EQ(joined(once), joined(again));
  ASSERT_FALSE(once.empty());
  ASSERT_EQ(once.size(), again.size());
  const Nanoseconds length = Nanoseconds(sound.size()) * kSecond / 16000;
  EXPECT_EQ(again.front().start - once.front().start, length);
  EXPECT_EQ(again.back().start - once.back().start, length);
}

// 11 s of speech, 20 s of silence, the same speech: what generate() writes, windows at 0 and 30 s.
TEST(LongForm, SpeechBehindAPause) {
  if (!fs::exists(kBase / "config.json"))
    GTEST_SKIP() << "words need models/whisper-base: tools/fetch-model whisper-base";
  std::ifstream in(OMNI_SOURCE_DIR "/examples/media/jfk.wav", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  constexpr size_t kSamples = 176000;  // at the end of the file, 16 bits each
  ASSERT_GE(bytes.size(), 2 * kSamples);
  std::vector<float> speech;
  for (size_t i = bytes.size() - 2 * kSamples; i < bytes.size(); i += 2) {
    int16_t v = 0;
    std::memcpy(&v, &bytes[i], 2);
    speech.push_back(float(v) / 32768.f);
  }
  std::vector<float> sound = speech;
  sound.resize(sound.size() + 20 * 16000);
  sound.insert(sound.end(), speech.begin(), speech.end());
  const auto engine = Engine::open(
      {.model_path = kBase.string(), .device = "cpu", .precision = Precision::float32});
  const auto transcriber = engine->make_transcriber(
      {.policy = TranscriptionPolicy::whole, .language = "en", .voice_gate = false});
  transcriber->start(0);
  const std::vector<Word> first = transcriber->push(sound);
  EXPECT_EQ(transcriber->settled(), 30 * kSecond);
  const std::vector<Word> second = transcriber->finish();
  EXPECT_EQ(joined(first),
            " And so my fellow Americans, ask not what your country can do for you, ask what you "
            "can do for your country.");
  EXPECT_EQ(
      joined(second),
      " And so my fellow Americans ask not what your country can do for you, ask what you can "
      "do for your country.");
  ASSERT_FALSE(first.empty() || second.empty());
  EXPECT_LT(first.back().start, 11 * kSecond);
  EXPECT_GE(second.front().start, 30 * kSecond);
}

TEST(WordTimes, EachWordLastsALittle) {
  const auto of = [](std::vector<int64_t> bounds) {
    spread(bounds, 3);
    return bounds;
  };
  using Bounds = std::vector<int64_t>;
  EXPECT_EQ(of({0, 5, 9, 20}), (Bounds{0, 5, 9, 20})) << "nothing to do";
  EXPECT_EQ(of({0, 17, 18, 19, 20}), (Bounds{0, 11, 14, 17, 20})) << "from the long word ahead";
  EXPECT_EQ(of({0, 1, 2, 3, 20}), (Bounds{0, 3, 6, 9, 20})) << "from the long word behind";
  EXPECT_EQ(of({4, 5, 6, 11}), (Bounds{4, 6, 8, 11})) << "their share";
  EXPECT_EQ(of({4, 4, 5}), (Bounds{4, 4, 5})) << "no room";
}

}  // namespace
}  // namespace omni
