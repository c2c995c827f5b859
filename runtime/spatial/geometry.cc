#include <algorithm>
#include <cmath>

#include "omni/spatial.h"

namespace omni {

namespace {

struct Scale {
  double x, y;           // source pixels of one unit
  double width, height;  // of the picture in units
};

Scale scale_of(Coordinates c, const PictureGeometry& g) {
  if (c == Coordinates::resized_pixels) {
    const double w = std::max(1, g.resized_width), h = std::max(1, g.resized_height);
    return {g.source_width / w, g.source_height / h, w, h};
  }
  return {g.source_width / 1000.0, g.source_height / 1000.0, 1000, 1000};
}

}  // namespace

double intersection_over_union(const Box& a, const Box& b) {
  const double w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1),
               h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  if (w <= 0 || h <= 0) return 0;
  return w * h / (a.area() + b.area() - w * h);
}

void to_source(std::vector<SpatialObject>& objects, Coordinates coordinates,
               const PictureGeometry& g) {
  const Scale s = scale_of(coordinates, g);
  const double w = g.source_width, h = g.source_height;
  // A unit of slack: models write the far edge as often one past the picture as on it.
  const auto inside = [&](double x, double y) {
    return x >= 0 && y >= 0 && x <= s.width + 1 && y <= s.height + 1;
  };
  for (size_t i = 0; i < objects.size(); ++i) {
    SpatialObject& o = objects[i];
    if (o.box) {
      Box& b = *o.box;
      o.in_frame = inside(b.x1, b.y1) && inside(b.x2, b.y2);
      b = {std::clamp(b.x1 * s.x, 0.0, w), std::clamp(b.y1 * s.y, 0.0, h),
           std::clamp(b.x2 * s.x, 0.0, w), std::clamp(b.y2 * s.y, 0.0, h)};
      o.has_area = b.area() >= 4;
      for (size_t j = 0; j < i && !o.duplicate; ++j)
        o.duplicate = objects[j].box && objects[j].label == o.label &&
                      intersection_over_union(b, *objects[j].box) > 0.9;
    }
    if (o.point) {
      o.in_frame = o.in_frame && inside(o.point->x, o.point->y);
      *o.point = {std::clamp(o.point->x * s.x, 0.0, w), std::clamp(o.point->y * s.y, 0.0, h)};
    }
  }
}

std::string write_objects(const std::vector<SpatialObject>& objects, Coordinates coordinates,
                          const PictureGeometry& g) {
  const Scale s = scale_of(coordinates, g);
  const auto x = [&](double v) { return std::to_string(std::lround(v / s.x)); };
  const auto y = [&](double v) { return std::to_string(std::lround(v / s.y)); };
  std::string out;
  for (const SpatialObject& o : objects) {
    if (coordinates == Coordinates::thousandths_markup) {
      const Box b = o.box ? *o.box : Box{o.point->x, o.point->y, o.point->x, o.point->y};
      out += "<|object_ref_start|>" + o.label + "<|object_ref_end|><|box_start|>(" + x(b.x1) + "," +
             y(b.y1) + "),(" + x(b.x2) + "," + y(b.y2) + ")<|box_end|>";
      continue;
    }
    const bool y_first = coordinates == Coordinates::thousandths_y_first;
    out += out.empty() ? "{" : ",{";
    if (o.box) {
      const Box& b = *o.box;
      out += y_first
                 ? "\"box_2d\":[" + y(b.y1) + "," + x(b.x1) + "," + y(b.y2) + "," + x(b.x2) + "]"
                 : "\"bbox_2d\":[" + x(b.x1) + "," + y(b.y1) + "," + x(b.x2) + "," + y(b.y2) + "]";
    } else {
      out += y_first ? "\"point\":[" + y(o.point->y) + "," + x(o.point->x) + "]"
                     : "\"point_2d\":[" + x(o.point->x) + "," + y(o.point->y) + "]";
    }
    out += ",\"label\":\"" + o.label + "\"}";
  }
  return coordinates == Coordinates::thousandths_markup ? out : "[" + out + "]";
}

}  // namespace omni
