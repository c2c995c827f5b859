// Constrained decoding: a schema's grammar takes what fits and refuses the rest; whatever is drawn,
// the answer parses and fits.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "decoding/token_mask.h"
#include "grammar/json_schema.h"
#include "omni/engine.h"

namespace omni {
namespace {

bool fits(const Grammar& g, const std::string& text) {
  auto s = g.start();
  for (const char c : text) s = g.next(s, uint8_t(c));
  return Grammar::is_complete(s);
}

TEST(JsonSchema, TakesWhatFits) {
  struct {
    const char* schema;
    std::vector<const char*> good, bad;
  } cases[] = {
      {R"({"type":"boolean"})", {"true", "false"}, {"", "tru", "null", "truefalse"}},
      {R"({"type":["string","null"]})",
       {"null", "\"\"", "\"a\\n\xC3\xA4\""},
       {"\"", "\"\x01\"", "\"\xFF\"", "\"\\x\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\""}},
      {R"({"type":"integer","minimum":-7,"maximum":1234})",
       {"0", "-7", "-1", "9", "10", "999", "1000", "1199", "1234"},
       {"-8", "-0", "00", "01", "1235", "2000", "10000", "1.0", ""}},
      {R"({"type":"integer","minimum":95,"maximum":105})",
       {"95", "99", "100", "105"},
       {"94", "106", "9", "1000"}},
      {R"({"type":"number","minimum":0})",
       {"0", "0.5", "12.123456", "123456789"},
       {"-1", "1.", ".5", "1.1234567", "1e5"}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {"\"ab\"", "\"abc\"", "\"\xC3\xA4\xC3\xA4\""},
       {"\"a\"", "\"abcd\""}},
      {R"({"type":"array","items":{"type":"null"},"minItems":1,"maxItems":3})",
       {"[null]", "[null,null, null]"},
       {"[]", "[null,]", "[null,null,null,null]", "[null,  null]"}},
      {R"({"type":"array","items":{"enum":[1,"a",null]}})",
       {"[]", "[1,\"a\",null,1]"},
       {"[2]", "["}},
      {R"({"type":"object","properties":{"b":{"const":1},"a":{"const":2},"c":{"const":3}},"required":["b"]})",
       {R"({"b":1})", R"({"b": 1, "a": 2})", R"({"b":1,"c":3})", R"({"b":1,"a":2,"c":3})"},
       {"{}", R"({"a":2})", R"({"a":2,"b":1})", R"({"b":1,"a":2,})"}},
      {R"({"type":"object","properties":{"a":{"const":2},"c":{"const":3}}})",
       {"{}", R"({"a":2})", R"({"c":3})", R"({"a":2,"c":3})"},
       {R"({,"a":2})", R"({"c":3,"a":2})"}},
      {R"({"$defs":{"t":{"type":"object","required":["v"],"properties":{"v":{"type":"integer"},"k":{"type":"array","items":{"$ref":"#/$defs/t"}}}}},"$ref":"#/$defs/t"})",
       {R"({"v":1})", R"({"v":1,"k":[{"v":2,"k":[]},{"v":3}]})"},
       {R"({"k":[]})"}},
      {R"({"anyOf":[{"type":"integer"},{"type":"array","items":{"$ref":"#"}}]})",
       {"1", "[[1],2,[]]"},
       {"[1", "null"}},
  };
  for (const auto& c : cases) {
    const auto g = grammar_of_json_schema(c.schema);
    for (const char* t : c.good) EXPECT_TRUE(fits(*g, t)) << c.schema << " " << t;
    for (const char* t : c.bad) EXPECT_FALSE(fits(*g, t)) << c.schema << " " << t;
  }
}

TEST(JsonSchema, OneErrorThatNamesThePlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "not JSON"},
      {"{}", "at #: has neither type"},
      {R"({"type":"strin"})", "\"strin\""},
      {R"({"type":"string","pattern":"a"})", "\"pattern\""},
      {R"({"type":"array"})", "needs items"},
      {R"({"type":"array","items":{"type":"object","required":["x"]}})",
       "#/items: required names \"x\""},
      {R"({"type":"integer","minimum":5,"maximum":3})", "maximum"},
      {R"({"$ref":"#/nowhere"})", "points nowhere"},
      {R"({"$ref":"#"})", "no document of finite length"},
      {R"({"type":"array","minItems":1,"items":{"$ref":"#"}})", "no document of finite length"},
      {R"({"type":"array","items":{"type":"null"},"maxItems":1000000})", "maxItems"},
      {R"({"type":"array","items":{"type":"null"},"maxItems":1e300})", "maxItems"},
      {R"({"type":"array","items":{"type":"null"},"minItems":-1e300})", "minItems"},
      {R"({"type":"array","items":{"type":"null"},"minItems":9223372036854775807})", "minItems"},
      {R"({"type":"string","minLength":18446744073709551615})", "minLength"},
      {R"({"type":"string","maxLength":1.5})", "maxLength"},
      {R"({"type":"integer","minimum":-1e300})", "minimum"},
      {R"({"type":"integer","maximum":1e16})", "maximum"},
      {R"({"type":"number","minimum":1e300})", "minimum"},
      {R"({"type":"number","minimum":1e400})", "not JSON"},
      {"box", "\"boxes\" is the nearest"},
      {"Point", "\"points\" is the nearest"},
  };
  for (const auto& [schema, reason] : cases) {
    try {
      grammar_of_json_schema(schema);
      ADD_FAILURE() << schema;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::invalid_argument);
      EXPECT_NE(std::string(e.what()).find(reason), std::string::npos) << e.what();
    }
  }
}

// Of a schema as large as a screen of text, not of all memory and time.
TEST(JsonSchema, GrowsNoFurtherThanItsBounds) {
  const auto refused = [](const std::string& schema, const char* reason) {
    try {
      grammar_of_json_schema(schema);
      ADD_FAILURE() << reason;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::invalid_argument);
      EXPECT_NE(std::string(e.what()).find(reason), std::string::npos) << e.what();
    }
  };
  std::string chain = R"({"$defs":{)", wide = R"({"type":"object","properties":{)";
  for (int i = 0; i < 20'000; ++i)
    chain.append("\"").append(std::to_string(i)) +=
        R"(":{"$ref":"#/$defs/)" + std::to_string(i + 1) + "\"},";
  refused(chain + R"("20000":{"type":"null"}},"$ref":"#/$defs/0"})", "deeper than 256");
  for (int i = 0; i < 2'000; ++i)
    wide += (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"type":"string","maxLength":4096})";
  refused(wide + "}}", "too large a grammar");
}

// What a validator would say, for the schemas of this test.
bool valid(const nlohmann::json& s, const nlohmann::json& v) {
  if (s.contains("enum"))
    return std::find(s["enum"].begin(), s["enum"].end(), v) != s["enum"].end();
  const std::string type = s["type"];
  if (type == "object") {
    if (!v.is_object()) return false;
    for (const auto& r : s.value("required", nlohmann::json::array()))
      if (!v.contains(r)) return false;
    for (const auto& [key, value] : v.items())
      if (!s["properties"].contains(key) || !valid(s["properties"][key], value)) return false;
    return true;
  }
  if (type == "array") {
    if (!v.is_array() || v.size() < s.value("minItems", 0u) ||
        v.size() > s.value("maxItems", 1u << 30))
      return false;
    return std::all_of(v.begin(), v.end(),
                       [&](const auto& item) { return valid(s["items"], item); });
  }
  if (type == "integer")
    return v.is_number_integer() && v >= s.value("minimum", INT64_MIN) &&
           v <= s.value("maximum", INT64_MAX);
  if (type == "number") return v.is_number();
  if (type == "boolean") return v.is_boolean();
  return type == "string" && v.is_string();
}

TEST(TokenMask, ThousandAnswersOfARandomCheckpointFit) {
  const auto engine =
      Engine::open({.model_path = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint",
                    .precision = Precision::float32});
  const auto session = engine->make_session({.seed = 3});
  const std::string boxes =
      R"({"type":"array","items":{"type":"object","required":["bbox_2d","label"],"properties":{"bbox_2d":{"type":"array","items":{"type":"integer","minimum":0,"maximum":9999},"minItems":4,"maxItems":4},"label":{"type":"string"}}}})";
  const std::string schemas[] = {
      "boxes", "points",
      R"({"type":"object","required":["mood","n","list"],"properties":{"mood":{"enum":["calm","busy"]},"n":{"type":"number"},"list":{"type":"array","items":{"type":"string"},"minItems":2,"maxItems":5},"more":{"type":"boolean"}}})",
      R"({"type":"array","items":{"type":"array","items":{"type":"integer","minimum":-40,"maximum":40}},"minItems":1})"};
  for (int i = 0; i < 1000; ++i) {
    const std::string& schema = schemas[i % 4];
    const int budget = i % 3 == 0 ? 70 : 40 + i % 120;
    const SamplingOptions sampling{.max_tokens = budget, .temperature = 1.5, .json_schema = schema};
    const Answer a = ask_and_wait(*session, {"Detect.", sampling});
    ASSERT_TRUE(a.complete) << a.text;
    ASSERT_LE(a.tokens, budget);
    const auto json = nlohmann::json::parse(a.text, nullptr, false);
    ASSERT_FALSE(json.is_discarded()) << a.text;
    if (schema == "points") continue;  // no schema text of its own here
    ASSERT_TRUE(valid(nlohmann::json::parse(schema == "boxes" ? boxes : schema), json)) << a.text;
  }
}

TEST(TokenMask, ABudgetThatIsTooSmallIsAnError) {
  const auto engine =
      Engine::open({.model_path = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint",
                    .precision = Precision::float32});
  const auto session = engine->make_session({});
  SamplingOptions sampling{.max_tokens = 20,
                           .json_schema = R"({"const":"a text of more than twenty bytes"})"};
  try {
    ask_and_wait(*session, {"?", sampling});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(e.what()).find("max-tokens 20"), std::string::npos) << e.what();
  }
  sampling.max_tokens = 50;
  EXPECT_EQ(ask_and_wait(*session, {"?", sampling}).text, "\"a text of more than twenty bytes\"");
}

}  // namespace
}  // namespace omni
