// Tools: the template against transformers (tools/fixtures/make_tools_fixture.py), calls held to
// their schemas, results, and turns that end while calls wait.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "core/thread_pool.h"
#include "io/json.h"
#include "models/checkpoint_copy.h"
#include "models/registry.h"
#include "omni/engine.h"
#include "session/dialogue.h"
#include "session/events.h"
#include "session/tool_calls.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = OMNI_SOURCE_DIR "/tests/fixtures";
const fs::path kVl = kFixtures / "qwen3_vl/tools", kOmni = kFixtures / "qwen3_omni/tools";

Json about(const fs::path& fixture) { return Json::parse_file(fixture / "tools.json"); }
std::string functions() { return about(kVl).at("tools").string(); }

std::vector<int32_t> ids_of(const Json& list) {
  std::vector<int32_t> out;
  for (const int64_t id : list.integers(0, INT32_MAX)) out.push_back(int32_t(id));
  return out;
}

std::vector<ToolStep> steps_of(const Json& turn, size_t n) {
  std::vector<ToolStep> steps;
  for (size_t i = 0; i < n; ++i) {
    const Json step = turn.at("steps").at(i);
    ToolStep& s = steps.emplace_back();
    s.thought = step.at("thought").string();
    s.text = step.at("text").string();
    for (size_t k = 0; k < step.at("calls").size(); ++k) {
      const Json call = step.at("calls").at(k);
      s.calls.push_back({{}, call.at("name").string(), call.at("arguments").string()});
      s.results.push_back(step.at("results").at(k).string());
    }
  }
  return steps;
}

// --- the template

void append(Rows& all, const Rows& rows) {
  all.ids.insert(all.ids.end(), rows.ids.begin(), rows.ids.end());
  all.positions.insert(all.positions.end(), rows.positions.begin(), rows.positions.end());
}

// Every prompt of the conversation.
void expect_prompts(const fs::path& checkpoint, const Json& fixture, const char* how) {
  const Family family = load_family({checkpoint, Precision::float32}, {});
  ASSERT_NE(family.prompter->tools(), nullptr);
  const ToolTemplate& tools = *family.prompter->tools();
  const std::vector<std::string> declarations =
      parse_tools(fixture.at("tools").string()).declarations;
  const Json turns = fixture.at("turns"), prompts = fixture.at(how).at("prompts");
  EXPECT_GE(turns.size(), 4u);
  for (size_t i = 0; i < prompts.size(); ++i) {
    const size_t at = size_t(prompts.at(i).integer("turn", 0, 100)),
                 n_steps = size_t(prompts.at(i).integer("steps", 0, 100));
    Cursor cursor;
    Rows rows = tools.begin_dialogue(cursor, fixture.at("system").string(), declarations);
    for (size_t t = 0; t < at; ++t) {
      const Json turn = turns.at(t);
      const std::string user = turn.at("user").string(), answer = turn.at("answer").string();
      const size_t n = turn.at("steps").size();
      append(rows, n == 0 ? family.prompter->answered(cursor, user, answer)
                          : tools.answered(cursor, user, steps_of(turn, n), answer));
    }
    const std::string user = turns.at(at).at("user").string();
    append(rows, n_steps == 0 ? family.prompter->ask(cursor, user)
                              : tools.go_on(cursor, user, steps_of(turns.at(at), n_steps)));
    EXPECT_EQ(rows.ids, ids_of(prompts.at(i).at("ids"))) << how << " " << at << " " << n_steps;
    for (size_t k = 0; k < rows.size(); ++k)
      ASSERT_EQ(rows.positions[k], (Position{int32_t(k), int32_t(k), int32_t(k)}));
  }
}

TEST(Tools, PromptsAreThoseOfTransformers) {
  expect_prompts(kVl / "checkpoint", about(kVl), "plain");
  expect_prompts(kOmni / "checkpoint", about(kOmni), "plain");
}

TEST(Tools, ThoughtsStayWhileATurnGoesOn) {
  const Json fixture = about(kVl);
  CheckpointCopy copy(kVl / "checkpoint", "tools_thinking");
  copy.write("chat_template.jinja", fixture.at("thinking").at("chat_template").string());
  expect_prompts(copy.folder(), fixture, "thinking");
}

// --- what is set

std::string refusal(const std::string& tools) {
  try {
    parse_tools(tools);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::invalid_argument);
    return e.what();
  }
  return {};
}

std::string function(const std::string& parameters, const std::string& name = "f") {
  return R"([{"type":"function","function":{"name":")" + name + R"(","parameters":)" + parameters +
         "}}]";
}

TEST(Tools, WhatIsWrongIsSaid) {
  EXPECT_EQ(refusal(""), "");
  EXPECT_EQ(refusal("[]"), "");
  EXPECT_EQ(refusal(functions()), "");
  EXPECT_EQ(refusal(function("{}")), "");
  const auto says = [](const std::string& tools, const std::string& what) {
    EXPECT_NE(refusal(tools).find(what), std::string::npos) << tools << "\n" << refusal(tools);
    EXPECT_TRUE(refusal(tools).starts_with("tools")) << refusal(tools);
  };
  says("{}", "is no list");
  says("[", "tools");
  says("[1]", "tools[0] is no function");
  says(R"([{"type":"function"}])", "function");
  says(R"([{"type":"retrieval","function":{"name":"f"}}])", "is no function");
  says(R"([{"type":"function","function":{"name":"two words"}}])", "has a name that is not");
  says(R"([{"type":"function","function":{"name":""}}])", "has a name that is not");
  says(function("{}", std::string(65, 'a')), "has a name that is not");
  says("[" + function("{}").substr(1, function("{}").size() - 2) + "," + function("{}").substr(1),
       "has the name of another: f");
  says(function("[]"), "is no JSON Schema");
  says(function(R"({"type":"string"})"), "is not of the type \"object\"");
  says(function(R"({"type":"object","properties":{"a":{"type":"string","pattern":"x"}}})"),
       "parameters of f at #/properties/a: the keyword \"pattern\"");
  says(function(R"({"type":"object","required":["a"],"properties":{"a":{"$ref":"#"}}})"),
       "no document of finite length");
  std::string many = "[";
  for (int i = 0; i <= 128; ++i)
    many += std::string(i ? "," : "") + R"({"type":"function","function":{"name":"f)" +
            std::to_string(i) + R"("}})";
  says(many + "]", "has more than 128 functions");
}

TEST(Tools, AFamilyWithoutATemplateForThemSaysSo) {
  for (const char* fixture : {"qwen2_5_omni/a", "qwen2_5_vl/a", "qwen2_vl/a"}) {
    const auto engine = Engine::open({.model_path = (kFixtures / fixture / "checkpoint").string()});
    SessionOptions o;
    o.tools = functions();
    try {
      engine->make_session(o);
      ADD_FAILURE() << fixture;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::unsupported);
      EXPECT_STREQ(e.what(), "tools: this checkpoint's family has no template for tools");
    }
  }
}

// --- calls that wait, with a clock of the test's

TEST(ToolCalls, EachHasAnIdOfItsOwn) {
  ToolCalls calls;
  const auto first = calls.begin({{{}, "a", "{}"}, {{}, "b", "{}"}}, 0);
  EXPECT_EQ(first[0].id, "call_1");
  EXPECT_EQ(first[1].id, "call_2");
  EXPECT_FALSE(calls.put({"call_3", "1"}));
  EXPECT_TRUE(calls.put({"call_2", "two"}));
  EXPECT_FALSE(calls.put({"call_2", "again"}));
  EXPECT_TRUE(calls.are_waiting());
  EXPECT_TRUE(calls.put({"call_1", "one"}));
  EXPECT_FALSE(calls.are_waiting());
  EXPECT_EQ(calls.take_results(), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(calls.begin({{{}, "a", "{}"}}, 0)[0].id, "call_3");
  EXPECT_FALSE(calls.put({"call_1", "late"}));
}

TEST(ToolCalls, ResultsAreBounded) {
  ToolCalls calls;
  calls.begin({{{}, "a", "{}"}}, 0);
  EXPECT_FALSE(calls.put({"call_1", std::string(ToolCalls::kLongestResult + 1, 'x')}));
  EXPECT_FALSE(calls.put({"call_1", "\xFF"}));
  EXPECT_TRUE(calls.put({"call_1", std::string(ToolCalls::kLongestResult, 'x')}));
}

TEST(ToolCalls, OneThatNeverComesIsAnErrorInTime) {
  constexpr Nanoseconds kMs = kSecond / 1000;
  ToolCalls calls;
  calls.begin({{{}, "a", "{}"}, {{}, "b", "{}"}}, 100 * kMs);
  EXPECT_TRUE(calls.put({"call_1", "one"}));
  EXPECT_EQ(calls.left(100 * kMs, 30 * kMs), 30 * kMs);
  EXPECT_EQ(calls.left(129 * kMs, 30 * kMs), kMs);
  EXPECT_TRUE(calls.expire(129 * kMs, 30 * kMs).empty());
  EXPECT_EQ(calls.left(1000 * kSecond, 0), std::nullopt) << "0: for ever";
  EXPECT_TRUE(calls.expire(1000 * kSecond, 0).empty());
  const auto late = calls.expire(130 * kMs, 30 * kMs);
  ASSERT_EQ(late.size(), 1u);
  EXPECT_EQ(late[0].name, "b");
  EXPECT_FALSE(calls.put({"call_2", "too late"}));
  EXPECT_EQ(calls.left(131 * kMs, 30 * kMs), std::nullopt);
  EXPECT_EQ(calls.take_results(),
            (std::vector<std::string>{"one", R"({"error": "no result within 30 ms"})"}));
}

// --- calls that are drawn

void expect_fits(const ToolCall& call) {
  const Json arguments = Json::parse(call.arguments, "the arguments");
  std::vector<std::string> allowed;
  if (call.name == "switch_camera") {
    allowed = {"camera", "fade"};
    const std::string camera = arguments.at("camera").string();
    EXPECT_TRUE(camera == "door" || camera == "yard" || camera == "Küche") << camera;
    arguments.number_or("fade", 0, 0, 1e300);
  } else if (call.name == "set-light") {
    allowed = {"on", "level"};
    arguments.at("on").boolean();
    arguments.integer("level", 0, 100);
  } else {
    EXPECT_EQ(call.name, "what_time");
  }
  for (const std::string& key : arguments.keys())
    EXPECT_NE(std::find(allowed.begin(), allowed.end(), key), allowed.end()) << call.arguments;
}

std::shared_ptr<const Engine> engine_of(const fs::path& fixture) {
  static std::map<fs::path, std::shared_ptr<const Engine>> engines;
  auto& engine = engines[fixture];
  if (!engine)
    engine = Engine::open({.model_path = (fixture / "checkpoint").string(),
                           .precision = Precision::float32,
                           .threads = 1});
  return engine;
}

// Calls a second, and text in between.
SessionOptions calling(uint64_t seed, int max_tokens = 96) {
  SessionOptions o;
  o.system_prompt = "You watch.";
  o.tools = functions();
  o.seed = seed;
  o.settings.sampling.max_tokens = max_tokens;
  o.settings.sampling.temperature = 1;
  return o;
}

void expect_calls(const fs::path& fixture, int n, const std::string& schema) {
  int n_calls = 0, n_steps_with_several = 0, n_documents = 0;
  for (uint64_t seed = 0; n_calls < n; ++seed) {
    ASSERT_LT(seed, 40u * uint64_t(n)) << "it does not like to call";
    SessionOptions o = calling(seed);
    o.settings.sampling.json_schema = schema;
    const auto session = engine_of(fixture)->make_session(o);
    std::vector<ToolCall> waiting;
    const Answer answer = ask_and_wait(*session, {"Do it."}, [&](const Event& e) {
      const auto* call = as<ToolCall>(e);
      if (!call) return;
      ++n_calls;
      expect_fits(*call);
      EXPECT_EQ(e.turn, 1u);
      EXPECT_TRUE(session->put(ToolResult{call->id, R"({"ok": true})"}).accepted);
      waiting.push_back(*call);
    });
    n_steps_with_several += waiting.size() > 1;
    for (const char* markup : {"tool_call", "arguments", "tool_response"})
      EXPECT_EQ(answer.text.find(markup), std::string::npos) << answer.text;
    EXPECT_LE(answer.tokens, o.settings.sampling.max_tokens);
    if (!schema.empty() && answer.complete) {
      ++n_documents;
      Json::parse(answer.text.substr(answer.text.find('{')), "the document").at("a").boolean();
    }
  }
  EXPECT_GT(n_steps_with_several, 0);
  EXPECT_EQ(n_documents > 0, !schema.empty());
}

TEST(Tools, AThousandDrawnCallsParse) { expect_calls(kVl, 1000, ""); }
TEST(Tools, DrawnCallsOfAMixtureOfExpertsParse) { expect_calls(kOmni, 100, ""); }
TEST(Tools, ACallMayComeInPlaceOfADocument) {
  expect_calls(kVl, 60,
               R"({"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"]})");
}

// --- what is in the context

// Of turns with calls, and while they go on: what the template has.
class ToolDialogue : public testing::TestWithParam<fs::path> {};

TEST_P(ToolDialogue, HasTheTemplatesTokens) {
  const Family family = load_family({GetParam() / "checkpoint", Precision::float32}, {});
  ThreadPool pool{1};
  Scheduler scheduler(*family.text, pool);
  AnswerMasks masks(*family.prompter);
  const Tools tools = parse_tools(functions());
  const ToolTemplate& turns = *family.prompter->tools();
  int n_steps = 0;
  for (uint64_t seed = 0; n_steps < 20; ++seed) {
    ASSERT_LT(seed, 400u);
    Dialogue dialogue(*family.prompter, scheduler, masks,
                      {.system_prompt = "You watch.",
                       .context_duration = 60 * kSecond,
                       .seed = seed,
                       .remembers = true,
                       .tools = tools});
    Cursor cursor;
    Rows expected = turns.begin_dialogue(cursor, "You watch.", tools.declarations);
    for (TurnId turn = 1; turn <= 3; ++turn) {
      const std::string question = "Question " + std::to_string(turn);
      std::vector<ToolStep> steps;
      std::string text;
      bool goes_on = false;
      const std::atomic<bool> interrupted{false};
      const SamplingOptions sampling{.max_tokens = 96, .temperature = 1};
      const auto on_token = [&](const AnswerToken& t) {
        if (std::exchange(goes_on, false)) {
          Rows so_far = expected;
          Cursor end = cursor;
          append(so_far, turns.go_on(end, question, steps));
          const auto there = dialogue.sequence().ids();
          EXPECT_EQ(so_far.ids, (std::vector<int32_t>{there.begin(), there.end()}));
        }
        text += t.text;
      };
      const Answer answer =
          dialogue.ask(question, {.sampling = sampling,
                                  .on_token = on_token,
                                  .interrupted = interrupted,
                                  .remembered_as = turn,
                                  .call = [&](const std::vector<ToolCall>& calls) {
                                    ++n_steps;
                                    goes_on = true;
                                    steps.push_back({{}, std::exchange(text, {}), calls, {}});
                                    for (size_t i = 0; i < calls.size(); ++i)
                                      steps.back().results.push_back("r" + std::to_string(i));
                                    return steps.back().results;
                                  }});
      std::string said;
      for (const ToolStep& step : steps) said += step.text;
      EXPECT_EQ(dialogue.turns().back().answer, answer.text);
      ASSERT_LE(said.size(), answer.text.size());
      append(expected, steps.empty() ? family.prompter->answered(cursor, question, answer.text)
                                     : turns.answered(cursor, question, steps,
                                                      answer.text.substr(said.size())));
      const auto there = dialogue.sequence().ids();
      EXPECT_EQ(expected.ids, (std::vector<int32_t>{there.begin(), there.end()})) << seed;
      EXPECT_EQ(expected.positions, dialogue.sequence().positions());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tools, ToolDialogue, testing::Values(kVl, kOmni),
                         [](const auto& of) { return of.param == kVl ? "vl" : "omni"; });

// --- turns whose calls wait

// With the likeliest tokens: a call, and text behind its result.
SessionOptions greedy(Nanoseconds timeout = kDefaultToolTimeout) {
  SessionOptions o = calling(0, 64);
  o.settings.sampling.temperature = 0;
  o.settings.tool_timeout = timeout;
  o.settings.remember = true;
  return o;
}

// A wrong program fails by it, and does not hang.
constexpr Nanoseconds kLong = 20 * kSecond;

TEST(Tools, ACallItsResultAndTheAnswer) {
  const auto session = engine_of(kOmni)->make_session(greedy());
  session->ask({"Do it."});
  const ToolCall call = *as<ToolCall>(up_to<ToolCall>(*session).back());
  expect_fits(call);
  EXPECT_FALSE(session->put(ToolResult{"call_99", "1"}).accepted) << "no such call";
  EXPECT_TRUE(session->put(ToolResult{call.id, "1"}).accepted);
  EXPECT_FALSE(session->put(ToolResult{call.id, "2"}).accepted) << "it has one";
  const auto events = up_to<TurnDone>(*session);
  EXPECT_NE(as<TurnDone>(events.back())->answer.text, "");
  EXPECT_EQ(session->stats().n_tool_calls, 1u);
  EXPECT_EQ(session->stats().n_tool_timeouts, 0u);
  EXPECT_EQ(session->remembered().back().answer, as<TurnDone>(events.back())->answer.text);
}

TEST(Tools, ACallThatNobodyAnswersIsTold) {
  const auto session = engine_of(kVl)->make_session(greedy(20 * kSecond / 1000));
  session->ask({"Do it."});
  const ToolCall call = *as<ToolCall>(up_to<ToolCall>(*session).back());
  const auto events = up_to<ToolTimedOut>(*session);
  EXPECT_EQ(as<ToolTimedOut>(events.back())->call.id, call.id);
  EXPECT_FALSE(session->put(ToolResult{call.id, "late"}).accepted);
  up_to<TurnDone>(*session);
  EXPECT_EQ(session->stats().n_tool_timeouts, 1u);
}

TEST(Tools, TheTimeoutMayChangeWhileACallWaits) {
  const auto session = engine_of(kVl)->make_session(greedy(0));
  session->ask({"Do it."});
  up_to<ToolCall>(*session);
  SessionSettings s = session->settings();
  s.tool_timeout = kSecond / 1000;
  session->set(s);
  up_to<ToolTimedOut>(*session);
  up_to<TurnDone>(*session);
}

TEST(Tools, AnInterruptGivesCallsUp) {
  const auto session = engine_of(kVl)->make_session(greedy(kLong));
  const TurnId turn = session->ask({"Do it."});
  const ToolCall call = *as<ToolCall>(up_to<ToolCall>(*session).back());
  session->interrupt(turn);
  const auto events = up_to<TurnDone>(*session);
  EXPECT_FALSE(as<TurnDone>(events.back())->answer.complete);
  EXPECT_FALSE(session->put(ToolResult{call.id, "late"}).accepted);
  EXPECT_EQ(session->stats().n_tool_timeouts, 0u);
  EXPECT_EQ(session->remembered().size(), 1u) << "and the conversation goes on";
  session->ask({"And now?"});
  up_to<TurnDone>(*session);
}

TEST(Tools, AFlushAndAResetGiveCallsUp) {
  const auto session = engine_of(kVl)->make_session(greedy(kLong));
  session->ask({"Do it."});
  ToolCall call = *as<ToolCall>(up_to<ToolCall>(*session).back());
  session->flush();
  EXPECT_FALSE(session->put(ToolResult{call.id, "late"}).accepted);
  up_to<Flushed>(*session);
  session->ask({"Do it."});
  call = *as<ToolCall>(up_to<ToolCall>(*session).back());
  session->reset();
  up_to<TurnDone>(*session);
  EXPECT_FALSE(session->put(ToolResult{call.id, "late"}).accepted);
  EXPECT_EQ(session->stats().n_tool_timeouts, 0u);
}

TEST(Tools, TheEndWaitsForResultsAndNotForEver) {
  for (const bool is_answered : {true, false}) {
    SessionOptions o = greedy(is_answered ? 0 : 20 * kSecond / 1000);
    o.settings.has_questions = true;
    const auto session = engine_of(kVl)->make_session(o);
    session->put(UserText{"Do it."});
    session->put(TrackEnded{Track::questions});
    const ToolCall call = *as<ToolCall>(up_to<ToolCall>(*session).back());
    if (is_answered) session->put(ToolResult{call.id, "1"});
    const auto events = up_to<EndOfStream>(*session);
    EXPECT_EQ(std::count_if(events.begin(), events.end(),
                            [](const Event& e) { return as<TurnDone>(e) != nullptr; }),
              1);
  }
}

TEST(Tools, ASessionThatIsSavedGivesCallsUp) {
  const fs::path file =
      fs::temp_directory_path() / ("omni_tools_test_" + std::to_string(::getpid()) + ".session");
  const auto session = engine_of(kVl)->make_session(greedy(kLong));
  session->ask({"Do it."});
  const ToolCall call = *as<ToolCall>(up_to<ToolCall>(*session).back());
  session->save(file.string());
  const auto events = up_to<SessionStored>(*session);
  EXPECT_FALSE(as<SessionStored>(events.back())->error);
  EXPECT_EQ(session->stats().n_tool_timeouts, 0u);
  EXPECT_FALSE(session->put(ToolResult{call.id, "late"}).accepted);
  const auto loaded = engine_of(kVl)->make_session(greedy(kLong));
  loaded->load(file.string());
  EXPECT_FALSE(as<SessionStored>(up_to<SessionStored>(*loaded).back())->error);
  EXPECT_EQ(loaded->remembered(), session->remembered());
  EXPECT_EQ(loaded->stats().context_tokens, session->stats().context_tokens);
  SessionOptions other = greedy(kLong);
  other.tools = function("{}");
  const auto of_others = engine_of(kVl)->make_session(other);
  of_others->load(file.string());
  const auto refused = up_to<SessionStored>(*of_others);
  ASSERT_TRUE(as<SessionStored>(refused.back())->error);
  EXPECT_EQ(as<SessionStored>(refused.back())->error->code(), ErrorCode::invalid_argument);
  fs::remove(file);
}

// Whatever comes when, every turn ends, and so does the session.
TEST(Tools, WhateverComesWhileCallsWait) {
  std::mt19937 random(5);
  for (uint64_t round = 0; round < 150; ++round) {
    SessionOptions o = calling(round, 48);
    o.settings.has_questions = true;
    o.settings.remember = round % 2;
    o.settings.tool_timeout = round % 3 ? kSecond / 1000 : 0;
    const auto session = engine_of(kVl)->make_session(o);
    std::atomic<bool> ended{false};
    std::jthread other([&, seed = random()] {
      std::mt19937 own(seed);
      for (int i = 0; i < 4 && !ended; ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds(own() % 3000));
        switch (own() % 5) {
          case 0:
            session->interrupt();
            break;
          case 1:
            session->flush();
            session->put(TrackBegan{Track::questions});
            session->put(UserText{"Again."});
            break;
          case 2:
            session->reset();
            break;
          case 3:
            session->put(ToolResult{"call_" + std::to_string(own() % 4), "1"});
            break;
          case 4:
            session->put(UserText{"And now?"});
            break;
        }
      }
      session->put(TrackEnded{Track::questions});
      while (!ended) {
        session->interrupt();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
    session->put(UserText{"Do it."});
    while (auto event = session->next()) {
      if (const auto* call = as<ToolCall>(*event); call && random() % 2)
        session->put(ToolResult{call->id, "{}"});
      if (as<EndOfStream>(*event)) break;
    }
    ended = true;
  }
}

}  // namespace
}  // namespace omni
