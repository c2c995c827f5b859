// What is where: objects that a model wrote as text, on the frame they were seen in.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "omni/error.h"
#include "omni/types.h"

namespace omni {

// How a family writes places (notes: models.md 3.3). A property of the checkpoint's family, never
// guessed from the text.
enum class Coordinates {
  // JSON, "bbox_2d":[x1,y1,x2,y2] or "point_2d":[x,y] in pixels of the resized picture: Qwen2.5-VL,
  // Qwen2.5-Omni
  resized_pixels,
  thousandths,          // the same JSON in 0…1000 of the frame: Qwen3-VL, Qwen3-Omni
  thousandths_y_first,  // JSON, "box_2d":[y1,x1,y2,x2] or "point":[y,x] in 0…1000: Gemini
  // <|object_ref_start|>label<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|> in 0…1000:
  // Qwen2-VL
  thousandths_markup,
};

struct Point {
  double x, y;
};

struct Box {
  double x1, y1, x2, y2;  // x1 ≤ x2, y1 ≤ y2
  double area() const { return (x2 - x1) * (y2 - y1); }
  Point centre() const { return {(x1 + x2) / 2, (y1 + y2) / 2}; }
};

OMNI_API double intersection_over_union(const Box& a, const Box& b);

// Sizes that take a place from what the model saw to the frame it was resized from.
struct PictureGeometry {
  int source_width = 0, source_height = 0;
  int resized_width = 0, resized_height = 0;
};

// At least one of box and point. Places are in the family's own coordinates when a parser gives
// them, in pixels of the source frame after to_source().
struct SpatialObject {
  std::string label;  // UTF-8, at most 256 bytes; may be empty
  std::optional<Box> box;
  std::optional<Point> point;
  double label_probability = 1, place_probability = 1;  // geometric mean over their tokens
  // Cheap grounding checks. None of them drops an object.
  bool in_frame = true;           // it lay inside the picture before it was clamped to it
  bool has_area = true;           // a box of at least 4 pixels of the source
  bool duplicate = false;         // overlaps an earlier object of the same label by more than .9
  std::optional<bool> agrees;     // the answer before had it too, at much the same place
  int64_t track = 0;              // > 0: the same object as in earlier answers
  std::optional<Point> velocity;  // pixels of the source a second
  double age = 0;                 // seconds since the frame on which it was seen
};

// Finds the objects in an answer while it is being written. Takes what models really write: fences,
// prose around, single objects instead of lists, floats, strings for numbers, trailing commas,
// swapped corners, an end in the middle. Memory is bounded whatever comes.
class OMNI_API SpatialParser {
 public:
  explicit SpatialParser(Coordinates coordinates);
  ~SpatialParser();
  SpatialParser(SpatialParser&&) noexcept;

  // A token's bytes (markup included) and its probability. Returns the objects that it completes.
  std::vector<SpatialObject> push(std::string_view bytes, double probability = 1);

  struct Counts {
    int objects = 0;
    // of these: what was written needed help (corners swapped, numbers as strings, a stray comma …)
    int repaired = 0;
    int malformed = 0;  // began like an object and was none
  };
  // Counts so far; what is unfinished when the answer ends is malformed.
  Counts finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// From the family's coordinates to pixels of the source frame: mapped, checked, clamped.
OMNI_API void to_source(std::vector<SpatialObject>& objects, Coordinates coordinates,
                        const PictureGeometry& geometry);
// The other way, as a family would write it: for round trips and prompts.
OMNI_API std::string write_objects(const std::vector<SpatialObject>& objects,
                                   Coordinates coordinates, const PictureGeometry& geometry);

// Gives objects of successive answers stable ids by overlap (or nearness, for points) and label.
class OMNI_API Tracker {
 public:
  // Sets track and agrees, and velocity from the second answer on. `time`: of the frame. Tracks
  // unseen for `memory` are forgotten.
  void update(std::vector<SpatialObject>& objects, Nanoseconds time);
  void reset();
  Nanoseconds memory = 10 * kSecond;

 private:
  struct Track {
    int64_t id;
    std::string label;
    SpatialObject last;
    Nanoseconds time;
  };
  std::vector<Track> tracks_;
  int64_t next_ = 1;
  Nanoseconds previous_ = -1;  // time of the last answer
};

// One answer about one frame, as it travels on spatial pads: a line of JSON (docs/spatial.md is its
// schema).
struct SpatialResult {
  std::string question, checkpoint;
  Nanoseconds start = 0, duration = 0;  // of the media that the question was about
  Nanoseconds frame_time = 0;           // of the last frame the model saw
  PictureGeometry geometry;
  bool complete = true;  // false: the answer was cut
  SpatialParser::Counts counts;
  std::vector<SpatialObject> objects;
};
OMNI_API std::string to_json(const SpatialResult& result);
// Throws corrupt_file.
OMNI_API SpatialResult spatial_result_from_json(std::string_view json);

}  // namespace omni
