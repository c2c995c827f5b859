#include <charconv>
#include <cmath>

#include "io/json.h"
#include "omni/spatial.h"

namespace omni {

namespace {

constexpr int64_t kVersion = 1;
constexpr int64_t kMostTime = INT64_MAX / 4;  // ns; sums of a few fit
constexpr double kMostPixels = 1e6;           // as the parser's

std::string number(double v, int digits) {
  if (!std::isfinite(v)) return "0";
  const double unit = std::pow(10.0, digits);
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, std::round(v * unit) / unit).ptr;
  return {text, end};
}

std::string list(std::initializer_list<double> values, int digits) {
  std::string out = "[";
  for (const double v : values) {
    if (out.size() > 1) out += ',';
    out += number(v, digits);
  }
  return out + "]";
}

const char* truth(bool b) { return b ? "true" : "false"; }

std::string object_json(const SpatialObject& o, const PictureGeometry& g) {
  const double w = std::max(1, g.source_width), h = std::max(1, g.source_height);
  std::string s = "{\"label\":" + json_string(o.label);
  if (o.box)
    s += ",\"box\":" + list({o.box->x1, o.box->y1, o.box->x2, o.box->y2}, 2) +
         ",\"box_normalised\":" +
         list({o.box->x1 / w, o.box->y1 / h, o.box->x2 / w, o.box->y2 / h}, 5);
  if (o.point)
    s += ",\"point\":" + list({o.point->x, o.point->y}, 2) +
         ",\"point_normalised\":" + list({o.point->x / w, o.point->y / h}, 5);
  s += ",\"confidence\":" + number(std::sqrt(o.label_probability * o.place_probability), 4);
  if (o.track) s += ",\"track\":" + std::to_string(o.track);
  if (o.velocity) s += ",\"velocity\":" + list({o.velocity->x, o.velocity->y}, 2);
  s += ",\"checks\":{\"in_frame\":" + std::string(truth(o.in_frame)) +
       ",\"has_area\":" + truth(o.has_area) + ",\"duplicate\":" + truth(o.duplicate) +
       ",\"label_probability\":" + number(o.label_probability, 4) +
       ",\"place_probability\":" + number(o.place_probability, 4);
  if (o.agrees) s += std::string(",\"agrees\":") + truth(*o.agrees);
  return s + "}}";
}

}  // namespace

std::string to_json(const SpatialResult& r) {
  std::string s =
      "{\"version\":" + std::to_string(kVersion) + ",\"question\":" + json_string(r.question) +
      ",\"checkpoint\":" + json_string(r.checkpoint) + ",\"start\":" + std::to_string(r.start) +
      ",\"duration\":" + std::to_string(r.duration) +
      ",\"frame\":{\"time\":" + std::to_string(r.frame_time) +
      ",\"width\":" + std::to_string(r.geometry.source_width) +
      ",\"height\":" + std::to_string(r.geometry.source_height) +
      ",\"seen_width\":" + std::to_string(r.geometry.resized_width) +
      ",\"seen_height\":" + std::to_string(r.geometry.resized_height) +
      "},\"complete\":" + truth(r.complete) + ",\"repaired\":" + std::to_string(r.counts.repaired) +
      ",\"malformed\":" + std::to_string(r.counts.malformed) + ",\"objects\":[";
  for (size_t i = 0; i < r.objects.size(); ++i) {
    if (i) s += ',';
    s += object_json(r.objects[i], r.geometry);
  }
  return s + "]}";
}

SpatialResult spatial_result_from_json(std::string_view text) {
  const Json j = Json::parse(text, "spatial result");
  if (!j.is_object() || j.integer("version", 0, INT32_MAX) != kVersion)
    j.fail("is no spatial result of version 1");
  SpatialResult r;
  r.question = j.string_or("question", "");
  r.checkpoint = j.string_or("checkpoint", "");
  r.start = j.integer_or("start", 0, -kMostTime, kMostTime);
  r.duration = j.integer_or("duration", 0, 0, kMostTime);
  r.complete = j.boolean_or("complete", true);
  r.counts.repaired = int(j.integer_or("repaired", 0, 0, INT32_MAX));
  r.counts.malformed = int(j.integer_or("malformed", 0, 0, INT32_MAX));
  const Json frame = j.at("frame");
  r.frame_time = frame.integer_or("time", 0, -kMostTime, kMostTime);
  const auto size = [&](const char* name) {
    return int(frame.has(name) ? frame.integer(name, 0, 1 << 20) : 0);
  };
  r.geometry = {size("width"), size("height"), size("seen_width"), size("seen_height")};
  const Json objects = j.at("objects");
  for (size_t i = 0; i < objects.size(); ++i) {
    const Json o = objects.at(i);
    SpatialObject s;
    s.label = o.string_or("label", "");
    const auto values = [&](const char* name, size_t n) {
      const Json list = o.at(name);
      if (!list.is_array() || list.size() != n)
        list.fail("has not " + std::to_string(n) + " values");
      std::vector<double> v;
      for (size_t k = 0; k < n; ++k) v.push_back(list.at(k).number(-kMostPixels, kMostPixels));
      return v;
    };
    if (o.has("box")) {
      const auto v = values("box", 4);
      s.box = Box{v[0], v[1], v[2], v[3]};
    }
    if (o.has("point")) {
      const auto v = values("point", 2);
      s.point = Point{v[0], v[1]};
    }
    if (!s.box && !s.point) o.fail("has neither box nor point");
    if (o.has("velocity")) {
      const auto v = values("velocity", 2);
      s.velocity = Point{v[0], v[1]};
    }
    s.track = o.integer_or("track", 0, 0, INT64_MAX);
    const Json checks = o.find("checks");
    s.label_probability = checks.number_or("label_probability", 1, 0, 1);
    s.place_probability = checks.number_or("place_probability", 1, 0, 1);
    s.in_frame = checks.boolean_or("in_frame", true);
    s.has_area = checks.boolean_or("has_area", true);
    s.duplicate = checks.boolean_or("duplicate", false);
    if (checks.has("agrees")) s.agrees = checks.boolean_or("agrees", false);
    r.objects.push_back(std::move(s));
  }
  r.counts.objects = int(r.objects.size());
  return r;
}

}  // namespace omni
