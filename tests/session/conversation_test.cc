// A dialogue that remembers against transformers (tools/fixtures/make_conversation_fixture.py):
// every prompt has the tokens and positions of the template with all turns so far, and its greedy
// answer is the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "core/thread_pool.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "models/registry.h"
#include "omni/engine.h"
#include "parity/recording.h"
#include "session/dialogue.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

constexpr Nanoseconds kChunk = 2 * kSecond;

class Conversation {
 public:
  explicit Conversation(const fs::path& folder)
      : in_(parity::read_input(folder / "input")),
        engine_(Engine::open({.model_path = (folder / "checkpoint").string(),
                              .precision = Precision::float32,
                              .threads = 2})),
        family_(load_family({folder / "checkpoint", Precision::float32}, {})),
        scheduler_(*family_.text, pool_),
        masks_(*family_.prompter),
        turns_(Json::parse_file(folder / "conversation.json")),
        expected_(Safetensors::open(folder / "conversation.safetensors")) {}

  void run(const std::string& name) {
    const Json turns = turns_.at(name);
    ASSERT_GE(turns.size(), 6u);
    Dialogue dialogue(*family_.prompter, scheduler_, masks_,
                      {.system_prompt = "You watch a live feed.",
                       .tracks = {true, true},
                       .context_duration = 1000 * kSecond,
                       .remembers = true});
    Nanoseconds time = 0;
    for (size_t k = 0; k < turns.size(); ++k) {
      const Json turn = turns.at(k);
      enter(dialogue, turn.at("media").string(), time);
      time += 4 * kSecond;
      const std::string of = name + "." + std::to_string(k) + ".";
      expect_prompt(dialogue, of, turn.at("user").string());
      const Answer answer = ask(dialogue, turn.at("user").string(), TurnId(k + 1));
      EXPECT_EQ(answer.text, turn.at("text").string()) << of;
      EXPECT_EQ(dialogue.turns().back().answer, answer.text);
    }
  }

 private:
  std::vector<int64_t> ids(const std::string& name) const {
    const Tensor t = expected_->get(name);
    return {t.i64(), t.i64() + t.numel()};
  }

  // The session's order: chunks of 2 s, in each video first.
  void enter(Dialogue& dialogue, const std::string& what, Nanoseconds start) {
    std::vector<Segment> segments;
    if (what == "video" || what == "av") add_video(start, segments);
    if (what == "audio" || what == "av") add_sound(start, segments);
    if (what == "image") add_picture(start, segments);
    for (Nanoseconds begin = start; begin < start + 3 * kChunk; begin += kChunk)
      for (const bool sound : {false, true})
        for (const Segment& s : segments)
          if ((s.modality == Modality::audio) == sound && s.start >= begin &&
              s.start < begin + kChunk)
            dialogue.add({begin, kChunk}, s);
  }

  VideoFrame frame(int index, Nanoseconds start) const {
    return parity::rgb_frame(in_.rgb, in_.width, in_.height, index,
                             start + Nanoseconds(index / in_.fps.value() * double(kSecond)));
  }
  void add_video(Nanoseconds start, std::vector<Segment>& out) const {
    auto tokenizer = engine_->make_video_tokenizer({.frame_rate = in_.fps, .frames = in_.frames});
    for (int i = 0; i < in_.frames; ++i)
      if (auto s = tokenizer->push(frame(i, start))) out.push_back(std::move(*s));
    if (auto s = tokenizer->finish()) out.push_back(std::move(*s));
  }
  void add_picture(Nanoseconds start, std::vector<Segment>& out) const {
    auto tokenizer = engine_->make_video_tokenizer({.still = true});
    const auto& image = in_.images.at(0);
    if (auto s = tokenizer->push(parity::rgb_frame(image.rgb, image.width, image.height, 0, start)))
      out.push_back(std::move(*s));
  }
  void add_sound(Nanoseconds start, std::vector<Segment>& out) const {
    auto tokenizer = engine_->make_audio_tokenizer({});
    tokenizer->start(start);
    for (auto& s : tokenizer->push(in_.audio)) out.push_back(std::move(s));
    for (auto& s : tokenizer->finish()) out.push_back(std::move(s));
  }

  // What ask() would put there, of a turn that leaves no trace.
  void expect_prompt(Dialogue& dialogue, const std::string& of, const std::string& question) {
    std::vector<int64_t> prompt;
    std::vector<Position> positions;
    const std::atomic<bool> interrupted{false};
    const SamplingOptions one{.max_tokens = 1};
    dialogue.ask(question, {.sampling = one,
                            .on_token =
                                [&](const AnswerToken&) {
                                  const auto there = dialogue.sequence().ids();
                                  prompt.assign(there.begin(), there.end());
                                  positions = dialogue.sequence().positions();
                                },
                            .interrupted = interrupted});
    EXPECT_EQ(prompt, ids(of + "input_ids")) << of;
    const std::vector<int64_t> expected = ids(of + "position_ids");
    ASSERT_EQ(expected.size(), 3 * positions.size()) << of;
    for (size_t axis = 0; axis < 3; ++axis)
      for (size_t i = 0; i < positions.size(); ++i)
        ASSERT_EQ(positions[i][axis], expected[axis * positions.size() + i])
            << of << axis << ", " << i;
  }

  Answer ask(Dialogue& dialogue, const std::string& question, TurnId turn) {
    const std::atomic<bool> interrupted{false};
    const SamplingOptions greedy{.max_tokens = 16};
    return dialogue.ask(question, {.sampling = greedy,
                                   .on_token = [](const AnswerToken&) {},
                                   .interrupted = interrupted,
                                   .remembered_as = turn});
  }

  parity::Input in_;
  std::shared_ptr<const Engine> engine_;
  Family family_;
  ThreadPool pool_{2};
  Scheduler scheduler_;
  AnswerMasks masks_;
  Json turns_;
  std::shared_ptr<const Safetensors> expected_;
};

void converse(const std::string& folder, const std::string& name) {
  Conversation(OMNI_SOURCE_DIR "/tests/fixtures/" + folder).run(name);
}

TEST(Conversation, Qwen2_5Omni) { converse("qwen2_5_omni/a", "apart"); }
TEST(Conversation, Qwen2_5OmniOfFilmsWithSound) { converse("qwen2_5_omni/a", "together"); }
TEST(Conversation, Qwen2_5Vl) { converse("qwen2_5_vl/a", "apart"); }
TEST(Conversation, Qwen2Vl) { converse("qwen2_vl/a", "apart"); }
TEST(Conversation, Qwen3Vl) { converse("qwen3_vl/a", "apart"); }

}  // namespace
}  // namespace omni
