// The built-in answer formats: lists of objects in the words of a family.
#pragma once

#include <string>

#include "omni/spatial.h"

namespace omni {

bool is_preset(const std::string& schema);
// JSON Schema of one of kAnswerPresets (grammar/json_schema.h); empty for any other name. Throws
// unsupported where the family writes no JSON.
std::string answer_schema(const std::string& preset, Coordinates coordinates);

}  // namespace omni
