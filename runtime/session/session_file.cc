#include "session/session_file.h"

#include "session/archive_values.h"

namespace omni {

namespace {

constexpr int64_t kVersion = 1, kMostWaiting = 1 << 16, kMostObjects = 1 << 20,
                  kMostTurns = int64_t{1} << 48;
constexpr double kFarthestPlace = 1e9;

std::string kind(const std::string& checkpoint, const Dialogue& dialogue) {
  return checkpoint + " " + dialogue.kind();
}

void put(ArchiveWriter& to, const SpatialObject& o) {
  to.put(o.label);
  to.put(int64_t{o.box.has_value()} + 2 * int64_t{o.point.has_value()});
  const Box box = o.box.value_or(Box{});
  const Point point = o.point.value_or(Point{});
  for (const double x : {box.x1, box.y1, box.x2, box.y2, point.x, point.y}) to.put(x);
}
SpatialObject read_object(ArchiveReader& from) {
  SpatialObject o;
  o.label = from.text();
  const int64_t has = from.number(0, 3);
  double places[6];
  for (double& x : places) x = from.real(-kFarthestPlace, kFarthestPlace);
  if (has & 1) o.box = Box{places[0], places[1], places[2], places[3]};
  if (has & 2) o.point = Point{places[4], places[5]};
  return o;
}

// What was answered last, by kind.
enum : int64_t { kNone, kNothingNew, kValue, kObjects, kText };

void put(ArchiveWriter& to, const Watch& watch) {
  to.put(watch.last().question);
  const auto& meaning = watch.last().meaning;
  to.put(meaning ? kNothingNew + int64_t(meaning->index()) : int64_t{kNone});
  if (!meaning) return;
  if (const auto* value = std::get_if<Json>(&*meaning)) to.put(value->dump());
  if (const auto* text = std::get_if<std::string>(&*meaning)) to.put(*text);
  if (const auto* seen = std::get_if<Sighting>(&*meaning)) {
    to.put(seen->extent);
    to.put(int64_t(seen->objects.size()));
    for (const SpatialObject& o : seen->objects) put(to, o);
  }
}
Meaning read_meaning(ArchiveReader& from, int64_t kind) {
  if (kind == kNothingNew) return std::monostate();
  if (kind == kValue) return Json::parse(from.text(), "a saved answer");
  if (kind == kText) return from.text();
  Sighting seen;
  seen.extent = from.real(0, kFarthestPlace);
  for (int64_t i = from.number(0, kMostObjects); i > 0; --i)
    seen.objects.push_back(read_object(from));
  return seen;
}
Watch read_watch(ArchiveReader& from) {
  Watch::Last last{from.text(), {}};
  const int64_t kind = from.number(kNone, kText);
  if (kind != kNone) last.meaning = read_meaning(from, kind);
  Watch watch;
  watch.go_on(std::move(last));
  return watch;
}

void put(ArchiveWriter& to, const SavedPlace& place) {
  const Timeline::Saved& timeline = place.timeline;
  put(to, timeline.begin);
  to.put(timeline.tolerated);
  put(to, timeline.early);
  put(to, timeline.early_tracks);
  for (const auto& time : timeline.reached) put(to, time);
  to.put(int64_t(timeline.waiting.size()));
  for (const Segment& s : timeline.waiting) put(to, s);
  to.put(place.turns.media_end);
  to.put(place.turns.asked_until);
  put(to, place.turns.since_asked);
  to.put(int64_t(place.next_turn));
  put(to, place.watches.text);
  put(to, place.watches.objects);
}

SavedPlace read_place(ArchiveReader& from, int media_width) {
  SavedPlace place;
  Timeline::Saved& timeline = place.timeline;
  timeline.begin = read_optional_time(from);
  timeline.tolerated = from.number(0, kFarthestTime);
  timeline.early = read_optional_time(from);
  from.require(timeline.begin || !timeline.early);
  timeline.early_tracks = read_tracks(from);
  for (auto& time : timeline.reached) time = read_optional_time(from);
  for (int64_t i = from.number(0, kMostWaiting); i > 0; --i)
    timeline.waiting.push_back(read_segment(from, media_width));
  place.turns.media_end = read_time(from);
  place.turns.asked_until = read_time(from);
  place.turns.since_asked = read_tracks(from);
  place.next_turn = TurnId(from.number(1, kMostTurns));
  place.watches.text = read_watch(from);
  place.watches.objects = read_watch(from);
  return place;
}

}  // namespace

void save_session(const std::filesystem::path& path, const std::string& checkpoint,
                  Dialogue& dialogue, const SavedPlace& place) {
  ArchiveWriter to;
  to.put(kVersion);
  to.put(kind(checkpoint, dialogue));
  dialogue.save(to);
  put(to, place);
  to.write(path);
}

SavedPlace load_session(const std::filesystem::path& path, const std::string& checkpoint,
                        Dialogue& dialogue, int media_width) {
  ArchiveReader from(path);
  from.number(kVersion, kVersion);
  if (from.text() != kind(checkpoint, dialogue))
    throw Error(
        ErrorCode::invalid_argument,
        path.string() + " is of another checkpoint, precision, system-prompt or kind of session");
  dialogue.load(from);
  SavedPlace place = read_place(from, media_width);
  from.end();
  return place;
}

}  // namespace omni
