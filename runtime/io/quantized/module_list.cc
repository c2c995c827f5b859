// Which modules a configuration speaks of. Names and patterns as in compressed-tensors
// (utils/match.py: "re:" and Python's re.match, else equality) and AutoAWQ
// (modules_to_not_convert), made one rule.
#define PCRE2_CODE_UNIT_WIDTH 8

#include <pcre2.h>

#include <algorithm>

#include "io/quantized/layouts.h"

namespace omni {

struct ModuleList::Pattern {
  Pattern(const std::string& text, const Json& where) {
    int error = 0;
    PCRE2_SIZE at = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                         PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
    if (!code) where.fail("has a pattern that is no regular expression: " + text);
    limits = pcre2_match_context_create(nullptr);
    pcre2_set_match_limit(limits, 100000);  // the pattern is a file's: it may not take forever
    pcre2_set_depth_limit(limits, 1000);
  }
  ~Pattern() {
    pcre2_match_context_free(limits);
    pcre2_code_free(code);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  bool matches(const char* from, size_t n) const {
    pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
    const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(from), n, 0, 0, match, limits);
    pcre2_match_data_free(match);
    return found >= 0;
  }

  pcre2_code* code = nullptr;
  pcre2_match_context* limits = nullptr;
};

ModuleList::ModuleList(const Json& list) {
  if (list.is_object() && list.keys().empty()) return;  // what find() gives where there is none
  if (!list.is_array()) list.fail("is no list of modules");
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string name = list.at(i).string();
    if (name.starts_with("re:"))
      patterns_.push_back(std::make_shared<Pattern>(name.substr(3), list.at(i)));
    else if (!name.empty())
      names_.push_back(name);
  }
}

bool ModuleList::has(const std::string& module) const {
  const std::string dotted = "." + module + ".";
  const auto in_it = [&](const std::string& name) {
    return name == "Linear" || dotted.find("." + name + ".") != std::string::npos;
  };
  if (std::any_of(names_.begin(), names_.end(), in_it)) return true;
  size_t at = 0;
  do {
    const auto from_here = [&](const auto& p) {
      return p->matches(module.data() + at, module.size() - at);
    };
    if (std::any_of(patterns_.begin(), patterns_.end(), from_here)) return true;
    at = module.find('.', at) + 1;
  } while (at != 0);
  return false;
}

}  // namespace omni
