#include <algorithm>
#include <cmath>

#include "omni/spatial.h"

namespace omni {

namespace {

Point place(const SpatialObject& o) { return o.box ? o.box->centre() : *o.point; }

// The object where it would be `seconds` later.
SpatialObject moved(const SpatialObject& o, double seconds) {
  SpatialObject m = o;
  if (!o.velocity) return m;
  const double dx = o.velocity->x * seconds, dy = o.velocity->y * seconds;
  if (m.box) m.box = Box{m.box->x1 + dx, m.box->y1 + dy, m.box->x2 + dx, m.box->y2 + dy};
  if (m.point) m.point = Point{m.point->x + dx, m.point->y + dy};
  return m;
}

// 1 = the same place, 0 = nothing to do with each other. Between two looks a thing may leave its
// own outline: nearness counts, in its own sizes.
double likeness(const SpatialObject& a, const SpatialObject& b) {
  if (a.box.has_value() != b.box.has_value()) return 0;
  const Point p = place(a), q = place(b);
  const double distance = std::hypot(p.x - q.x, p.y - q.y);
  if (!a.box) return std::max(0.0, 0.5 - distance / 400);
  const double size = std::sqrt(std::max(a.box->area(), b.box->area()));
  return 0.5 * intersection_over_union(*a.box, *b.box) +
         0.5 * std::max(0.0, 1 - distance / (4 * size + 1));
}

}  // namespace

void Tracker::update(std::vector<SpatialObject>& objects, Nanoseconds time) {
  if (previous_ >= 0 && time < previous_) reset();
  std::erase_if(tracks_, [&](const Track& t) { return time - t.time > memory; });
  struct Pair {
    double likeness;
    size_t object, track;
  };
  std::vector<Pair> pairs;
  for (size_t i = 0; i < objects.size(); ++i)
    for (size_t j = 0; j < tracks_.size(); ++j)
      if (objects[i].label == tracks_[j].label) {
        const double l = likeness(
            objects[i], moved(tracks_[j].last, double(time - tracks_[j].time) / double(kSecond)));
        if (l > 0.05) pairs.push_back({l, i, j});
      }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.likeness > b.likeness; });
  const bool had_answer = previous_ >= 0;
  std::vector<bool> taken(tracks_.size());
  for (SpatialObject& o : objects) {
    o.track = 0;
    if (had_answer) o.agrees = false;
  }
  for (const Pair& p : pairs) {
    SpatialObject& o = objects[p.object];
    Track& t = tracks_[p.track];
    if (o.track || taken[p.track] || o.duplicate) continue;
    taken[p.track] = true;
    o.track = t.id;
    o.agrees = t.time == previous_;
    const double seconds = double(time - t.time) / double(kSecond);
    if (seconds > 0) {
      const Point now = place(o), before = place(t.last);
      Point v{(now.x - before.x) / seconds, (now.y - before.y) / seconds};
      if (t.last.velocity) v = {(v.x + t.last.velocity->x) / 2, (v.y + t.last.velocity->y) / 2};
      o.velocity = v;
    } else {
      o.velocity = t.last.velocity;
    }
    t.last = o;
    t.time = time;
  }
  for (SpatialObject& o : objects)
    if (!o.track && !o.duplicate) {
      o.track = next_++;
      tracks_.push_back({o.track, o.label, o, time});
    }
  previous_ = time;
}

void Tracker::reset() {
  tracks_.clear();
  previous_ = -1;
}

}  // namespace omni
