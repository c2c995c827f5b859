#include "session/answer_reader.h"

#include <utility>

namespace omni {

std::optional<TextPiece> AnswerReader::push(const AnswerToken& token) {
  if (wants_objects_)
    for (SpatialObject& o : parser_.push(token.bytes, token.probability))
      objects_.push_back(std::move(o));
  if (!wants_pieces_ || token.text.empty()) return std::nullopt;
  std::string before = std::exchange(held_, std::string(token.text));
  if (before.empty()) return std::nullopt;
  n_sent_ += before.size();
  return TextPiece{std::move(before)};
}

std::optional<TextPiece> AnswerReader::finish(const std::string& text) {
  counts_ = parser_.finish();
  if (!wants_pieces_) return std::nullopt;
  return TextPiece{text.substr(n_sent_), true};
}

std::optional<SpatialResult> AnswerReader::objects(const Answer& answer,
                                                   const std::string& question,
                                                   const TimeSpan& span, Tracking tracking,
                                                   Tracker& tracker) {
  if (!answer.picture) return std::nullopt;
  SpatialResult r;
  r.question = question;
  r.start = span.start;
  r.duration = span.duration;
  r.frame_time = answer.picture->time;
  r.geometry = answer.picture->geometry;
  r.complete = answer.complete;
  r.counts = counts_;
  r.objects = std::move(objects_);
  to_source(r.objects, coordinates_, r.geometry);
  if (tracking != Tracking::none) tracker.update(r.objects, r.frame_time);
  if (tracking == Tracking::match)
    for (SpatialObject& o : r.objects) o.velocity.reset();
  return r;
}

}  // namespace omni
