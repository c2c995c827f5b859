// What was heard of a spoken answer that was cut: nobody tells when each of its words sounds, so
// time goes to them by their letters.
#pragma once

#include <optional>
#include <string>

#include "interface/tool_template.h"
#include "omni/types.h"

namespace omni {

// The words of `text` that had ended when so much of its sound was played, without the space behind
// them. `duration`: of the whole; not known where the sound was still being made.
std::string heard_words(const std::string& text, Nanoseconds heard,
                        std::optional<Nanoseconds> duration);

// Where the word begins that was being said then; text: none where it is still being written.
Nanoseconds beginning_of_word(const std::optional<std::string>& text, Nanoseconds heard,
                              std::optional<Nanoseconds> duration);

// Only `heard`, the beginning of an answer with these steps, was heard, and is what they keep of
// their texts; calls that were made stay. Returns what is left for behind them.
std::string keep_heard(const std::string& heard, std::vector<ToolStep>& steps);

}  // namespace omni
