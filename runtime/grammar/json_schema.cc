#include "grammar/json_schema.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "io/json.h"
#include "omni/error.h"

namespace omni {

namespace {

constexpr int64_t kLargest = 999'999'999'999'999;  // 15 digits: exact in a double
constexpr int64_t kMostRepeats = 4096;
constexpr int kMostDepth = 256;           // of references that lead on to others
constexpr size_t kMostSymbols = 1 << 20;  // of the grammar: some tens of MB

class Compiler {
 public:
  // Into `grammar`. `what` the schema is of, for what is wrong with it.
  Compiler(const std::string& text, std::string what, std::shared_ptr<Grammar> grammar)
      : what_(std::move(what)), root_(Json::parse(text, what_)), grammar_(std::move(grammar)) {}

  // The rule of the documents that fit.
  int compile() { return rule_of(root_, "#"); }

 private:
  using Sequence = Grammar::Sequence;

  [[noreturn]] void fail(const std::string& path, const std::string& reason) const {
    throw Error(ErrorCode::invalid_argument, what_ + " at " + path + ": " + reason);
  }

  void know_keywords(const Json& s, const std::string& path, std::set<std::string> known) const {
    known.insert({"type", "title", "description", "default", "examples", "$schema", "$id",
                  "$comment", "$defs", "definitions", "additionalProperties", "propertyOrdering"});
    for (const std::string& k : s.keys())
      if (!known.contains(k)) fail(path, "the keyword \"" + k + "\" is not supported here");
  }

  static double any_number(const Json& s, const std::string& key) {
    constexpr double kMost = std::numeric_limits<double>::max();
    return s.number(key, -kMost, kMost);
  }
  int64_t whole(const Json& s, const std::string& path, const std::string& key, int64_t otherwise,
                int64_t low, int64_t high) const {
    if (!s.has(key)) return otherwise;
    const double v = any_number(s, key);
    if (!(v >= double(low) && v <= double(high)) || v != std::floor(v))
      fail(path, key + " must be a whole number from " + std::to_string(low) + " to " +
                     std::to_string(high));
    return int64_t(v);
  }

  // --- pieces

  int new_rule(const std::vector<Sequence>& alternatives) {
    const int rule = grammar_->add_rule();
    for (const Sequence& a : alternatives) grammar_->add_alternative(rule, a);
    return rule;
  }
  Sequence text(std::string_view t) { return grammar_->literal(t); }
  static Sequence join(std::initializer_list<Sequence> parts) {
    Sequence out;
    for (const Sequence& p : parts) out.insert(out.end(), p.begin(), p.end());
    return out;
  }
  Sequence use(int rule) { return {Grammar::use(rule)}; }
  Grammar::Symbol range(int low, int high) {
    ByteSet set;
    for (int b = low; b <= high; ++b) set.set(size_t(b));
    return grammar_->one_of(set);
  }
  Sequence separator(const char* mark) {
    if (space_ < 0) space_ = new_rule({{}, text(" ")});
    return join({text(mark), use(space_)});
  }

  // `item` from `low` to `high` times (high < 0: without end); every time but the first behind
  // `between`.
  Sequence repeat(const Sequence& item, const Sequence& between, int64_t low, int64_t high) {
    const Sequence following = join({between, item});
    int rest;
    if (high < 0) {
      rest = grammar_->add_rule();
      grammar_->add_alternative(rest, {});
      grammar_->add_alternative(rest, join({following, use(rest)}));
    } else {
      rest = new_rule({{}});
      for (int64_t i = std::max<int64_t>(low, 1); i < high; ++i)
        rest = new_rule({{}, join({following, use(rest)})});
    }
    if (high == 0) return {};
    Sequence out = item;
    for (int64_t i = 1; i < low; ++i) out.insert(out.end(), following.begin(), following.end());
    out.push_back(Grammar::use(rest));
    if (low > 0) return out;
    return use(new_rule({{}, out}));
  }

  // --- scalars

  // One character of a string: UTF-8 of RFC 3629, or an escape.
  Sequence character() {
    if (character_ < 0) {
      ByteSet plain;
      for (int b = 0x20; b < 0x7F; ++b) plain.set(size_t(b), b != '"' && b != '\\');
      ByteSet escaped;
      for (const char c : std::string("\"\\/bfnrt")) escaped.set(size_t(c));
      const auto more = range(0x80, 0xBF);
      character_ = new_rule({{grammar_->one_of(plain)},
                             join({text("\\"), {grammar_->one_of(escaped)}}),
                             {range(0xC2, 0xDF), more},
                             {range(0xE0, 0xE0), range(0xA0, 0xBF), more},
                             {range(0xE1, 0xEC), more, more},
                             {range(0xED, 0xED), range(0x80, 0x9F), more},
                             {range(0xEE, 0xEF), more, more},
                             {range(0xF0, 0xF0), range(0x90, 0xBF), more, more},
                             {range(0xF1, 0xF3), more, more, more},
                             {range(0xF4, 0xF4), range(0x80, 0x8F), more, more}});
    }
    return use(character_);
  }

  // Decimal numbers from low to high, both of n digits; `prefix` alternatives are collected in
  // `out`.
  void digits(const std::string& low, const std::string& high, size_t at, Sequence prefix,
              std::vector<Sequence>& out) {
    if (at == low.size()) {
      out.push_back(prefix);
      return;
    }
    const bool open_low =
        std::all_of(low.begin() + std::ptrdiff_t(at), low.end(), [](char c) { return c == '0'; });
    const bool open_high =
        std::all_of(high.begin() + std::ptrdiff_t(at), high.end(), [](char c) { return c == '9'; });
    if (open_low && open_high) {
      for (size_t i = at; i < low.size(); ++i) prefix.push_back(range('0', '9'));
      out.push_back(prefix);
      return;
    }
    const auto with = [&](char a, char b) {
      Sequence p = prefix;
      p.push_back(range(a, b));
      return p;
    };
    const std::string zeros(low.size(), '0'), nines(low.size(), '9');
    if (low[at] == high[at]) return digits(low, high, at + 1, with(low[at], low[at]), out);
    digits(low, nines, at + 1, with(low[at], low[at]), out);
    if (low[at] + 1 < high[at])
      digits(zeros, nines, at + 1, with(char(low[at] + 1), char(high[at] - 1)), out);
    digits(zeros, high, at + 1, with(high[at], high[at]), out);
  }
  void natural(int64_t low, int64_t high, const Sequence& prefix, std::vector<Sequence>& out) {
    if (low == 0) {
      out.push_back(join({prefix, text("0")}));
      low = 1;
    }
    for (int64_t power = 1; power <= high; power *= 10) {
      const int64_t a = std::max(low, power), b = std::min(high, power * 10 - 1);
      if (a <= b) digits(std::to_string(a), std::to_string(b), 0, prefix, out);
    }
  }
  std::vector<Sequence> integer(int64_t low, int64_t high) {
    std::vector<Sequence> out;
    if (high >= 0) natural(std::max<int64_t>(low, 0), high, {}, out);
    if (low < 0) natural(std::max<int64_t>(1, -std::min<int64_t>(high, -1)), -low, text("-"), out);
    return out;
  }

  // --- schemas

  int rule_of(const Json& s, const std::string& path) {
    if (const auto there = rules_.find(path); there != rules_.end()) return there->second;
    const int rule = grammar_->add_rule();
    rules_[path] = rule;
    if (!s.is_object()) fail(path, "is no object");
    if (++depth_ > kMostDepth) fail(path, "lies deeper than " + std::to_string(kMostDepth));
    for (const Sequence& a : alternatives(s, path)) grammar_->add_alternative(rule, a);
    --depth_;
    if (grammar_->size() > kMostSymbols) fail(path, "the schema asks for too large a grammar");
    return rule;
  }

  std::vector<Sequence> alternatives(const Json& s, const std::string& path) {
    if (s.has("$ref")) return {use(reference(s.at("$ref").string(), path))};
    if (s.has("const")) {
      know_keywords(s, path, {"const"});
      return {text(s.at("const").dump())};
    }
    if (s.has("enum")) {
      know_keywords(s, path, {"enum"});
      const Json values = s.at("enum");
      if (!values.is_array() || values.size() == 0)
        fail(path, "enum must be a list with at least one value");
      std::vector<Sequence> out;
      for (size_t i = 0; i < values.size(); ++i) out.push_back(text(values.at(i).dump()));
      return out;
    }
    for (const char* any : {"anyOf", "oneOf"})
      if (s.has(any)) {
        know_keywords(s, path, {any});
        const Json list = s.at(any);
        if (!list.is_array() || list.size() == 0)
          fail(path, std::string(any) + " must be a list with at least one schema");
        std::vector<Sequence> out;
        for (size_t i = 0; i < list.size(); ++i)
          out.push_back(use(rule_of(list.at(i), path + "/" + any + "/" + std::to_string(i))));
        return out;
      }
    if (!s.has("type")) fail(path, "has neither type, enum, const, anyOf nor $ref");
    const Json type = s.at("type");
    if (!type.is_array()) return of_type(type.string(), s, path);
    std::vector<Sequence> out;
    for (size_t i = 0; i < type.size(); ++i)
      for (Sequence& a : of_type(type.at(i).string(), s, path)) out.push_back(std::move(a));
    return out;
  }

  std::vector<Sequence> of_type(const std::string& type, const Json& s, const std::string& path) {
    if (type == "object") return {object(s, path)};
    if (type == "array") {
      know_keywords(s, path, {"items", "minItems", "maxItems"});
      if (!s.has("items")) fail(path, "an array needs items");
      const int64_t low = whole(s, path, "minItems", 0, 0, kMostRepeats),
                    high = whole(s, path, "maxItems", -1, low, kMostRepeats);
      return {join({text("["),
                    repeat(use(rule_of(s.at("items"), path + "/items")), separator(","), low, high),
                    text("]")})};
    }
    if (type == "string") {
      know_keywords(s, path, {"minLength", "maxLength"});
      const int64_t low = whole(s, path, "minLength", 0, 0, kMostRepeats),
                    high = whole(s, path, "maxLength", -1, low, kMostRepeats);
      return {join({text("\""), repeat(character(), {}, low, high), text("\"")})};
    }
    if (type == "integer") {
      know_keywords(s, path, {"minimum", "maximum"});
      const int64_t low = whole(s, path, "minimum", -kLargest, -kLargest, kLargest),
                    high = whole(s, path, "maximum", kLargest, low, kLargest);
      return integer(low, high);
    }
    if (type == "number") {
      know_keywords(s, path, {"minimum"});
      const bool negative = !s.has("minimum");
      if (!negative && any_number(s, "minimum") != 0)
        fail(path, "the only minimum of a number is 0; an integer may have any");
      const int fraction = new_rule({{}, join({text("."), repeat({range('0', '9')}, {}, 1, 6)})});
      std::vector<Sequence> out;
      for (Sequence& a : integer(negative ? -kLargest : 0, kLargest))
        out.push_back(join({a, use(fraction)}));
      return out;
    }
    know_keywords(s, path, {});
    if (type == "boolean") return {text("true"), text("false")};
    if (type == "null") return {text("null")};
    fail(path, "the type \"" + type + "\" is unknown");
  }

  Sequence object(const Json& s, const std::string& path) {
    know_keywords(s, path, {"properties", "required"});
    const Json properties = s.find("properties");
    std::vector<std::string> order;
    std::set<std::string> required;
    const auto add = [&](const std::string& name) {
      if (std::find(order.begin(), order.end(), name) == order.end()) order.push_back(name);
    };
    for (const char* list : {"propertyOrdering", "required"})
      for (size_t i = 0; s.has(list) && i < s.at(list).size(); ++i) {
        const std::string name = s.at(list).at(i).string();
        if (!properties.has(name))
          fail(path, std::string(list) + " names \"" + name + "\", which is no property");
        add(name);
        if (list[0] == 'r') required.insert(name);
      }
    for (const std::string& name : properties.keys()) add(name);
    // From the last member to the first: what may follow when some member has been written, and
    // when none has.
    int behind = new_rule({{}}), first = behind;
    for (size_t i = order.size(); i-- > 0;) {
      const std::string& name = order[i];
      const Sequence member =
          join({text(json_string(name)), separator(":"),
                use(rule_of(properties.at(name), path + "/properties/" + name))});
      std::vector<Sequence> with_comma = {join({separator(","), member, use(behind)})},
                            without = {join({member, use(behind)})};
      if (!required.contains(name)) {
        with_comma.push_back(use(behind));
        without.push_back(use(first));
      }
      behind = new_rule(with_comma);
      first = new_rule(without);
    }
    return join({text("{"), use(first), text("}")});
  }

  int reference(const std::string& to, const std::string& path) {
    if (to.empty() || to[0] != '#')
      fail(path, "$ref \"" + to + "\" does not point into this schema");
    Json at = root_;
    std::string here = "#";
    for (size_t begin = 1; begin < to.size();) {
      const size_t slash = std::min(to.find('/', begin + 1), to.size());
      const std::string key = to.substr(begin + 1, slash - begin - 1);
      if (!at.has(key)) fail(path, "$ref \"" + to + "\" points nowhere");
      at = at.at(key);
      here += "/" + key;
      begin = slash;
    }
    return rule_of(at, here);
  }

  const std::string what_;
  Json root_;
  std::shared_ptr<Grammar> grammar_;
  std::map<std::string, int> rules_;
  int space_ = -1, character_ = -1, depth_ = 0;
};

// How many letters have to be put in, left out or replaced.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t left_above = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, left_above + (a[i] != b[j])});
      left_above = above;
    }
  }
  return row.back();
}

bool is_word(const std::string& s) {
  return !s.empty() && s.size() < 32 && std::all_of(s.begin(), s.end(), [](unsigned char c) {
    return std::isalpha(c) || c == '-';
  });
}

// One word is no schema but the name of a preset, and not of one that there is.
[[noreturn]] void refuse_word(const std::string& word) {
  std::string known, nearest;
  for (const std::string_view preset : kAnswerPresets) {
    known += (known.empty() ? "" : ", ") + std::string(preset);
    if (nearest.empty() || distance(word, preset) < distance(word, nearest)) nearest = preset;
  }
  throw Error(ErrorCode::invalid_argument, "json-schema=" + word +
                                               " is neither a JSON schema nor one of " + known +
                                               ": \"" + nearest + "\" is the nearest");
}

int compile(const std::string& schema, const std::string& what,
            const std::shared_ptr<Grammar>& grammar) {
  try {
    return Compiler(schema, what, grammar).compile();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::corrupt_file) throw;
    throw Error(ErrorCode::invalid_argument, e.what());
  }
}

}  // namespace

std::shared_ptr<const Grammar> grammar_of_json_schema(const std::string& schema) {
  if (is_word(schema)) refuse_word(schema);
  auto grammar = std::make_shared<Grammar>();
  if (!grammar->finish(compile(schema, "json-schema", grammar)))
    throw Error(ErrorCode::invalid_argument, "json-schema: no document of finite length fits it");
  return grammar;
}

std::shared_ptr<const Grammar> grammar_of_calls(const std::vector<FunctionSchema>& functions) {
  auto grammar = std::make_shared<Grammar>();
  const int root = grammar->add_rule();
  for (const FunctionSchema& f : functions) {
    const int arguments = compile(f.parameters, "parameters of " + f.name, grammar);
    if (!grammar->finish(arguments))
      throw Error(ErrorCode::invalid_argument,
                  "parameters of " + f.name + ": no document of finite length fits them");
    Grammar::Sequence call = grammar->literal("\n{\"name\": \"" + f.name + "\", \"arguments\": ");
    call.push_back(Grammar::use(arguments));
    const Grammar::Sequence end = grammar->literal("}\n");
    call.insert(call.end(), end.begin(), end.end());
    grammar->add_alternative(root, call);
  }
  grammar->finish(root);
  return grammar;
}

}  // namespace omni
