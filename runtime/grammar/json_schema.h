// JSON Schema (the part that makes sense for answers) → a grammar of the documents that fit it, as
// compact JSON with at most one space behind ':' and ','.
//
// type object (properties, required; members come in the order of `propertyOrdering` if given, else
// of `required`, then the others by name), array (items, minItems, maxItems), string (minLength,
// maxLength in characters), integer (minimum, maximum), number, boolean, null, a list of types;
// enum, const, anyOf, oneOf, $ref into the same schema. Numbers have at most 15 digits, and 6
// behind the point.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/grammar.h"

namespace omni {

// The names that stand for schemas of a family's own words (session/answer_schema.h).
constexpr std::string_view kBoxes = "boxes", kPoints = "points";
constexpr std::string_view kAnswerPresets[] = {kBoxes, kPoints};

struct FunctionSchema {
  std::string name;        // letters, digits, '_' and '-'
  std::string parameters;  // a JSON Schema of an object
};
// A call of one of these, with compact arguments: \n{"name": "NAME", "arguments": {…}}\n. Throws as
// below, with the function's name.
std::shared_ptr<const Grammar> grammar_of_calls(const std::vector<FunctionSchema>& functions);

// Throws invalid_argument naming the keyword that it does not know or the contradiction; of a
// single word, the preset that it resembles most.
std::shared_ptr<const Grammar> grammar_of_json_schema(const std::string& schema);

}  // namespace omni
