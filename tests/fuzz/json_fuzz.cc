// JSON: what parses is written as JSON that parses to the same.
#include "fuzz/target.h"
#include "io/json.h"
#include "omni/error.h"

namespace {

void walk(const omni::Json& j) {
  try {
    j.integer(-1000, 1000);
  } catch (const omni::Error&) {
  }
  try {
    j.number(-1, 1);
  } catch (const omni::Error&) {
  }
  for (const std::string& key : j.keys()) {
    omni::fuzz::require(!j.member_path(key).empty(), "a member has a place");
    if (j.has(key)) walk(j.at(key));
  }
  if (j.is_array())
    for (size_t i = 0; i < j.size(); ++i) walk(j.at(i));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const omni::Json j = omni::Json::parse(omni::fuzz::text_of(data, size), "fuzz.json");
    walk(j);
    const std::string text = j.dump();
    omni::fuzz::require(omni::Json::parse(text, "again.json").dump() == text, "JSON comes back");
  } catch (const omni::Error&) {
  }
  omni::Json::parse(omni::json_string(omni::fuzz::text_of(data, size)), "string.json");
  return 0;
}
