#include "session/running_turn.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/time.h"
#include "session/answer_schema.h"
#include "text/utf8_stream.h"

namespace omni {

namespace {

SamplingOptions sampling_of(const Turn& turn, const SessionSettings& settings) {
  if (turn.question.sampling) return *turn.question.sampling;
  SamplingOptions sampling = settings.sampling;
  if (settings.wants_objects && turn.audience != Audience::objects) sampling.json_schema.clear();
  return sampling;
}

}  // namespace

RunningTurn::RunningTurn(const Context& context, Turn turn, bool live)
    : context_(context),
      state_(*context.state),
      turn_(std::move(turn)),
      live_(live),
      settings_(state_.settings()),
      about_objects_(turn_.audience == Audience::objects),
      watches_(turn_.standing && settings_.trigger == Trigger::event),
      sampling_(sampling_of(turn_, settings_)),
      remembered_as_(context_.dialogue.remembers() && turn_.question.remembered && !about_objects_
                         ? turn_.id
                         : 0),
      span_(turn_.span) {}

// A user's question that cannot be asked is its user's affair and not the stream's.
void RunningTurn::run() {
  if (turn_.standing) return answer();
  const std::string& text = turn_.question.text;
  if (valid_utf8(text) != text)
    return refuse(Error(ErrorCode::corrupt_file,
                        "a question that is no UTF-8: \"" + valid_utf8(text) + "\""));
  try {
    answer();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::invalid_argument && e.code() != ErrorCode::unsupported) throw;
    refuse(e);
  }
}

void RunningTurn::refuse(const Error& error) {
  emit(turn_.span, Failed{valid_utf8(turn_.question.text), error, false});
}

void RunningTurn::answer() {
  begin();
  if (watches_) return watch();
  if (may_be_spoken(true)) begin_speech();
  AnswerReader reader(context_.prompter.coordinates(), settings_.wants_pieces && !about_objects_,
                      settings_.wants_objects);
  Answer answer;
  try {
    answer = write([&](const AnswerToken& t) { send_piece(reader.push(t)); });
  } catch (...) {
    give_up_speech();
    throw;
  }
  send_piece(reader.finish(answer.text));
  finish(answer, reader);
}

// --- watching

void RunningTurn::watch() {
  std::optional<Reading> reading = ask_silently();
  Meaning meaning = meaning_of(*reading);
  Watch& watch = about_objects_ ? context_.watches.objects : context_.watches.text;
  const bool is_news =
      !state_.interrupted && watch.is_news(turn_.question.text + sampling_.json_schema, meaning);
  if (is_news) find_beginning(meaning, reading);
  if (may_be_spoken(is_news)) begin_speech();
  say(reading->answer.text, is_news ? remembered_as_ : 0);
  if (is_news)
    tell(*reading);
  else
    stay_silent(*reading);
}

void RunningTurn::say(const std::string& text, TurnId remembered_as) {
  try {
    context_.dialogue.say(turn_.question.text, text, speech_.get(), remembered_as);
  } catch (...) {
    give_up_speech();
    throw;
  }
}

RunningTurn::Reading RunningTurn::ask_silently() {
  const bool wants_objects = settings_.wants_objects || is_preset(sampling_.json_schema);
  Reading reading{{}, AnswerReader(context_.prompter.coordinates(), false, wants_objects)};
  reading.answer = context_.dialogue.ask(
      turn_.question.text, {.sampling = sampling_,
                            .on_token = [&](const AnswerToken& t) { reading.reader.push(t); },
                            .wants_probabilities = settings_.wants_objects,
                            .speech = nullptr,
                            .interrupted = state_.interrupted,
                            .remembered_as = 0});
  reading.reader.finish(reading.answer.text);
  return reading;
}

Meaning RunningTurn::meaning_of(const Reading& reading) const {
  const std::string& schema = sampling_.json_schema;
  if (!about_objects_ && !is_preset(schema))
    return omni::meaning_of(reading.answer.text, schema, settings_.nothing_new);
  Sighting seen{.objects = reading.reader.found()};
  const auto& picture = reading.answer.picture;
  if (context_.prompter.coordinates() == Coordinates::resized_pixels && picture)
    seen.extent = std::max(picture->geometry.resized_width, picture->geometry.resized_height);
  return seen;
}

// The answer that says it about the first picture from which on it is so; the text is for the time
// from there on.
void RunningTurn::find_beginning(const Meaning& news, std::optional<Reading>& reading) {
  context_.dialogue.look_back([&] {
    Reading earlier = ask_silently();
    if (!is_same(meaning_of(earlier), news)) return false;
    reading.emplace(std::move(earlier));
    return true;
  });
  if (!reading->answer.picture) return;
  span_.start = std::clamp(reading->answer.picture->time, turn_.span.start, turn_.span.end());
  span_.duration = turn_.span.end() - span_.start;
}

void RunningTurn::tell(Reading& reading) {
  keep_turns();
  {
    std::lock_guard guard(state_.lock);
    ++state_.stats.n_news;
  }
  if (settings_.wants_pieces && !about_objects_) send_piece(TextPiece{reading.answer.text, true});
  finish(reading.answer, reading.reader);
}

void RunningTurn::stay_silent(Reading& reading) {
  if (about_objects_)  // they are followed
    reading.reader.objects(reading.answer, {}, turn_.span, settings_.tracking, context_.tracker);
  if (speech_) {
    std::lock_guard guard(state_.lock);
    state_.push(turn_.id, state_.utterances.set_text(turn_.id, {}));
  }
  emit(turn_.span, TimeAdvanced{.text = !about_objects_ && !speech_,
                                .objects = about_objects_,
                                .speech = !about_objects_ && !speech_});
  count(reading.answer, reading.reader.counts());
  emit(turn_.span,
       TurnDone{turn_.question.text, about_objects_, turn_.span.start, reading.answer, false});
}

// --- one that is told while it is written

void RunningTurn::begin() {
  {
    std::lock_guard guard(state_.lock);
    state_.answering = turn_.id;
    state_.interrupted = false;
  }
  emit(turn_.span, TurnBegan{turn_.question.text});
}

Answer RunningTurn::write(const std::function<void(const AnswerToken&)>& on_token) {
  const Question& question = turn_.question;
  if (!question.reply.empty()) {
    Answer answer;
    answer.text = question.reply;
    context_.dialogue.say(question.text, answer.text, speech_.get(), remembered_as_);
    keep_turns();
    on_token({answer.text, answer.text});
    return answer;
  }
  Dialogue::How how{.sampling = sampling_,
                    .on_token = on_token,
                    .wants_probabilities = settings_.wants_objects,
                    .speech = speech_.get(),
                    .interrupted = state_.interrupted,
                    .remembered_as = remembered_as_};
  if (context_.dialogue.has_tools() && !about_objects_)
    how.call = [this](const std::vector<ToolCall>& calls) { return call_tools(calls); };
  Answer answer = context_.dialogue.ask(question.text, how);
  keep_turns();
  return answer;
}

// Before anybody is told the whole answer.
void RunningTurn::keep_turns() {
  if (!context_.dialogue.remembers()) return;
  std::lock_guard guard(state_.lock);
  state_.set_remembered(context_.dialogue.turns());
}

// --- tools

std::vector<std::string> RunningTurn::call_tools(const std::vector<ToolCall>& unnamed) {
  std::vector<ToolCall> calls;
  {
    std::lock_guard guard(state_.lock);
    if (state_.cancelled) throw_cancelled();
    calls = state_.tool_calls.begin(unnamed, steady_now());
    state_.stats.n_tool_calls += calls.size();
  }
  for (ToolCall& call : calls) emit(turn_.span, std::move(call));
  return wait_for_results();
}

// Until every call has one. Throws cancelled.
std::vector<std::string> RunningTurn::wait_for_results() {
  std::unique_lock lock(state_.lock);
  ToolCalls& calls = state_.tool_calls;
  for (;;) {
    if (state_.cancelled || state_.stop.stop_requested()) throw_cancelled();
    give_up_calls(calls);
    if (!calls.are_waiting()) return calls.take_results();
    const uint64_t n_inputs = state_.n_inputs;
    const auto woken = [&] {
      return state_.cancelled || state_.interrupted || state_.n_inputs != n_inputs;
    };
    const auto left = calls.left(steady_now(), tool_timeout());
    if (left)
      state_.changed.wait_for(lock, state_.stop.get_token(), wait_time(*left), woken);
    else
      state_.changed.wait(lock, state_.stop.get_token(), woken);
  }
}

// Those that nobody will or may wait for any longer. Under the lock.
void RunningTurn::give_up_calls(ToolCalls& calls) {
  if (state_.interrupted) calls.give_up("interrupted");
  if (!state_.files.empty()) calls.give_up("the session is being saved or loaded");
  for (ToolCall& call : calls.expire(steady_now(), tool_timeout())) {
    ++state_.stats.n_tool_timeouts;
    state_.push(turn_.id, turn_.span, ToolTimedOut{std::move(call)});
  }
}

// Under the lock.
Nanoseconds RunningTurn::tool_timeout() const {
  const Nanoseconds set = state_.current_settings.tool_timeout;
  return set == 0 && state_.have_streams_ended() ? kDefaultToolTimeout : set;
}

// --- what is in the answer

void RunningTurn::send_piece(std::optional<TextPiece> piece) {
  if (!piece) return;
  piece->answered = answered();
  emit(stamped(span_of_piece(piece->is_last)), std::move(*piece));
}

// Pieces share the time of their answer, as if it were as long as it may be; the last one has the
// rest.
TimeSpan RunningTurn::span_of_piece(bool is_last) {
  const TimeSpan whole = speech_ ? TimeSpan{turn_.span.end(), turn_.span.duration} : span_;
  const Nanoseconds step = whole.duration / std::max(1, sampling_.max_tokens);
  const Nanoseconds start = whole.start + std::min(n_pieces_++, sampling_.max_tokens - 1) * step;
  return {start, is_last ? whole.end() - start : step};
}

TimeSpan RunningTurn::stamped(TimeSpan span) const {
  if (!live_ || !settings_.stamped_when_ready) return span;
  if (const auto now = state_.read_clock().now) span.start = *now;
  return span;
}

void RunningTurn::finish(const Answer& answer, AnswerReader& reader) {
  const TimeSpan span = stamped(span_);
  send_objects(span, answer, reader);
  if (speech_) {
    std::lock_guard guard(state_.lock);
    state_.push(turn_.id, state_.utterances.set_text(turn_.id, answer.text));
  } else if (!about_objects_) {
    if (answer.text.empty())
      emit(span, TimeAdvanced{.objects = false, .speech = false});
    else
      emit(span, AnswerText{answer.text, answered()});
  }
  count(answer, reader.counts());
  emit(turn_.span, TurnDone{turn_.question.text, about_objects_, turn_.span.start, answer});
}

void RunningTurn::send_objects(const TimeSpan& span, const Answer& answer, AnswerReader& reader) {
  if (!settings_.wants_objects) return;
  std::optional<SpatialResult> result;
  if (about_objects_ || reader.has_objects())
    result = reader.objects(answer, turn_.question.text, turn_.span, settings_.tracking,
                            context_.tracker);
  if (result) {
    const Nanoseconds time = result->frame_time;
    emit({time, std::max<Nanoseconds>(0, turn_.span.end() - time)}, std::move(*result));
  } else if (about_objects_) {
    emit(span, TimeAdvanced{.text = false, .speech = false});
  }
}

void RunningTurn::count(const Answer& answer, const SpatialParser::Counts& counts) {
  std::lock_guard guard(state_.lock);
  SessionStats& stats = state_.stats;
  ++stats.n_answers;
  stats.n_tokens += uint64_t(answer.tokens);
  stats.n_objects += uint64_t(counts.objects);
  stats.n_repaired += uint64_t(counts.repaired);
  stats.n_malformed += uint64_t(counts.malformed);
  stats.context_tokens = context_.dialogue.n_rows();
}

// --- speech

bool RunningTurn::may_be_spoken(bool is_news) const {
  if (about_objects_ || !settings_.wants_speech || !context_.dialogue.may_speak()) return false;
  if (!turn_.standing || settings_.trigger == Trigger::turn) return true;
  return settings_.speak_on == SpeakOn::always ||
         (settings_.speak_on == SpeakOn::change && is_news);
}

void RunningTurn::begin_speech() {
  if (!wait_to_speak()) return;
  std::shared_ptr<SpeechStream> speech = context_.make_speech(settings_.speech);
  {
    std::lock_guard guard(state_.lock);
    if (state_.cancelled) throw_cancelled();
    state_.utterances.begin(turn_.id, speech, answered());
  }
  speech->when_duration_is_known(
      [weak = std::weak_ptr(context_.state), turn = turn_.id](Nanoseconds duration) {
        const auto state = weak.lock();
        if (!state) return;
        std::lock_guard guard(state->lock);
        state->push(turn, state->utterances.set_duration(turn, duration));
      });
  emit({turn_.span.end(), 0}, Utterance{speech, turn_.question.text, settings_.speech.voice});
  speech_ = std::move(speech);
}

bool RunningTurn::wait_to_speak() {
  using May = Utterances::May;
  std::unique_lock lock(state_.lock);
  May may{};
  state_.changed.wait(lock, state_.stop.get_token(), [&] {
    may = state_.utterances.may_speak(live_, !turn_.standing);
    return state_.cancelled || may != May::wait;
  });
  if (state_.cancelled || may == May::wait) throw_cancelled();
  if (may == May::stay_silent) ++state_.stats.n_unspoken;
  return may == May::speak;
}

void RunningTurn::give_up_speech() {
  if (!speech_) return;
  speech_->stop();
  std::lock_guard guard(state_.lock);
  state_.push(turn_.id, state_.utterances.set_text(turn_.id, {}));
}

}  // namespace omni
