// The model of turns against onnxruntime (tests/fixtures/turns,
// tools/fixtures/make_turn_fixture.py), and what it makes of pauses.
#include "vad/turn_model.h"

#include <gtest/gtest.h>

#include "io/json.h"
#include "models/checkpoint_copy.h"
#include "vad/speech.h"
#include "vad/voice_activity.h"

namespace omni {
namespace {

constexpr char kFolder[] = OMNI_SOURCE_DIR "/tests/fixtures/turns/checkpoint";

const Json& reference() {
  static const Json json = Json::parse_file(OMNI_SOURCE_DIR "/tests/fixtures/turns/jfk.json");
  return json;
}

TEST(TurnModel, EqualsTheReference) {
  const TurnModel model(kFolder);
  EXPECT_EQ(model.window(), 8 * TurnModel::kSampleRate);
  ThreadPool pool(1);
  Arena arena;
  ops::Context cx{pool, arena};
  const std::vector<float> samples = jfk();
  const Json stretches = reference().at("stretches"), theirs = reference().at("probabilities");
  ASSERT_EQ(stretches.size(), theirs.size());
  for (size_t i = 0; i < stretches.size(); ++i) {
    const auto at = stretches.at(i).integers(0, int64_t(samples.size()));
    const auto stretch = std::span(samples).subspan(size_t(at[0]), size_t(at[1] - at[0]));
    EXPECT_NEAR(model(cx, stretch), theirs.at(i).number(0, 1), 1e-5) << at[0] << " to " << at[1];
  }
  std::vector<float> shifted(samples.begin(), samples.begin() + 16000);
  for (float& x : shifted) x += .1f;
  EXPECT_NEAR(model(cx, shifted), reference().at("shifted").number(0, 1), 1e-5);
}

// The checkpoint with its last layer times `scale`, plus `bias`.
class Changed {
 public:
  Changed(float scale, float bias, const std::string& name) : copy_(kFolder, name) {
    copy_.rewrite([&](const std::string& tensor, const Tensor& t, Tensors& tensors) {
      tensors[tensor] = t;
      if (!tensor.starts_with("classifier.6.")) return;
      Tensor changed = Tensor::zeros(DType::f32, t.shape());
      for (int64_t i = 0; i < t.numel(); ++i)
        changed.f32()[i] = scale * t.f32()[i] + (tensor.ends_with("bias") ? bias : 0);
      tensors[tensor] = changed;
    });
  }
  std::shared_ptr<const TurnModel> open() const { return open_turn_model(copy_.folder()); }

 private:
  CheckpointCopy copy_;
};

struct Turn {
  int64_t end, found;  // samples: of the speech, and when it was found over
  bool operator==(const Turn&) const = default;
};

std::vector<Turn> turns(std::shared_ptr<const TurnModel> model, size_t piece, int64_t silence_ms) {
  const std::vector<float> samples = jfk();
  const auto detector = make_turn_detector(silence_ms * kSecond / 1000, std::move(model));
  const auto sample = [](Nanoseconds t) { return (t * 16000 + kSecond / 2) / kSecond; };
  std::vector<Turn> out;
  const auto note = [&](const TurnEnded& t) {
    out.push_back({sample(t.speech.end()), sample(t.time)});
  };
  detector->start(0);
  for (size_t at = 0; at < samples.size(); at += piece)
    for (const TurnMark& m :
         detector->push(std::span(samples).subspan(at, std::min(piece, samples.size() - at))))
      if (const auto* turn = std::get_if<TurnEnded>(&m.what)) note(*turn);
  if (const auto turn = detector->finish()) note(*turn);
  return out;
}

// The pauses are of 16896, 15872 and 8704 samples, and the recording ends 6528 behind the last
// voice (tests/fixtures/vad). A pause is counted in windows of 512.
TEST(TurnModel, WhoHasFinishedHasFinishedSooner) {
  const Changed finished(0, 50, "turns_finished");
  EXPECT_EQ(turns(finished.open(), 512, 500), (std::vector<Turn>{{35840, 35840 + 4096},
                                                                 {70656, 70656 + 4096},
                                                                 {122368, 122368 + 4096},
                                                                 {169472, 169472 + 4096}}));
}

TEST(TurnModel, WhoGoesOnMayPauseForThreeTimesTheSilence) {
  const Changed goes_on(0, -50, "turns_go_on");
  EXPECT_EQ(turns(goes_on.open(), 512, 500), (std::vector<Turn>{{176000, 176000}}));
  EXPECT_EQ(turns(goes_on.open(), 512, 200),  // 3 · 3200 samples, and windows are whole
            (std::vector<Turn>{{35840, 35840 + 10240}, {70656, 70656 + 10240}, {176000, 176000}}));
}

// Made eight times as sure of itself, it finds what the reference's .584 and .791 are about over,
// and goes on with .450.
TEST(TurnModel, TheSameQuestionsAsTheReference) {
  const Json p = reference().at("probabilities");
  for (const auto& [i, low, high] : {std::tuple(6, .57, 1.), {7, 0., .57}, {8, .57, 1.}})
    p.at(size_t(i)).number(low, high);
  const Changed sure(8, 0, "turns_sure");
  const auto found = turns(sure.open(), 512, 500);
  ASSERT_GE(found.size(), 2u);
  EXPECT_EQ(found[0], (Turn{35840, 35840 + 4096}));
  EXPECT_EQ(found[1], (Turn{122368, 122368 + 4096}));
}

TEST(TurnModel, WhatIsOnlyLikelyIsNotBelieved) {
  EXPECT_EQ(turns(open_turn_model(kFolder), 512, 500), (std::vector<Turn>{{176000, 176000}}));
}

// At all degrees of assurance, so that what it hears is the same.
TEST(TurnModel, PiecesOfAnySizeAreTheWhole) {
  for (const float bias : {-4.f, -2.f, -1.f, 0.f, 1.f, 2.f, 4.f}) {
    const Changed sure(8, bias, "turns_pieces");
    const auto model = sure.open();
    const auto small = turns(model, 160, 500);
    for (const size_t piece : {513u, 30000u, 176000u})
      EXPECT_EQ(turns(model, piece, 500), small) << piece << ", " << bias;
  }
}

// Of a voice a fifth of a second, then for a second nothing, then somebody who speaks.
TEST(TurnModel, ACoughIsNoTurnAndNoBeginningOfOne) {
  const std::vector<float> voice = jfk();
  std::vector<float> samples;
  float highest = 0;
  for (int begin = 6000; highest < .7f && begin < 30000; begin += 1000) {
    samples.assign(64000, 0);
    std::copy_n(voice.begin() + begin, 3200, samples.begin() + 4000);
    VoiceActivity activity;
    highest = 0;
    activity.push(samples, [&](float p) { highest = std::max(highest, p); });
  }
  ASSERT_GE(highest, .7f);
  std::copy_n(voice.begin() + 5632, 30208, samples.begin() + 23040);
  for (const float bias : {-50.f, 50.f}) {
    const auto detector = make_turn_detector(kSecond / 2, Changed(0, bias, "turns_cough").open());
    detector->start(0);
    const auto marks = detector->push(samples);
    ASSERT_FALSE(marks.empty());
    const auto began = std::get<VoiceBegan>(marks[0].what).start;
    EXPECT_NEAR(double(began) / kSecond, 23040 / 16000., .05) << bias;
  }
}

TEST(TurnModel, IsSharedWhileItIsUsed) {
  const auto model = open_turn_model(kFolder);
  EXPECT_EQ(open_turn_model(kFolder), model);
}

std::string error_of(const std::string& folder, ErrorCode code) {
  try {
    open_turn_model(folder);
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(code)) << e.what();
    return e.what();
  }
  return "opened";
}

TEST(TurnModel, WhatIsNoneIsRefused) {
  const auto has = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has(error_of("no-such-model", ErrorCode::not_found), "turn-model-path no-such-model: ");
  has(error_of(OMNI_SOURCE_DIR "/models/nano", ErrorCode::unsupported), "is no model of turns");
  CheckpointCopy copy(kFolder, "turns_refused");
  const auto with = [&](const char* key, const nlohmann::json& value) {
    auto config = copy.original("config.json");
    config[key] = value;
    copy.write("config.json", config.dump());
    return error_of(copy.folder(), ErrorCode::corrupt_file);
  };
  has(with("encoder_layers", 0), "encoder_layers");
  has(with("encoder_attention_heads", 3), "heads");
  has(with("max_source_positions", 1 << 20), "max_source_positions");
  has(with("classifier_sizes", {12}), "classifier_sizes");
  has(with("activation_function", "relu"), "activation_function");
  copy.restore("config.json");
  copy.lose("classifier.4.weight", true);
  has(error_of(copy.folder(), ErrorCode::not_found), "classifier.4.weight");
}

}  // namespace
}  // namespace omni
