#include "model/gstomnimodelrouter.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "common/gstomniguard.h"
#include "model/gstomnitextpad.h"
#include "streams/gstomniclock.h"

GST_DEBUG_CATEGORY_EXTERN(gst_omni_model_debug);
#define GST_CAT_DEFAULT gst_omni_model_debug

namespace gst_omni_model {

using Kind = GstOmniOutput::Kind;

void Router::route(omni::Event& event) {
  Pads outputs;
  {
    std::lock_guard guard(s_.lock);
    outputs = s_.output_pads();
  }
  for (const PadPtr& pad : outputs) output_of(pad.get())->wait_for_room();
  event_ = &event;
  start_ = GstClockTime(std::max<omni::Nanoseconds>(0, event.span.start));
  duration_ = GstClockTime(std::max<omni::Nanoseconds>(0, event.span.duration));
  std::visit([this](auto& what) { take(what); }, event.what);
}

void Router::take(const omni::TimeAdvanced& advanced) {
  give([&](GstOmniOutput& o) {
    const bool concerned = o.kind() == Kind::spatial  ? advanced.objects
                           : o.kind() == Kind::speech ? advanced.speech
                                                      : advanced.text;
    if (concerned) o.push_gap(start_ + duration_);
  });
}

GstOmniAnswered Router::answered(const omni::Answered& a) const {
  return {a.question, GstClockTime(std::max<omni::Nanoseconds>(0, a.media.start)),
          GstClockTime(std::max<omni::Nanoseconds>(0, a.media.duration)), event_->turn};
}

void Router::take(const omni::TextPiece& piece) {
  if (piece.text.empty()) return;
  give([&, about = answered(piece.answered)](GstOmniOutput& o) {
    if (o.kind() == Kind::text && gst_omni_text_pad_wants_pieces(o.pad()))
      static_cast<GstOmniTextOutput&>(o).push_piece(piece.text, start_, duration_, piece.is_last,
                                                    about);
  });
}

void Router::take(const omni::AnswerText& answer) {
  give([&, about = answered(answer.answered)](GstOmniOutput& o) {
    if (o.kind() == Kind::text && !gst_omni_text_pad_wants_pieces(o.pad()))
      static_cast<GstOmniTextOutput&>(o).push_result(answer.text, start_, duration_, &about);
  });
}

void Router::take(omni::SpatialResult& result) {
  result.checkpoint = engine_->fingerprint();
  const std::string document = to_json(result) + "\n";
  give([&](GstOmniOutput& o) {
    if (o.kind() == Kind::spatial)
      static_cast<GstOmniTextOutput&>(o).push_result(document, start_, duration_);
  });
}

void Router::take(const omni::Failed& failed) {
  if (!failed.is_fatal && failed.error.code() == omni::ErrorCode::corrupt_file) {
    GST_ELEMENT_WARNING(self_, STREAM, DECODE,
                        ("A question was not asked: %s", failed.error.what()), (nullptr));
    return;
  }
  gst_omni_post_error(GST_ELEMENT(self_), failed.error);
  fail(self_);
}

void Router::take(const omni::SessionStored& stored) {
  const bool is_cancelled = stored.error && stored.error->code() == omni::ErrorCode::cancelled;
  if (stored.error && stored.loaded && !is_cancelled) {
    gst_omni_post_error(GST_ELEMENT(self_), *stored.error);
    return fail(self_);
  }
  if (stored.error) return not_stored(self_, stored.path, stored.loaded, stored.error->what());
  gst_element_post_message(
      GST_ELEMENT(self_),
      gst_message_new_element(
          GST_OBJECT(self_),
          gst_structure_new("omni/session", "path", G_TYPE_STRING, stored.path.c_str(), "loaded",
                            G_TYPE_BOOLEAN, gboolean(stored.loaded), nullptr)));
}

void Router::take(const omni::EndOfStream&) {
  give([](GstOmniOutput& o) { o.push_eos(); });
  if (GST_OBJECT_FLAG_IS_SET(self_, GST_ELEMENT_FLAG_SINK))
    gst_element_post_message(GST_ELEMENT(self_), gst_message_new_eos(GST_OBJECT(self_)));
}

// --- speech

namespace {

constexpr const char* kEndNicks[] = {"finished", "interrupted", "runaway"};

void post_end(GstOmniModel* self, const std::string& question, omni::SpeechEnd end,
              GstClockTime start, GstClockTime heard) {
  gst_element_post_message(
      GST_ELEMENT(self),
      gst_message_new_element(
          GST_OBJECT(self),
          gst_structure_new("omni/speech", "end", G_TYPE_STRING, kEndNicks[int(end)], "question",
                            G_TYPE_STRING, question.c_str(), "running-time", G_TYPE_UINT64,
                            guint64(start), "duration", G_TYPE_UINT64, guint64(heard), nullptr)));
  if (end == omni::SpeechEnd::runaway)
    GST_ELEMENT_WARNING(self, STREAM, FAILED,
                        ("Speech was stopped after %.1f s: it went on far longer than its text",
                         double(heard) / GST_SECOND),
                        ("the answer to \"%s\"", question.c_str()));
}

}  // namespace

void Router::take(omni::Utterance& said) {
  auto utterance = std::make_shared<GstOmniUtterance>();
  utterance->speech = said.speech;
  utterance->not_before = start_;
  utterance->checkpoint = engine_->fingerprint();
  utterance->voice = said.voice;
  const auto session = session_of(s_);
  // The pad may keep the utterance for longer than there is a session.
  const auto put = [weak = std::weak_ptr(session)](omni::Input&& input) {
    if (const auto there = weak.lock()) there->put(std::move(input));
  };
  const GstClockTime asked = gst_omni_running_time_now(GST_ELEMENT(self_));
  utterance->on_begin = [self = self_, put, asked, turn = event_->turn](GstClockTime begin) {
    const GstClockTime now = gst_omni_running_time_now(GST_ELEMENT(self));
    if (GST_CLOCK_TIME_IS_VALID(asked) && GST_CLOCK_TIME_IS_VALID(now) && now > asked) {
      std::lock_guard guard(state(self).lock);
      state(self).first_sound.add(now - asked);
    }
    put(omni::SpeechBegan{turn, omni::Nanoseconds(begin)});
  };
  utterance->on_end = [self = self_, put, turn = event_->turn, question = said.question](
                          omni::SpeechEnd end, GstClockTime begin, GstClockTime heard) {
    put(omni::SpeechEnded{turn, end, omni::Nanoseconds(begin), omni::Nanoseconds(heard)});
    post_end(self, question, end, begin, heard);
  };
  bool is_taken = false;
  give([&](GstOmniOutput& o) {
    if (o.kind() == Kind::speech) is_taken = static_cast<GstOmniSpeechOutput&>(o).speak(utterance);
  });
  if (!is_taken)
    put(omni::SpeechEnded{event_->turn, omni::SpeechEnd::interrupted, omni::Nanoseconds(start_),
                          0});
}

// --- tools

void Router::take(const omni::ToolCall& call) {
  const std::string document = to_json(call, event_->turn);
  give([&](GstOmniOutput& o) {
    if (o.kind() == Kind::tool)
      static_cast<GstOmniTextOutput&>(o).push_result(document, start_, duration_);
  });
  gst_element_post_message(
      GST_ELEMENT(self_),
      gst_message_new_element(
          GST_OBJECT(self_),
          gst_structure_new("omni/tool-call", "id", G_TYPE_STRING, call.id.c_str(), "name",
                            G_TYPE_STRING, call.name.c_str(), "arguments", G_TYPE_STRING,
                            call.arguments.c_str(), "turn", G_TYPE_UINT64, guint64(event_->turn),
                            "running-time", G_TYPE_UINT64, guint64(start_), nullptr)));
  emit_tool_call(self_, call, event_->turn);
}

void Router::take(const omni::ToolTimedOut& late) {
  GST_ELEMENT_WARNING(self_, STREAM, FAILED,
                      ("No result of the tool call %s (%s) came within `tool-timeout`",
                       late.call.id.c_str(), late.call.name.c_str()),
                      ("its arguments: %s", late.call.arguments.c_str()));
}

// --- turns

void Router::take(const omni::TurnDone& done) {
  const omni::Answer& a = done.answer;
  ++n_answers_;
  give([&](GstOmniOutput& o) {
    if (o.kind() == Kind::tool) o.push_gap(start_ + duration_);
  });
  {
    std::lock_guard guard(s_.lock);
    if (event_->epoch != s_.epoch) return;
    s_.first_token.add(GstClockTime(a.first_token));
    if (a.tokens > 1)
      s_.per_token_ms = double(a.total - a.first_token) / double(a.tokens - 1) / GST_MSECOND;
  }
  if (done.is_news) post_answer(done);
  note_delay(self_, GstClockTime(done.due));
}

void Router::post_answer(const omni::TurnDone& done) {
  const omni::Answer& a = done.answer;
  const GstClockTime frame = a.picture
                                 ? GstClockTime(std::max<omni::Nanoseconds>(0, a.picture->time))
                                 : GST_CLOCK_TIME_NONE;
  gst_element_post_message(
      GST_ELEMENT(self_),
      gst_message_new_element(
          GST_OBJECT(self_),
          gst_structure_new(
              "omni/answer", "text", G_TYPE_STRING, a.text.c_str(), "question", G_TYPE_STRING,
              done.question.c_str(), "spatial", G_TYPE_BOOLEAN, gboolean(done.about_objects),
              "running-time", G_TYPE_UINT64, guint64(start_), "duration", G_TYPE_UINT64,
              guint64(duration_), "frame", G_TYPE_UINT64, guint64(frame), "tokens", G_TYPE_INT,
              a.tokens, "complete", G_TYPE_BOOLEAN, gboolean(a.complete), "ttft", G_TYPE_UINT64,
              guint64(a.first_token), "total", G_TYPE_UINT64, guint64(a.total), nullptr)));
}

void Router::take(const omni::TurnDropped& dropped) {
  if (dropped.why == omni::TurnDropped::Why::overdue)
    post_overdue();
  else
    note_refused(self_, dropped.question);
}

void Router::take(const omni::TrackSilent& silent) {
  std::string pad;
  guint64 n = 0;
  {
    std::lock_guard guard(s_.lock);
    n = ++s_.n_silent;
    for (const Input* in : s_.inputs)
      if (in->track() == silent.track) pad = GST_PAD_NAME(in->pad);
  }
  if (pad.empty() || !std::has_single_bit(n)) return;
  GST_ELEMENT_WARNING(self_, STREAM, FAILED,
                      ("Nothing comes to %s: answers go on without it", pad.c_str()),
                      ("link it to a stream that there is, or release it; a stream that pauses "
                       "should send GAP events, one that is over EOS"));
}

void Router::post_overdue() {
  ++n_overdue_;
  GstMessage* m = gst_message_new_qos(GST_OBJECT(self_), TRUE, start_, GST_CLOCK_TIME_NONE,
                                      GST_CLOCK_TIME_NONE, duration_);
  gst_message_set_qos_stats(m, GST_FORMAT_BUFFERS, n_answers_, n_overdue_);
  gst_element_post_message(GST_ELEMENT(self_), m);
  if (std::has_single_bit(n_overdue_))
    GST_ELEMENT_WARNING(
        self_, STREAM, FAILED,
        ("%" G_GUINT64_FORMAT " answers would have come later than promised and were not given",
         n_overdue_),
        ("use a smaller model, fewer pixels, a lower frame-rate or a longer "
         "`interval`, or raise `latency`"));
}

}  // namespace gst_omni_model
