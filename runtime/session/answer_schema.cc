#include "session/answer_schema.h"

#include "grammar/json_schema.h"

namespace omni {

bool is_preset(const std::string& schema) { return schema == kBoxes || schema == kPoints; }

std::string answer_schema(const std::string& preset, Coordinates coordinates) {
  const bool boxes = preset == kBoxes;
  if (!boxes && preset != kPoints) return {};
  if (coordinates == Coordinates::thousandths_markup)
    throw Error(ErrorCode::unsupported,
                "json-schema=" + preset + ": this family writes places as markup, not as JSON");
  const bool y_first = coordinates == Coordinates::thousandths_y_first;
  const std::string name =
                        boxes ? (y_first ? "box_2d" : "bbox_2d") : (y_first ? "point" : "point_2d"),
                    n = boxes ? "4" : "2";
  const std::string highest = coordinates == Coordinates::resized_pixels ? "9999" : "1000";
  return R"({"type":"array","items":{"type":"object","required":[")" + name +
         R"(","label"],"properties":{")" + name +
         R"(":{"type":"array","items":{"type":"integer","minimum":0,"maximum":)" + highest +
         R"(},"minItems":)" + n + R"(,"maxItems":)" + n +
         R"(},"label":{"type":"string","minLength":1}}}})";
}

}  // namespace omni
