// The first byte says in what coordinates, the others are an answer of a model, in pieces of
// changing size; and a line of a spatial pad.
#include <algorithm>
#include <cmath>

#include "fuzz/target.h"
#include "omni/spatial.h"

namespace {

using omni::fuzz::require;

bool inside(double v, double most) { return v >= 0 && v <= most; }

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr omni::Coordinates kAll[] = {
      omni::Coordinates::resized_pixels, omni::Coordinates::thousandths,
      omni::Coordinates::thousandths_y_first, omni::Coordinates::thousandths_markup};
  const auto coordinates = kAll[data[0] % std::size(kAll)];
  const std::string_view text = omni::fuzz::text_of(data + 1, size - 1);
  omni::SpatialParser parser(coordinates);
  omni::SpatialResult result;
  result.geometry = {640, 360, 448, 252};
  for (size_t at = 0, n = 1; at < text.size(); at += n, n = n % 7 + 1)
    for (auto& o : parser.push(text.substr(at, n), double(n) / 8))
      result.objects.push_back(std::move(o));
  result.counts = parser.finish();
  require(size_t(result.counts.objects) == result.objects.size(), "objects are counted");
  omni::to_source(result.objects, coordinates, result.geometry);
  for (const auto& o : result.objects) {
    require(o.label.size() <= 256 && (o.box || o.point),
            "an object has a place and a bounded name");
    if (o.box)
      require(inside(o.box->x1, 640) && inside(o.box->y2, 360) && o.box->x1 <= o.box->x2 &&
                  o.box->y1 <= o.box->y2,
              "a box lies in the frame");
    if (o.point) require(inside(o.point->x, 640) && inside(o.point->y, 360), "a point, too");
  }
  omni::Tracker tracker;
  tracker.update(result.objects, 0);
  tracker.update(result.objects, omni::kSecond);
  omni::write_objects(result.objects, coordinates, result.geometry);
  const auto back = omni::spatial_result_from_json(omni::to_json(result));
  require(back.objects.size() == result.objects.size(), "a line comes back");
  try {
    omni::to_json(omni::spatial_result_from_json(text));
  } catch (const omni::Error&) {
  }
  return 0;
}
