#include "session/watch.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "text/fold.h"

namespace omni {

namespace {

constexpr double kSameOverlap = 0.5, kSameDistance = 0.05;

bool is_same_place(const SpatialObject& a, const SpatialObject& b, double extent) {
  if (a.box && b.box) return intersection_over_union(*a.box, *b.box) >= kSameOverlap;
  if (!a.point || !b.point) return false;
  return std::hypot(a.point->x - b.point->x, a.point->y - b.point->y) <= kSameDistance * extent;
}

bool is_same(const Sighting& a, const Sighting& b) {
  if (a.objects.size() != b.objects.size()) return false;
  std::vector<const SpatialObject*> left;
  for (const SpatialObject& o : b.objects) left.push_back(&o);
  return std::all_of(a.objects.begin(), a.objects.end(), [&](const SpatialObject& o) {
    const auto partner = std::find_if(left.begin(), left.end(), [&](const SpatialObject* other) {
      return other->label == o.label && is_same_place(o, *other, a.extent);
    });
    if (partner == left.end()) return false;
    left.erase(partner);
    return true;
  });
}

std::optional<Json> value_of(const std::string& text) {
  try {
    return Json::parse(text, "answer");
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

Meaning meaning_of(const std::string& text, const std::string& schema,
                   const std::string& nothing_new) {
  std::string normal = folded(text);
  if (!nothing_new.empty() && normal == folded(nothing_new)) return std::monostate();
  if (!schema.empty())
    if (auto value = value_of(text)) return std::move(*value);
  return normal;
}

bool is_same(const Meaning& a, const Meaning& b) {
  if (a.index() != b.index()) return false;
  if (const auto* value = std::get_if<Json>(&a)) return *value == std::get<Json>(b);
  if (const auto* seen = std::get_if<Sighting>(&a)) return is_same(*seen, std::get<Sighting>(b));
  if (const auto* text = std::get_if<std::string>(&a)) return *text == std::get<std::string>(b);
  return true;
}

bool Watch::is_news(const std::string& question, Meaning meaning) {
  const bool is_first = !last_.meaning || last_.question != question;
  const bool says_nothing = std::holds_alternative<std::monostate>(meaning);
  if (!is_first && is_same(*last_.meaning, meaning)) return false;
  last_ = {question, std::move(meaning)};
  return !is_first && !says_nothing;
}

}  // namespace omni
