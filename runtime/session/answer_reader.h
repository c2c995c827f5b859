// What is in an answer: its text, piece by piece, and the objects that it names.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "omni/session.h"

namespace omni {

// A piece of an answer: one token.
struct AnswerToken {
  std::string_view bytes;  // what it writes; may be part of a character
  std::string_view text;   // whole characters that it completes; empty for markup
  bool is_markup = false;  // a special token: not part of Answer::text
  double probability = 1;  // that the model gave it, before temperature and masks
};

// Of one answer.
class AnswerReader {
 public:
  AnswerReader(Coordinates coordinates, bool wants_pieces, bool wants_objects)
      : coordinates_(coordinates),
        wants_pieces_(wants_pieces),
        wants_objects_(wants_objects),
        parser_(coordinates) {}

  // Returns the piece of text before, which is now known not to be the last one.
  std::optional<TextPiece> push(const AnswerToken& token);
  // The answer has ended; `text` is the whole. Returns the last piece.
  std::optional<TextPiece> finish(const std::string& text);

  bool has_objects() const { return !objects_.empty(); }
  const std::vector<SpatialObject>& found() const { return objects_; }  // as they were written
  const SpatialParser::Counts& counts() const { return counts_; }
  // The objects on the frame they were seen in; nothing where there was none. Tracks them.
  std::optional<SpatialResult> objects(const Answer& answer, const std::string& question,
                                       const TimeSpan& span, Tracking tracking, Tracker& tracker);

 private:
  const Coordinates coordinates_;
  const bool wants_pieces_, wants_objects_;
  size_t n_sent_ = 0;  // bytes of text
  std::string held_;   // the piece that may be the last
  SpatialParser parser_;
  SpatialParser::Counts counts_;
  std::vector<SpatialObject> objects_;
};

}  // namespace omni
