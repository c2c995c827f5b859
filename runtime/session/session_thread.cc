#include "session/session_thread.h"

#include <chrono>
#include <utility>

#include "core/time.h"
#include "session/heard.h"
#include "session/running_turn.h"

namespace omni {

namespace {
constexpr Nanoseconds kDefaultContext = 60 * kSecond;
}  // namespace

SessionThread::SessionThread(std::shared_ptr<SessionState> state, const Prompter& prompter,
                             Scheduler& scheduler, MakeSpeech make_speech, std::string checkpoint,
                             Tools tools)
    : state_(std::move(state)),
      prompter_(prompter),
      scheduler_(scheduler),
      make_speech_(std::move(make_speech)),
      checkpoint_(std::move(checkpoint)),
      tools_(std::move(tools)),
      masks_(prompter),
      thread_([this] { run(); }) {}

SessionThread::~SessionThread() {
  thread_.join();
  let_go_of_speeches();  // a thread of theirs may be the last to let go of the state
}

void SessionThread::cancel() noexcept {
  if (dialogue_) dialogue_->cancel();
}

void SessionThread::run() {
  while (!state_->stop.stop_requested()) {
    uint64_t n_inputs = 0;
    {
      std::lock_guard guard(state_->lock);
      n_inputs = state_->n_inputs;
    }
    if (guarded_step()) continue;
    std::unique_lock lock(state_->lock);
    const auto woken = [&] { return state_->n_inputs != n_inputs; };
    if (patience_left_)
      state_->changed.wait_for(lock, state_->stop.get_token(), wait_time(*patience_left_), woken);
    else
      state_->changed.wait(lock, state_->stop.get_token(), woken);
  }
}

bool SessionThread::guarded_step() {
  try {
    return step();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::cancelled) return false;
    fail(e);
  } catch (const std::bad_alloc&) {
    fail(Error(ErrorCode::out_of_memory, "out of memory"));
  } catch (const std::exception& e) {
    fail(Error(ErrorCode::internal, e.what()));
  }
  return false;
}

void SessionThread::fail(const Error& error) {
  std::lock_guard guard(state_->lock);
  state_->failed = true;
  state_->push(state_->answering, {}, Failed{{}, error, true});
}

// False when there is nothing to do.
bool SessionThread::step() {
  patience_left_.reset();
  let_go_of_speeches();
  if (!has_work()) return false;
  if (begin_anew()) make_anew();
  note_heard(false);
  const bool live = state_->read_clock().live;
  bool progress = take(live);
  progress |= enter(live);
  progress |= ask_ended_turns(live);
  progress |= ask_due(live, true);
  progress |= store_due(live);
  keep_stats();
  return progress || wants_reset() || end_stream() || give_up_silent(live);
}

bool SessionThread::wants_reset() const {
  std::lock_guard guard(state_->lock);
  return state_->reset_pending;
}

void SessionThread::let_go_of_speeches() {
  std::vector<std::shared_ptr<Speech>> retired;  // outlive the lock
  std::lock_guard guard(state_->lock);
  retired.swap(state_->retired);
}

// A new dialogue is for the first thing that comes: the tracks that there are then are those that
// are waited for.
bool SessionThread::has_work() const {
  std::lock_guard guard(state_->lock);
  const SessionState& s = *state_;
  return !s.failed && (!s.reset_pending || !s.files.empty() || s.inbox.n_waiting() > 0 ||
                       s.turns.has_questions() || s.questions_ended ||
                       s.inbox.has_ended(Modality::video) || s.inbox.has_ended(Modality::audio));
}

// Clears what a flush or reset has asked for. True: there was one, or it is the first time.
bool SessionThread::begin_anew() {
  std::lock_guard guard(state_->lock);
  if (!state_->reset_pending) return false;
  state_->reset_pending = state_->cancelled = state_->end_sent = false;
  state_->turns.forget_media();
  return true;
}

void SessionThread::make_anew() {
  give_up_dialogue();  // its memory first
  begin_with(make_dialogue());
}

std::unique_ptr<Dialogue> SessionThread::make_dialogue() {
  const SessionSettings s = state_->settings();
  const SessionOptions& options = state_->options;
  DialogueOptions o;
  o.system_prompt = options.system_prompt;
  o.tracks = {s.has_video, s.has_audio};
  o.context_duration = options.context_duration > 0 ? options.context_duration : kDefaultContext;
  o.seed = options.seed;
  o.speech = s.wants_speech;
  o.live = state_->read_clock().live;
  o.remembers = s.remember;
  o.most_rows = options.context_tokens;
  o.tools = tools_;
  return std::make_unique<Dialogue>(prompter_, scheduler_, masks_, o);
}

void SessionThread::begin_with(std::unique_ptr<Dialogue> dialogue) {
  {
    std::lock_guard guard(state_->lock);
    dialogue_.swap(dialogue);
  }
  n_changes_ = 0;
  is_loaded_ = false;
  begin_timeline();
  tracker_.reset();
  watches_ = {};
}

void SessionThread::begin_timeline() {
  const SessionSettings s = state_->settings();
  timeline_.emplace(Tracks{s.has_video, s.has_audio}, prompter_.chunk_duration());
  note_silent(state_->read_clock().live);
}

void SessionThread::give_up_dialogue() {
  std::unique_ptr<Dialogue> old;  // ends without the lock
  std::lock_guard guard(state_->lock);
  old.swap(dialogue_);
}

// --- media

// Moves what waits onto the timeline: live all of it, so that it is known what is newest.
bool SessionThread::take(bool live) {
  bool any = false;
  const int64_t n_late = timeline_->n_late();
  while (auto segment = take_one(live)) {
    const Modality track = segment->modality;
    if (std::exchange(is_loaded_, false)) follow_file(*segment, live);
    timeline_->append(std::move(*segment));
    any = true;
    if (live) continue;
    timeline_->goes_on(track);  // what is too late is waited for until it has caught up
    break;
  }
  std::deque<Nanoseconds> cuts;
  {
    std::lock_guard guard(state_->lock);
    if (!state_->reset_pending) cuts.swap(state_->cuts);
  }
  for (const Nanoseconds time : cuts) timeline_->cut(time);
  timeline_->set_ended(Modality::video, video_ended_);
  timeline_->set_ended(Modality::audio, audio_ended_);
  if (any) {
    silence_.moves();
    note_silent(live);
  }
  if (timeline_->n_late() != n_late) {
    std::lock_guard guard(state_->lock);
    state_->stats.n_late += uint64_t(timeline_->n_late() - n_late);
  }
  return any;
}

std::optional<Segment> SessionThread::take_one(bool live) {
  std::optional<Segment> segment;
  bool has_room = false;
  {
    std::lock_guard guard(state_->lock);
    Inbox& inbox = state_->inbox;
    // What was put behind a flush or reset is for the dialogue that begins then.
    if (!state_->reset_pending) segment = inbox.take(live, state_->first_behind_file());
    video_ended_ = inbox.has_ended(Modality::video);
    audio_ended_ = inbox.has_ended(Modality::audio);
    if (segment) has_room = std::exchange(state_->has_refused, false);
  }
  if (has_room && state_->options.on_room) state_->options.on_room();
  return segment;
}

// Which tracks are not waited for, as the timeline knows it.
void SessionThread::note_silent(bool live) {
  silence_.set_silent(timeline_->silent());
  if (live) return;
  std::lock_guard guard(state_->lock);
  state_->inbox.set_silent(timeline_->silent());
}

// True: tracks that hold everything up are not waited for any more.
bool SessionThread::give_up_silent(bool live) {
  const auto held = timeline_->held_up();
  patience_left_ = held ? patience_with(*held, live) : std::nullopt;
  if (!patience_left_ || *patience_left_ > 0) return false;
  timeline_->set_silent(held->by);
  silence_.give_up(held->by, held->begin);
  note_silent(live);
  {
    std::lock_guard guard(state_->lock);
    ++state_->stats.n_silent;
  }
  if (!live) tell_silent(std::nullopt);
  return true;
}

// What is left of it; nothing: it has no end.
std::optional<Nanoseconds> SessionThread::patience_with(const Timeline::HeldUp& held, bool live) {
  const SessionOptions& options = state_->options;
  const ClockReading clock = state_->read_clock();
  std::lock_guard guard(state_->lock);
  if (live) {
    const auto promise = state_->current_settings.promise;
    if (!promise || !clock.now) return std::nullopt;
    return held.begin + *promise - *clock.now;
  }
  if (!state_->inbox.is_held_up_by(held.by)) return std::nullopt;
  const auto patience =
      state_->inbox.has_begun(held.by) ? options.patience : options.patience_at_first;
  if (!patience) return std::nullopt;
  return silence_.stands_still(steady_now(), *patience);
}

void SessionThread::tell_silent(std::optional<Nanoseconds> time) {
  const Tracks tracks = silence_.to_be_told(time);
  if (tracks.video) state_->emit(0, {}, TrackSilent{Track::video});
  if (tracks.audio) state_->emit(0, {}, TrackSilent{Track::audio});
}

// Moves what is on the timeline into the dialogue, and asks what is due at each chunk.
bool SessionThread::enter(bool live) {
  bool any = false;
  while (auto chunk = wants_reset() ? std::nullopt : timeline_->next(!live)) {
    for (Segment& s : chunk->segments) dialogue_->add(chunk->span, std::move(s));
    if (live) tell_silent(chunk->span.end());
    chunk_entered(chunk->span, chunk->tracks, live);
    ask_due(live, false);
    if (live) take(live);
    any = true;
  }
  while (auto early = wants_reset() ? std::nullopt : timeline_->early(!live)) {
    dialogue_->add(early->chunk, std::move(early->segment));
    any = true;
  }
  return any;
}

// --- what is due

void SessionThread::chunk_entered(const TimeSpan& span, Tracks tracks, bool live) {
  Turns::Due due;
  const SessionSettings s = state_->settings();
  {
    std::lock_guard guard(state_->lock);
    due = state_->turns.chunk_entered(span, tracks, s);
  }
  ask(std::move(due), s, live);
}

// Turns whose end was told when their sound had entered.
bool SessionThread::ask_ended_turns(bool live) {
  Turns::Due due;
  const SessionSettings s = state_->settings();
  {
    std::lock_guard guard(state_->lock);
    due = state_->turns.take_ended(s);
  }
  const bool any = !due.turns.empty();
  ask(std::move(due), s, live);
  return any;
}

void SessionThread::ask(Turns::Due due, const SessionSettings& s, bool live) {
  if (due.no_objects_until)
    state_->emit(0, {0, *due.no_objects_until}, TimeAdvanced{.text = false, .speech = false});
  if (due.silent_until)
    state_->emit(0, {0, *due.silent_until},
                 TimeAdvanced{.text = !due.text_waits, .speech = !due.text_waits});
  for (Turn& turn : due.turns) {
    if (live) take(live);
    if (is_overdue(turn, s, state_->read_clock(), timeline_->next_is_complete(!live)))
      drop(turn);
    else
      answer(std::move(turn), live);
  }
}

void SessionThread::drop(const Turn& turn) {
  {
    std::lock_guard guard(state_->lock);
    ++state_->stats.n_overdue;
  }
  state_->emit(turn.id, turn.span, TurnDropped{turn.question.text, TurnDropped::Why::overdue});
  state_->emit(turn.id, turn.span,
               TimeAdvanced{.text = turn.audience == Audience::text,
                            .objects = turn.audience == Audience::objects,
                            .speech = turn.audience == Audience::text});
}

void SessionThread::answer(Turn turn, bool live) {
  note_heard(true);
  RunningTurn({state_, prompter_, make_speech_, *dialogue_, tracker_, watches_}, std::move(turn),
              live)
      .run();
}

// The turn whose answer was spoken last keeps what was heard of it. `at_once`: it is looked back
// on, whether or not somebody has told how much that was.
void SessionThread::note_heard(bool at_once) {
  const auto heard = heard_of(dialogue_->revisable(), at_once);
  if (!heard) return;
  if (heard->is_all)
    dialogue_->settle();
  else
    dialogue_->revise(heard_words(dialogue_->turns().back().answer, heard->heard, heard->duration));
  std::lock_guard guard(state_->lock);
  keep_turns();
}

// Of the revisable turn. What is told of others comes too late.
std::optional<Heard> SessionThread::heard_of(TurnId turn, bool at_once) {
  std::lock_guard guard(state_->lock);
  const std::deque<Heard> told = std::exchange(state_->heard, {});
  if (!turn) return std::nullopt;
  for (const Heard& h : told)
    if (h.turn == turn) return h;
  const Utterances& utterances = state_->utterances;
  if (!at_once || !utterances.is_cut(turn)) return std::nullopt;
  for (const auto& speech : utterances.speeches(turn))
    return Heard{turn, false, speech->n_read(), utterances.duration(turn)};
  return std::nullopt;
}

// `all_entered`: nothing complete is left on the timeline. Before, questions are due that are
// about a time which has come, and not those about all that is there (live: everything is).
bool SessionThread::ask_due(bool live, bool all_entered) {
  bool any = false;
  while (auto turn = wants_reset() ? std::nullopt : take_due(live, all_entered)) {
    any = true;
    answer(std::move(*turn), live);
  }
  return any;
}

std::optional<Turn> SessionThread::take_due(bool live, bool all_entered) {
  std::optional<Turn> turn;
  bool has_room = false;
  {
    std::lock_guard guard(state_->lock);
    const auto waits = [&](const Turns::Waiting& w) {
      if (!state_->files.empty() && w.id >= state_->files.front().first_turn) return true;
      if (live) return false;
      return state_->inbox.has_of_first(w.after, live) || !knows_ends() ||
             (!all_entered && w.time == 0);
    };
    turn = state_->turns.take_due(live || (all_entered && has_ended()), waits);
    if (turn) has_room = std::exchange(state_->has_refused, false);
  }
  if (has_room && state_->options.on_room) state_->options.on_room();
  return turn;
}

// All that will be asked about has been taken. Under the lock.
bool SessionThread::has_ended() const {
  const SessionState& s = *state_;
  return s.have_streams_ended() && (!s.inbox.has_tracks() || knows_ends());
}

// The timeline has been told which tracks have ended. Under the lock.
bool SessionThread::knows_ends() const {
  return video_ended_ == state_->inbox.has_ended(Modality::video) &&
         audio_ended_ == state_->inbox.has_ended(Modality::audio);
}

bool SessionThread::end_stream() {
  Turns::Due due;
  Nanoseconds end = 0;
  const SessionSettings settings = state_->settings();
  {
    std::lock_guard guard(state_->lock);
    SessionState& s = *state_;
    // The end follows what is still being spoken: its text has no place in time before.
    if (!has_ended() || s.end_sent || s.utterances.is_speaking()) return false;
    due = s.turns.media_ended(settings);
    end = s.turns.media_end();
    s.end_sent = due.turns.empty();
  }
  for (Turn& turn : due.turns) answer(std::move(turn), state_->read_clock().live);
  if (!due.turns.empty()) return true;
  state_->emit(0, {0, end}, TimeAdvanced{});
  state_->emit(0, {end, 0}, EndOfStream{});
  return false;
}

void SessionThread::keep_stats() {
  std::lock_guard guard(state_->lock);
  state_->stats.context_tokens = dialogue_->n_rows();
  keep_turns();
}

// Under the lock.
void SessionThread::keep_turns() {
  if (n_changes_ == dialogue_->n_changes()) return;
  n_changes_ = dialogue_->n_changes();
  state_->set_remembered(dialogue_->turns());
}

}  // namespace omni
