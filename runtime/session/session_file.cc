#include "session/session_file.h"

#include "session/archive_values.h"

namespace omni {

namespace {

constexpr int64_t kVersion = 1, kMostWaiting = 1 << 16;

std::string kind(const std::string& checkpoint, const Dialogue& dialogue) {
  return checkpoint + " " + dialogue.kind();
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
