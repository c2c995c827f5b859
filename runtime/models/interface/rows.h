// Rows of a text model: tokens and where they stand.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "omni/types.h"

namespace omni {

// Position of a token in time, height and width.
using Position = std::array<int32_t, 3>;

// Rows of a lane move alike when the window slides: text ahead of the media stays where it is,
// images and audio come nearer to it, each by its own rule. Text between media belongs to the lane
// that it moves with, text of a turn that is remembered to that of turns.
enum class Lane : uint8_t { text, vision, audio, turns };
constexpr int kLanes = 4;
// What is subtracted from the positions of each lane's rows.
using LaneShift = std::array<Position, kLanes>;

// Tokens of one lane with their positions. The ids of media are placeholders; their values come
// from a segment, around whose rows text may lie.
struct Rows {
  std::vector<int32_t> ids;
  std::vector<Position> positions;
  Lane lane = Lane::text;
  size_t n_before = 0, n_behind = 0;  // of a segment's: rows of text, at both ends
  size_t size() const { return ids.size(); }
};

// Where the next token of a sequence goes.
struct Cursor {
  // one more than the highest position of the last block (text, or the pieces of one track that lie
  // side by side)
  int32_t next = 0;
  int32_t run_base = 0;           // position of time 0 of the open run of media
  std::optional<Modality> block;  // track of the last block of the open run
  // --- of families whose runs need them
  Modality run = Modality::video;  // what the open run began with
  int32_t n_steps = 0;             // of the grids of the open run
  int32_t text_next = 0;           // of the text behind the open run, where that is not next
  int32_t answer_next = 0;         // the answer begins there or later
  Nanoseconds departed = 0;        // of the open run, that left
};

// What leaves the open run when the window slides.
struct Departed {
  Nanoseconds time = 0;   // of the run
  int32_t steps = 0;      // of its grids
  int32_t positions = 0;  // that its blocks took
};

}  // namespace omni
