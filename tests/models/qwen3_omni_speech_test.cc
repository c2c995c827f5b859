// The voice of Qwen3-Omni against transformers (tools/fixtures/make_qwen3_omni_speech_fixture.py):
// Code2Wav whole and in pieces, and every boundary that tools/parity compares.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "models/checkpoint_copy.h"
#include "models/devices.h"
#include "omni/engine.h"
#include "parity/parity.h"
#include "qwen3_omni/voice.h"
#include "session/session.h"

namespace omni::qwen3_omni {
namespace {

namespace fs = std::filesystem;
const fs::path kFixture = OMNI_SOURCE_DIR "/tests/fixtures/qwen3_omni/speech";

class Qwen3OmniSpeech : public testing::TestWithParam<const char*> {
 protected:
  Tensor expected(const std::string& name) const { return to_f32(expected_->get(name)); }
  std::vector<int32_t> ids(const std::string& name) const {
    const Tensor t = expected_->get(name);
    return {t.i64(), t.i64() + t.numel()};
  }
  static double error(std::span<const float> a, const Tensor& b) {
    EXPECT_EQ(int64_t(a.size()), b.numel());
    double worst = 0, scale = 0;
    for (size_t i = 0; i < std::min(a.size(), size_t(b.numel())); ++i) {
      worst = std::max(worst, std::abs(double(a[i]) - double(b.f32()[i])));
      scale = std::max(scale, std::abs(double(b.f32()[i])));
    }
    return worst / scale;
  }

  fs::path folder_ = kFixture / "checkpoint";
  const Device* device_ = open_test_device(GetParam());
  std::shared_ptr<const Safetensors> expected_ =
      Safetensors::open(kFixture / "expected.safetensors");
  ThreadPool pool_;
  Arena arena_{device_};
  ops::Context cx_{pool_, arena_};
  SpeechConfig config_ = SpeechConfig::read(folder_);
  TalkerVoice voice_{Weights::open(folder_).on(device_), config_, {}};
};

INSTANTIATE_TEST_SUITE_P(, Qwen3OmniSpeech, testing::ValuesIn(test_devices()),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(Qwen3OmniSpeech, StatesOfCode2Wav) {
  Code2Wav::Stream stream(voice_.code2wav());
  std::vector<float> room;
  const auto states = ops::to_host(cx_, stream.states(cx_, ids("text.codes")), room);
  EXPECT_LT(error(states, expected("hidden")), 1e-5);
}

// Ids, first logits, greedy codes from rows that a sequence keeps, and waves.
TEST_P(Qwen3OmniSpeech, EveryBoundaryEqualsTransformers) {
  const auto lines = parity::compare(kFixture, GetParam());
  EXPECT_EQ(lines.size(), 25u) << "five of each case";
  for (const parity::Line& line : lines) EXPECT_TRUE(line.pass) << parity::format(line);
}

// From the first frame on, however frames come.
TEST_P(Qwen3OmniSpeech, PiecesAreTheWhole) {
  const std::vector<int32_t> codes = ids("text.codes");
  const int64_t groups = voice_.codes_per_frame();
  for (const std::vector<int64_t>& pieces :
       {std::vector<int64_t>(23, 1), {2, 1, 7, 3, 1, 9}, {22, 1}}) {
    const auto stream = voice_.new_wave(cx_, "bass", {}, {});
    std::vector<float> wave;
    int64_t at = 0;
    for (const int64_t n : pieces) {
      const auto some =
          stream->push(cx_, std::span(codes).subspan(size_t(at * groups), size_t(n * groups)));
      EXPECT_FALSE(some.empty()) << "a frame is heard at once";
      wave.insert(wave.end(), some.begin(), some.end());
      at += n;
    }
    EXPECT_EQ(stream->finish(cx_),
              std::vector<float>(size_t(23 * voice_.samples_per_code()) - wave.size()))
        << "silence up to the end of the last frame";
    EXPECT_LT(error(wave, expected("text.wave")), 1e-5);
  }
}

// --- files

TEST(Qwen3OmniSpeechConfig, EveryKeyIsInAList) {
  EXPECT_EQ(check_voice_keys(kFixture / "checkpoint"), std::vector<std::string>());
}

TEST(Qwen3OmniSpeechConfig, Wrong) {
  struct Change {
    const char* at;
    const char* value;
    ErrorCode code;
    const char* says;
  };
  constexpr ErrorCode kCorrupt = ErrorCode::corrupt_file, kMissing = ErrorCode::not_found,
                      kUnsupported = ErrorCode::unsupported;
  const Change changes[] = {
      {"/talker_config/num_code_groups", "5", kCorrupt, "num_quantizers"},
      {"/talker_config/num_code_groups", "1", kCorrupt, "num_code_groups"},
      {"/talker_config/speaker_id", "{}", kCorrupt, "has no speaker_id"},
      {"/talker_config/speaker_id/alto", "5000", kCorrupt, "alto"},
      {"/talker_config/codec_eos_token_id", "null", kCorrupt, "codec_eos_token_id"},
      {"/talker_config/thinker_hidden_size", "64", kCorrupt, "linear_fc1"},
      {"/talker_config/position_id_per_seconds", "25", kCorrupt, "position_id_per_seconds"},
      {"/talker_config/text_config/vocab_size", "1024", kCorrupt, "nothing is said"},
      {"/talker_config/text_config/shared_expert_intermediate_size", "33", kCorrupt,
       "shared_expert"},
      {"/talker_config/text_config/hidden_act", "\"gelu\"", kUnsupported, "hidden_act"},
      {"/talker_config/code_predictor_config/hidden_size", "48", kCorrupt, "not as wide"},
      {"/talker_config/code_predictor_config/num_hidden_layers", "3", kMissing, "layers.2."},
      {"/talker_config/code_predictor_config/vocab_size", "41", kCorrupt, "smaller codebook"},
      {"/code2wav_config/codebook_size", "39", kCorrupt, "smaller codebook"},
      {"/code2wav_config/decoder_dim", "18", kCorrupt, "cannot be halved"},
      {"/code2wav_config/upsample_rates", "[4, 3, 2]", kMissing, "decoder.3.block"},
      {"/code2wav_config/upsample_rates", "[]", kCorrupt, "upsample_rates"},
      {"/code2wav_config/sliding_window", "0", kCorrupt, "sliding_window"},
      {"/code2wav_config/attention_bias", "true", kUnsupported, "attention_bias"},
      {"/tts_eos_token_id", "null", kCorrupt, "tts_eos_token_id"},
  };
  CheckpointCopy copy(kFixture / "checkpoint", "q3o_speech");
  for (const Change& c : changes) {
    nlohmann::json j = copy.original("config.json");
    j[nlohmann::json::json_pointer(c.at)] = nlohmann::json::parse(c.value);
    copy.write("config.json", j.dump());
    std::string said = "loaded";
    try {
      TalkerVoice(Weights::open(copy.folder()), SpeechConfig::read(copy.folder()), {});
    } catch (const Error& e) {
      EXPECT_EQ(int(e.code()), int(c.code)) << e.what();
      said = e.what();
    }
    EXPECT_NE(said.find(c.says), std::string::npos) << c.at << " " << c.value << ": " << said;
  }
}

// Through the threads of a stream: what a pad is given, of one turn and of those behind it.
TEST(Qwen3OmniSpeechStream, SoundIsThatOfTheCodes) {
  const fs::path folder = kFixture / "checkpoint";
  const auto engine = Engine::open(
      {.model_path = folder.string(), .device = "cpu", .precision = Precision::float32});
  SessionOptions o;
  o.system_prompt = "You watch a live feed.";
  o.settings.wants_speech = true;
  o.settings.sampling.max_tokens = 6;
  o.settings.speech.voice = "Bass";
  o.settings.speech.temperature = 0;
  const auto session = engine->make_session(o);
  const Tensor want =
      to_f32(Safetensors::open(kFixture / "expected.safetensors")->get("text.wave"));
  for (const char* question : {"Say hello.", "What do you hear?", "Say hello."}) {
    const TurnId turn = session->ask({question});
    std::shared_ptr<Speech> speech;
    while (!speech) {
      const auto event = session->next();
      ASSERT_TRUE(event && !std::holds_alternative<EndOfStream>(event->what));
      if (const auto* said = std::get_if<Utterance>(&event->what)) speech = said->speech;
    }
    std::vector<float> heard;
    while (int64_t(heard.size()) < want.numel()) {
      const auto some = speech->read(size_t(want.numel()) - heard.size());
      if (some.empty()) break;
      heard.insert(heard.end(), some.begin(), some.end());
    }
    speech->stop();
    session->put(SpeechEnded{turn, SpeechEnd::finished, 0, speech->n_read()});
    ASSERT_EQ(int64_t(heard.size()), want.numel()) << question;
    double worst = 0;
    for (int64_t i = 0; i < want.numel(); ++i)
      worst = std::max(worst, std::abs(double(heard[size_t(i)]) - double(want.f32()[i])));
    if (question == std::string("Say hello."))
      EXPECT_LT(worst, 1e-4);
    else
      EXPECT_GT(worst, 1e-2) << "another question has another answer";
  }
}

}  // namespace
}  // namespace omni::qwen3_omni
