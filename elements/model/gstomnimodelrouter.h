// Gives the source pads and the bus of omnimodel what its session says, on the element's thread.
#pragma once

#include <memory>
#include <mutex>

#include "model/gstomnimodelstate.h"

namespace gst_omni_model {

class Router {
 public:
  Router(GstOmniModel* self, std::shared_ptr<const omni::Engine> engine)
      : self_(self), s_(state(self)), engine_(std::move(engine)) {}

  // Waits while a pad has no room.
  void route(omni::Event& event);

 private:
  // Gives to the outputs, unless a flush has come in between.
  template <class Give>
  void give(const Give& give) {
    std::lock_guard guard(s_.lock);
    if (event_->epoch != s_.epoch) return;
    for (GstOmniOutput* o : s_.outputs) give(*o);
  }

  void take(const omni::TimeAdvanced& advanced);
  void take(const omni::TurnBegan&) {}
  void take(const omni::Flushed&) {}
  GstOmniAnswered answered(const omni::Answered& a) const;
  void take(const omni::TextPiece& piece);
  void take(const omni::AnswerText& answer);
  void take(omni::SpatialResult& result);
  void take(omni::Utterance& said);
  void take(const omni::ToolCall& call);
  void take(const omni::ToolTimedOut& late);
  void take(const omni::TurnDone& done);
  void take(const omni::TurnDropped& dropped);
  void take(const omni::TrackSilent& silent);
  void take(const omni::Failed& failed);
  void take(const omni::SessionStored& stored);
  void take(const omni::EndOfStream&);

  void post_answer(const omni::TurnDone& done);
  void post_overdue();

  GstOmniModel* const self_;
  State& s_;
  const std::shared_ptr<const omni::Engine> engine_;
  omni::Event* event_ = nullptr;
  guint64 n_answers_ = 0, n_overdue_ = 0;
  GstClockTime start_ = 0, duration_ = 0;
};

}  // namespace gst_omni_model
