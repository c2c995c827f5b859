// What of an answer with calls of tools is spoken: its text, ahead of the calls and behind their
// results, and nothing of the calls.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/thread_pool.h"
#include "models/registry.h"
#include "session/dialogue.h"
#include "session/events.h"
#include "session/fake_voice.h"
#include "session/session.h"

namespace omni {
namespace {

constexpr const char* kTools =
    R"([{"type":"function","function":{"name":"show","parameters":{"type":"object","properties":)"
    R"({"camera":{"type":"string","enum":["door","yard"]}},"required":["camera"]}}}])";

class SpokenTools : public testing::Test {
 protected:
  std::unique_ptr<SpeechStream> speech() {
    return std::make_unique<SpeechStream>(nullptr, voice_, arenas_, pool_, SpeechSettings{});
  }
  static size_t n_rows_of(Speech& speech) {
    size_t n = 0;
    for (auto x = speech.read(7); !x.empty(); x = speech.read(7)) n += x.size();
    return n / FakeVoice::kSamplesACode;
  }

  ThreadPool pool_{1};
  Family family_ = load_family(
      {OMNI_SOURCE_DIR "/tests/fixtures/qwen3_omni/tools/checkpoint", Precision::float32}, {});
  Scheduler scheduler_{*family_.text, pool_};
  FakeVoice voice_;
  SpeechArenas arenas_{nullptr};
};

// What ends the text ahead of calls is no token.
TEST_F(SpokenTools, EveryTokenOfTheTextAndNoneOfACall) {
  AnswerMasks masks(*family_.prompter);
  const std::atomic<bool> interrupted{false};
  int n_calls = 0, n_with_text_ahead = 0;
  for (uint64_t seed = 0; n_calls < 20; ++seed) {
    ASSERT_LT(seed, 400u);
    Dialogue dialogue(*family_.prompter, scheduler_, masks,
                      {.seed = seed, .speech = true, .tools = parse_tools(kTools)});
    const auto said = speech();
    size_t n_text = 0, n_ahead = 0, n_rows = 0;
    std::thread listener([&] { n_rows = n_rows_of(*said); });
    const SamplingOptions sampling{.max_tokens = 64, .temperature = 1};
    dialogue.ask("Do it.", {.sampling = sampling,
                            .on_token = [&](const AnswerToken& t) { n_text += t.probability < 1; },
                            .wants_probabilities = true,
                            .speech = said.get(),
                            .interrupted = interrupted,
                            .call =
                                [&](const std::vector<ToolCall>& calls) {
                                  n_calls += int(calls.size());
                                  n_ahead = n_text;
                                  return std::vector<std::string>(calls.size(), "{}");
                                }});
    listener.join();
    n_with_text_ahead += n_ahead > 0;
    EXPECT_EQ(n_rows, n_text) << seed;
  }
  EXPECT_GT(n_with_text_ahead, 0);
}

TEST_F(SpokenTools, TheAnswerBehindAResultIsHeard) {
  SessionOptions o;
  o.tools = kTools;
  o.settings.sampling.max_tokens = 64;
  o.settings.wants_speech = true;
  const auto session = make_session(
      nullptr, *family_.prompter, scheduler_, [this](const SpeechOptions&) { return speech(); }, o);
  const TurnId turn = session->ask({"Do it."});
  std::shared_ptr<Speech> said;
  for (Event& e : up_to<ToolCall>(*session)) {
    if (const auto* u = as<Utterance>(e)) said = u->speech;
    if (const auto* call = as<ToolCall>(e))
      EXPECT_TRUE(session->put(ToolResult{call->id, "{}"}).accepted);
  }
  ASSERT_TRUE(said) << "whoever plays it has it before";
  EXPECT_GT(n_rows_of(*said), 0u);
  session->put(SpeechEnded{turn, SpeechEnd::finished, 0, 0});
  EXPECT_NE(as<TurnDone>(up_to<TurnDone>(*session).back())->answer.text, "");
}

}  // namespace
}  // namespace omni
