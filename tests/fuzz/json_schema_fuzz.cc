// A JSON Schema, a zero byte, a text: the schema's grammar walks the text, and from where it can go
// on it can end.
#include <algorithm>

#include "fuzz/target.h"
#include "grammar/json_schema.h"
#include "omni/error.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint8_t *end = data + size, *zero = std::find(data, end, uint8_t{0});
  try {
    const auto grammar = omni::grammar_of_json_schema(std::string(data, zero));
    omni::Automaton automaton(*grammar);
    int state = automaton.start();
    omni::fuzz::require(state != omni::Automaton::kRefused, "some document fits");
    for (const uint8_t* p = zero == end ? end : zero + 1; p != end && automaton.size() < 2000;
         ++p) {
      const int to = automaton.next(state, *p);
      if (to == omni::Automaton::kRefused) continue;
      state = to;
      omni::fuzz::require(automaton.is_complete(state) == (automaton.shortest(state) == 0),
                          "what is complete needs nothing more");
    }
  } catch (const omni::Error&) {
  }
  return 0;
}
