// The door of a session: what may be called from any thread. Each call changes the state under its
// lock and returns; the session's thread does the work.
#include "session/session.h"

#include <algorithm>
#include <utility>

#include "session/session_state.h"
#include "session/session_thread.h"

namespace omni {

namespace {

class LocalSession final : public Session {
 public:
  LocalSession(std::shared_ptr<const void> engine, const Prompter& prompter, Scheduler& scheduler,
               MakeSpeech make_speech, const SessionOptions& options, std::string checkpoint,
               Tools tools)
      : engine_(std::move(engine)),
        scheduler_(scheduler),
        state_(std::make_shared<SessionState>(options, prompter.chunk_duration())),
        thread_(state_, prompter, scheduler, std::move(make_speech), std::move(checkpoint),
                std::move(tools)) {}

  ~LocalSession() override {
    state_->stop.request_stop();
    flush();
  }

  Admission put(Input&& input) override {
    const bool live = state_->read_clock().live;
    return std::visit([&](auto& what) { return take_in(what, live); }, input);
  }

  TurnId ask(Question question) override {
    std::vector<std::shared_ptr<Speech>> interrupted;
    TurnId id = 0;
    {
      std::lock_guard guard(state_->lock);
      interrupted = barge_in();
      id = add_question(std::move(question), 0);
    }
    for (const auto& s : interrupted) s->interrupt();
    return id;
  }

  void interrupt(TurnId turn) override {
    std::vector<std::shared_ptr<Speech>> interrupted;
    {
      std::lock_guard guard(state_->lock);
      interrupted = state_->end_early(turn);
    }
    for (const auto& s : interrupted) s->interrupt();
  }

  uint64_t flush() override {
    std::vector<std::shared_ptr<Speech>> speeches;
    uint64_t epoch = 0;
    {
      std::lock_guard guard(state_->lock);
      epoch = ++state_->epoch;
      state_->inbox.clear();
      state_->cuts.clear();
      state_->tool_calls.clear();
      state_->turns.forget_questions();
      state_->turns.forget_ended();
      std::erase_if(state_->events,
                    [](const Event& e) { return !std::holds_alternative<SessionStored>(e.what); });
      state_->push(0, {}, Flushed{state_->turns.next_id()});
      state_->questions_ended = false;
      while (!state_->files.empty()) give_up_file("a flush came before it");
      speeches = retire_speeches();
      state_->cancelled = true;
      thread_.cancel();
      state_->ask_for_reset();
    }
    for (const auto& s : speeches) s->stop();
    return epoch;
  }

  void reset() override {
    std::vector<std::shared_ptr<Speech>> interrupted;
    {
      std::lock_guard guard(state_->lock);
      interrupted = state_->end_early(0);
      state_->turns.forget_ended();
      while (!state_->files.empty()) give_up_file("a reset came before it");
      state_->ask_for_reset();
    }
    for (const auto& s : interrupted) s->interrupt();
  }

  void save(const std::string& path) override { store({path, false}); }
  void load(const std::string& path) override { store({path, true}); }

  void set(const SessionSettings& settings) override {
    std::vector<std::shared_ptr<Speech>> speeches, interrupted;
    {
      std::lock_guard guard(state_->lock);
      state_->current_settings = settings;
      if (settings.trigger != Trigger::turn) interrupted = give_up_held();
      if (state_->reset_pending) state_->set_tracks();
      if (!settings.wants_speech) speeches = end_speeches();
      state_->wake();
    }
    for (const auto& s : interrupted) s->interrupt();
    for (const auto& s : speeches) s->stop();
  }

  SessionSettings settings() const override { return state_->settings(); }

  std::optional<Event> next(std::stop_token stop) override {
    std::unique_lock lock(state_->lock);
    if (!state_->changed.wait(lock, stop, [&] { return !state_->events.empty(); }))
      return std::nullopt;
    Event event = std::move(state_->events.front());
    state_->events.pop_front();
    state_->changed.notify_all();
    return event;
  }

  SessionStats stats() const override {
    std::lock_guard guard(state_->lock);
    SessionStats s = state_->stats;
    s.waiting = state_->inbox.n_waiting();
    s.n_dropped = state_->inbox.n_dropped();
    s.n_spoken = state_->utterances.n_spoken();
    s.n_interrupted = state_->utterances.n_interrupted();
    s.n_resumed = state_->utterances.n_resumed();
    s.remembered_turns = int64_t(state_->remembered.size());
    return s;
  }

  std::vector<RememberedTurn> remembered() const override {
    std::lock_guard guard(state_->lock);
    return state_->remembered;
  }

 private:
  void store(SessionFile file) {
    std::lock_guard guard(state_->lock);
    if (state_->files.size() >= Turns::kMostQuestions) give_up_file("too many waited");
    file.first_segment = state_->inbox.n_put();
    file.first_turn = state_->turns.next_id();
    state_->files.push_back(std::move(file));
    state_->wake();
  }

  // The one that has waited longest. Under the lock.
  void give_up_file(const char* why) {
    const SessionFile file = std::move(state_->files.front());
    state_->files.pop_front();
    drop_oldest_refusal();
    state_->push(0, {}, SessionStored{file.path, file.is_load, Error(ErrorCode::cancelled, why)});
  }

  // --- what goes in

  Admission take_in(Segment& segment, bool live) {
    if ((segment.n_tokens != 0 && segment.hidden != scheduler_.model().media_width()) ||
        segment.embeddings.size() != size_t(segment.n_tokens) * size_t(segment.hidden))
      throw Error(ErrorCode::invalid_argument,
                  "a segment of " + std::to_string(segment.n_tokens) + " tokens of " +
                      std::to_string(segment.hidden) + " values for a model of " +
                      std::to_string(scheduler_.model().media_width()));
    std::lock_guard guard(state_->lock);
    if (state_->failed) return {};
    const Admission admission = state_->inbox.put(segment, live);
    if (!admission.accepted) state_->has_refused = true;
    state_->wake();
    return admission;
  }

  Admission take_in(UserText& user, bool live) {
    std::vector<std::shared_ptr<Speech>> interrupted;
    {
      std::lock_guard guard(state_->lock);
      if (!live && state_->turns.is_full()) {
        state_->has_refused = true;
        return {.accepted = false};
      }
      if (live) interrupted = barge_in();
      add_question({std::move(user.text)}, user.time);
    }
    for (const auto& s : interrupted) s->interrupt();
    return {};
  }

  Admission take_in(const ToolResult& result, bool) {
    std::lock_guard guard(state_->lock);
    const bool is_taken = state_->tool_calls.put(result);
    state_->wake();
    return {.accepted = is_taken};
  }

  // Under the lock.
  TurnId add_question(Question question, Nanoseconds time) {
    if (state_->turns.is_full()) {
      const Turns::Waiting oldest = state_->turns.refuse_oldest();
      ++state_->stats.n_refused;
      drop_oldest_refusal();
      state_->push(oldest.id, {}, TurnDropped{oldest.question.text, TurnDropped::Why::refused});
    }
    state_->wake();
    return state_->turns.add(std::move(question), time, state_->inbox.n_put());
  }

  // What is told of refused questions and of files is bounded as they are. Under the lock.
  void drop_oldest_refusal() {
    std::deque<Event>& events = state_->events;
    const auto is_refusal = [](const Event& e) {
      const auto* dropped = std::get_if<TurnDropped>(&e.what);
      const auto* stored = std::get_if<SessionStored>(&e.what);
      return (dropped && dropped->why == TurnDropped::Why::refused) ||
             (stored && stored->error && stored->error->code() == ErrorCode::cancelled);
    };
    if (events.size() < SessionState::kMostEvents) return;
    const auto oldest = std::find_if(events.begin(), events.end(), is_refusal);
    if (oldest != events.end()) events.erase(oldest);
  }

  Admission take_in(const TrackBegan& began, bool) {
    std::lock_guard guard(state_->lock);
    state_->end_sent = false;
    if (began.track == Track::questions) {
      state_->questions_ended = false;
    } else {
      const Modality m = modality_of(began.track);
      state_->inbox.begin(m);
      const SessionSettings& settings = state_->current_settings;
      const bool is_declared = m == Modality::audio ? settings.has_audio : settings.has_video;
      if (is_declared && !state_->inbox.comes(m)) state_->ask_for_reset();
    }
    state_->wake();
    return {};
  }

  Admission take_in(const TrackEnded& ended, bool) {
    std::vector<std::shared_ptr<Speech>> interrupted;
    {
      std::lock_guard guard(state_->lock);
      if (ended.track == Track::questions)
        state_->questions_ended = true;
      else
        state_->inbox.end(modality_of(ended.track));
      if (ended.track == Track::audio) interrupted = give_up_held();
      state_->wake();
    }
    for (const auto& s : interrupted) s->interrupt();
    return {};
  }

  Admission take_in(const VoiceBegan&, bool) {
    std::vector<std::shared_ptr<Speech>> held, interrupted;
    {
      std::lock_guard guard(state_->lock);
      const SessionSettings& settings = state_->current_settings;
      const bool may_be_false =
          settings.trigger == Trigger::turn && settings.resume_false_interruption > 0;
      if (settings.barge_in && may_be_false)
        held = state_->utterances.hold();
      else
        interrupted = barge_in();
    }
    for (const auto& s : held) s->hold();
    for (const auto& s : interrupted) s->interrupt();
    return {};
  }

  Admission take_in(const TurnEnded& turn, bool) {
    std::vector<Utterances::Resumed> resumed;
    std::vector<std::shared_ptr<Speech>> interrupted;
    {
      std::lock_guard guard(state_->lock);
      const SessionSettings& settings = state_->current_settings;
      // Of a voice over an answer that was not told of before it was over, too.
      const bool is_false = settings.barge_in && state_->utterances.is_speaking() &&
                            turn.speech.duration < settings.resume_false_interruption;
      if (state_->utterances.is_held()) {
        if (is_false)
          resumed = state_->utterances.resume();
        else
          interrupted = state_->end_early(0);
      }
      const bool is_wanted = !state_->failed && settings.trigger == Trigger::turn;
      if (is_wanted && !is_false) {
        state_->turns.turn_ended(turn);
        if (state_->cuts.size() >= Turns::kMostQuestions) state_->cuts.pop_front();
        state_->cuts.push_back(turn.time);
        state_->wake();
      }
    }
    for (const auto& r : resumed) r.speech->resume(r.from);
    for (const auto& s : interrupted) s->interrupt();
    return {};
  }

  Admission take_in(const SpeechBegan& began, bool) {
    std::lock_guard guard(state_->lock);
    state_->push(began.turn, state_->utterances.set_start(began.turn, began.start));
    return {};
  }

  Admission take_in(const SpeechEnded& ended, bool) {
    std::vector<std::shared_ptr<Speech>> speech;  // outlives the lock
    std::lock_guard guard(state_->lock);
    speech = state_->utterances.speeches(ended.turn);
    if (!speech.empty())
      state_->heard.push_back({ended.turn, ended.end != SpeechEnd::interrupted, ended.heard,
                               state_->utterances.duration(ended.turn)});
    state_->push(ended.turn,
                 state_->utterances.end(ended.turn, ended.end, ended.start, ended.heard));
    state_->wake();
    return {};
  }

  static Modality modality_of(Track track) {
    return track == Track::audio ? Modality::audio : Modality::video;
  }

  // --- under the lock

  std::vector<std::shared_ptr<Speech>> barge_in() {
    if (!state_->current_settings.barge_in || !state_->utterances.is_speaking()) return {};
    return state_->end_early(0);
  }

  // Of a voice over an answer no end will be told.
  std::vector<std::shared_ptr<Speech>> give_up_held() {
    return state_->utterances.is_held() ? state_->end_early(0)
                                        : std::vector<std::shared_ptr<Speech>>();
  }

  // Whoever lets go of the last one waits for its threads: the session's own does.
  std::vector<std::shared_ptr<Speech>> retire_speeches() {
    auto speeches = state_->utterances.clear();
    state_->retired.insert(state_->retired.end(), speeches.begin(), speeches.end());
    return speeches;
  }

  // Nobody plays them any more: what they say is text.
  std::vector<std::shared_ptr<Speech>> end_speeches() {
    auto speeches = state_->utterances.speeches(0);
    state_->retired.insert(state_->retired.end(), speeches.begin(), speeches.end());
    for (const TurnId turn : state_->utterances.speaking()) {
      state_->heard.push_back({turn, true, 0, {}});
      state_->push(
          turn, state_->utterances.end(turn, SpeechEnd::interrupted, state_->turns.media_end(), 0));
    }
    return speeches;
  }

  const std::shared_ptr<const void> engine_;
  const Scheduler& scheduler_;
  const std::shared_ptr<SessionState> state_;
  SessionThread thread_;
};

}  // namespace

std::unique_ptr<Session> make_session(std::shared_ptr<const void> engine, const Prompter& prompter,
                                      Scheduler& scheduler, MakeSpeech make_speech,
                                      const SessionOptions& options, std::string checkpoint) {
  Tools tools = parse_tools(options.tools);
  if (!tools.empty() && !prompter.tools())
    throw Error(ErrorCode::unsupported,
                "tools: this checkpoint's family has no template for tools");
  return std::make_unique<LocalSession>(std::move(engine), prompter, scheduler,
                                        std::move(make_speech), options, std::move(checkpoint),
                                        std::move(tools));
}

Answer ask_and_wait(Session& session, Question question,
                    const std::function<void(const Event&)>& on_event) {
  const TurnId turn = session.ask(std::move(question));
  while (auto event = session.next()) {
    if (on_event) on_event(*event);
    if (const auto* flushed = std::get_if<Flushed>(&event->what))
      if (turn < flushed->first_valid) throw_cancelled();
    if (const auto* failed = std::get_if<Failed>(&event->what))
      if (failed->is_fatal || event->turn == turn) throw failed->error;
    if (auto* done = std::get_if<TurnDone>(&event->what))
      if (event->turn == turn) return std::move(done->answer);
  }
  throw_cancelled();
}

}  // namespace omni
