// The contact sheet that omni-caption leaves: what was on air beside what was said of it, right and
// wrong told apart by colour, over a strip of time with how long each answer took.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// What is really on air in [start, end), in seconds.
struct Event {
  double start, end;
  std::string what;
  std::vector<std::string> words;  // what a right answer says of the picture and of the sound
};

struct Answer {
  double start, duration;  // of the media that it is about, in seconds
  std::string text;
  double took;  // ms
};

// A statement of an answer, such as "Audio: silence.", and whether it is right; nothing where it is
// not known what is on air.
struct Statement {
  std::string text;
  std::optional<bool> right;
};

// `text` in statements, each held against what is on air in [start, end).
std::vector<Statement> judge(const Answer& answer, const std::vector<Event>& events);
std::string on_air(const std::vector<Event>& events, double start, double end);

constexpr int kThumbWidth = 320, kThumbHeight = 180;

// Pictures of a recording of any length: the last of each stretch of time, where the stretches grow
// with the recording.
class Thumbnails {
 public:
  struct Thumbnail {
    double time;
    std::vector<uint8_t> pixels;  // [kThumbHeight, kThumbWidth, 3], RGB
  };
  void add(double time, const uint8_t* pixels);
  const std::vector<Thumbnail>& all() const { return all_; }
  double spacing() const { return spacing_; }

 private:
  std::vector<Thumbnail> all_;
  double spacing_ = 2;
};

// Writes `path`, a PNG. False: it could not be written.
bool write_contact_sheet(const std::string& path, const Thumbnails& pictures,
                         const std::vector<Answer>& answers, const std::vector<Event>& events,
                         double duration);
