// The thread of a session: takes what was put, moves it into the dialogue, asks what is due, and
// puts out what is in the answers. What is decided stands in Turns, Utterances, Timeline and Inbox;
// here is the order of it, and the lock.
#include "session/session.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "session/dialogue.h"
#include "session/inbox.h"
#include "session/timeline.h"
#include "session/turns.h"
#include "session/utterances.h"
#include "text/utf8_stream.h"

namespace omni {

namespace {

constexpr Nanoseconds kDefaultContext = 60 * kSecond;
constexpr size_t kMostEvents = 256;  // that nobody has taken
constexpr int kChunksAhead = 4;      // of one track before another, when nothing is live

[[noreturn]] void throw_cancelled() { throw Error(ErrorCode::cancelled, "cancelled"); }

// What the thread shares with everybody else, under one lock with one way to wake.
struct Shared {
  explicit Shared(size_t most_waiting, Nanoseconds chunk)
      : inbox(most_waiting, kChunksAhead * chunk), turns(chunk), utterances(chunk) {}

  std::mutex lock;
  std::condition_variable_any changed;
  Inbox inbox;
  Turns turns;
  Utterances utterances;
  std::deque<Event> events;
  uint64_t epoch = 0;
  uint64_t n_inputs = 0;  // counted, so that a thread which is about to wait misses none

  // All under the lock.
  template <class What>
  void emit(TurnId turn, const TimeSpan& span, What what) {
    events.push_back({epoch, turn, span, std::move(what)});
    changed.notify_all();
  }
  void emit(TurnId turn, std::optional<Utterances::Timed> timed) {
    if (!timed) return;
    if (timed->text.empty())
      emit(turn, timed->span, TimeAdvanced{.objects = false, .speech = false});
    else
      emit(turn, timed->span, AnswerText{std::move(timed->text)});
  }
  void wake() {
    ++n_inputs;
    changed.notify_all();
  }
};

class LocalSession final : public Session {
 public:
  LocalSession(std::shared_ptr<const void> engine, const Prompter& prompter, Scheduler& scheduler,
               MakeSpeech make_speech, const SessionOptions& options)
      : engine_(std::move(engine)),
        prompter_(prompter),
        scheduler_(scheduler),
        make_speech_(std::move(make_speech)),
        options_(options),
        settings_(options.settings),
        shared_(std::make_shared<Shared>(options.most_waiting, prompter.chunk_duration())),
        masks_(prompter) {
    ask_for_reset();
    thread_ = std::thread([this] { run(); });
  }

  ~LocalSession() override {
    stop_.request_stop();
    flush();
    thread_.join();
  }

  Admission put(Input&& input) override {
    const bool live = read_clock().live;
    return std::visit([&](auto& what) { return take_in(what, live); }, input);
  }

  TurnId ask(Question question) override {
    std::vector<std::shared_ptr<Speech>> interrupted;
    TurnId id = 0;
    {
      std::lock_guard guard(shared_->lock);
      interrupted = barge_in();
      id = add_question(std::move(question), 0);
    }
    for (const auto& s : interrupted) s->interrupt();
    return id;
  }

  void interrupt(TurnId turn) override {
    std::vector<std::shared_ptr<Speech>> interrupted;
    {
      std::lock_guard guard(shared_->lock);
      interrupted = end_early(turn);
    }
    for (const auto& s : interrupted) s->interrupt();
  }

  uint64_t flush() override {
    std::vector<std::shared_ptr<Speech>> speeches;
    uint64_t epoch = 0;
    {
      std::lock_guard guard(shared_->lock);
      epoch = ++shared_->epoch;
      shared_->inbox.clear();
      shared_->turns.forget_questions();
      shared_->events.clear();
      shared_->emit(0, {}, Flushed{shared_->turns.next_id()});
      questions_ended_ = false;
      speeches = retire_speeches();
      cancelled_ = true;
      if (dialogue_) dialogue_->cancel();
      ask_for_reset();
    }
    for (const auto& s : speeches) s->stop();
    return epoch;
  }

  void reset() override {
    std::vector<std::shared_ptr<Speech>> interrupted;
    {
      std::lock_guard guard(shared_->lock);
      interrupted = end_early(0);
      ask_for_reset();
    }
    for (const auto& s : interrupted) s->interrupt();
  }

  void set(const SessionSettings& settings) override {
    std::vector<std::shared_ptr<Speech>> speeches;
    {
      std::lock_guard guard(shared_->lock);
      settings_ = settings;
      if (reset_pending_) set_tracks();
      if (!settings.wants_speech) speeches = end_speeches();
      shared_->wake();
    }
    for (const auto& s : speeches) s->stop();
  }

  SessionSettings settings() const override {
    std::lock_guard guard(shared_->lock);
    return settings_;
  }

  std::optional<Event> next(std::stop_token stop) override {
    std::unique_lock lock(shared_->lock);
    if (!shared_->changed.wait(lock, stop, [&] { return !shared_->events.empty(); }))
      return std::nullopt;
    Event event = std::move(shared_->events.front());
    shared_->events.pop_front();
    shared_->changed.notify_all();
    return event;
  }

  SessionStats stats() const override {
    std::lock_guard guard(shared_->lock);
    SessionStats s = stats_;
    s.waiting = shared_->inbox.n_waiting();
    s.n_dropped = shared_->inbox.n_dropped();
    s.n_spoken = shared_->utterances.n_spoken();
    s.n_interrupted = shared_->utterances.n_interrupted();
    return s;
  }

 private:
  ClockReading read_clock() const { return options_.clock ? options_.clock() : ClockReading(); }

  // --- what goes in

  Admission take_in(Segment& segment, bool live) {
    if (segment.hidden != scheduler_.model().hidden() ||
        segment.embeddings.size() != size_t(segment.n_tokens) * size_t(segment.hidden))
      throw Error(ErrorCode::invalid_argument, "a segment of " + std::to_string(segment.n_tokens) +
                                                   " tokens of " + std::to_string(segment.hidden) +
                                                   " values for a model of " +
                                                   std::to_string(scheduler_.model().hidden()));
    std::lock_guard guard(shared_->lock);
    if (failed_) return {};
    const Admission admission = shared_->inbox.put(segment, live);
    if (!admission.accepted) has_refused_ = true;
    shared_->wake();
    return admission;
  }

  Admission take_in(UserText& user, bool live) {
    std::vector<std::shared_ptr<Speech>> interrupted;
    {
      std::lock_guard guard(shared_->lock);
      if (!live && shared_->turns.is_full()) {
        has_refused_ = true;
        return {.accepted = false};
      }
      if (live) interrupted = barge_in();
      add_question({std::move(user.text)}, user.time);
    }
    for (const auto& s : interrupted) s->interrupt();
    return {};
  }

  // Under the lock.
  TurnId add_question(Question question, Nanoseconds time) {
    if (shared_->turns.is_full()) {
      const Turns::Waiting oldest = shared_->turns.refuse_oldest();
      ++stats_.n_refused;
      drop_oldest_refusal();
      shared_->emit(oldest.id, {}, TurnDropped{oldest.question.text, TurnDropped::Why::refused});
    }
    shared_->wake();
    return shared_->turns.add(std::move(question), time, shared_->inbox.n_put());
  }

  // What is told of refused questions is bounded as they are. Under the lock.
  void drop_oldest_refusal() {
    std::deque<Event>& events = shared_->events;
    const auto is_refusal = [](const Event& e) {
      const auto* dropped = std::get_if<TurnDropped>(&e.what);
      return dropped && dropped->why == TurnDropped::Why::refused;
    };
    if (events.size() < kMostEvents) return;
    const auto oldest = std::find_if(events.begin(), events.end(), is_refusal);
    if (oldest != events.end()) events.erase(oldest);
  }

  Admission take_in(const TrackBegan& began, bool) {
    std::lock_guard guard(shared_->lock);
    end_sent_ = false;
    if (began.track == Track::questions) {
      questions_ended_ = false;
    } else {
      const Modality m = modality_of(began.track);
      shared_->inbox.begin(m);
      const bool is_declared = m == Modality::audio ? settings_.has_audio : settings_.has_video;
      if (is_declared && !shared_->inbox.comes(m)) ask_for_reset();
    }
    shared_->wake();
    return {};
  }

  Admission take_in(const TrackEnded& ended, bool) {
    std::lock_guard guard(shared_->lock);
    if (ended.track == Track::questions)
      questions_ended_ = true;
    else
      shared_->inbox.end(modality_of(ended.track));
    shared_->wake();
    return {};
  }

  Admission take_in(const SpeechBegan& began, bool) {
    std::lock_guard guard(shared_->lock);
    shared_->emit(began.turn, shared_->utterances.set_start(began.turn, began.start));
    return {};
  }

  Admission take_in(const SpeechEnded& ended, bool) {
    std::vector<std::shared_ptr<Speech>> speech;  // outlives the lock
    std::lock_guard guard(shared_->lock);
    speech = shared_->utterances.speeches(ended.turn);
    shared_->emit(ended.turn,
                  shared_->utterances.end(ended.turn, ended.end, ended.start, ended.heard));
    shared_->wake();
    return {};
  }

  static Modality modality_of(Track track) {
    return track == Track::audio ? Modality::audio : Modality::video;
  }

  // --- under the lock

  // The utterances returned are to be interrupted without it.
  std::vector<std::shared_ptr<Speech>> end_early(TurnId turn) {
    if (turn == 0 || turn == answering_) interrupted_ = true;
    return shared_->utterances.speeches(turn);
  }

  std::vector<std::shared_ptr<Speech>> barge_in() {
    if (!settings_.barge_in || !shared_->utterances.is_speaking()) return {};
    return end_early(0);
  }

  void ask_for_reset() {
    reset_pending_ = true;
    failed_ = false;
    set_tracks();
    shared_->wake();
  }

  void set_tracks() { shared_->inbox.set_tracks(settings_.has_video, settings_.has_audio); }

  // Whoever lets go of the last one waits for its threads: the session's own does.
  std::vector<std::shared_ptr<Speech>> retire_speeches() {
    auto speeches = shared_->utterances.clear();
    retired_.insert(retired_.end(), speeches.begin(), speeches.end());
    return speeches;
  }

  // Nobody plays them any more: what they say is text.
  std::vector<std::shared_ptr<Speech>> end_speeches() {
    auto speeches = shared_->utterances.speeches(0);
    retired_.insert(retired_.end(), speeches.begin(), speeches.end());
    for (const TurnId turn : shared_->utterances.speaking())
      shared_->emit(turn, shared_->utterances.end(turn, SpeechEnd::interrupted,
                                                  shared_->turns.media_end(), 0));
    return speeches;
  }

  // --- the thread

  void run() {
    while (!stop_.stop_requested()) {
      uint64_t n_inputs = 0;
      {
        std::lock_guard guard(shared_->lock);
        n_inputs = shared_->n_inputs;
      }
      if (guarded_step()) continue;
      std::unique_lock lock(shared_->lock);
      shared_->changed.wait(lock, stop_.get_token(), [&] { return shared_->n_inputs != n_inputs; });
    }
  }

  bool guarded_step() {
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

  void fail(const Error& error) {
    std::lock_guard guard(shared_->lock);
    failed_ = true;
    shared_->emit(answering_, {}, Failed{{}, error, true});
  }

  // False when there is nothing to do.
  bool step() {
    let_go_of_speeches();
    if (!has_work()) return false;
    if (begin_anew()) make_anew();
    const bool live = read_clock().live;
    bool progress = take(live);
    while (const auto chunk = wants_reset() ? std::nullopt : timeline_->next(!live)) {
      for (const Segment& s : chunk->segments) dialogue_->add(chunk->span, s);
      chunk_entered(chunk->span, live);
      ask_due(live, false);
      if (live) take(live);
      progress = true;
    }
    while (const auto early = wants_reset() ? std::nullopt : timeline_->early(!live)) {
      dialogue_->add(early->chunk, early->segment);
      progress = true;
    }
    progress |= ask_due(live, true);
    keep_stats();
    return progress || wants_reset() || end_stream();
  }

  bool wants_reset() const {
    std::lock_guard guard(shared_->lock);
    return reset_pending_;
  }

  void let_go_of_speeches() {
    std::vector<std::shared_ptr<Speech>> retired;  // outlive the lock
    std::lock_guard guard(shared_->lock);
    retired.swap(retired_);
  }

  // A new dialogue is for the first thing that comes: the tracks that there are then are those that
  // are waited for.
  bool has_work() const {
    std::lock_guard guard(shared_->lock);
    const Inbox& inbox = shared_->inbox;
    return !failed_ && (!reset_pending_ || inbox.n_waiting() > 0 ||
                        shared_->turns.has_questions() || questions_ended_ ||
                        inbox.has_ended(Modality::video) || inbox.has_ended(Modality::audio));
  }

  // Clears what a flush or reset has asked for. True: there was one, or it is the first time.
  bool begin_anew() {
    std::lock_guard guard(shared_->lock);
    if (!reset_pending_) return false;
    reset_pending_ = cancelled_ = end_sent_ = false;
    shared_->turns.forget_media();
    return true;
  }

  void make_anew() {
    const SessionSettings s = settings();
    DialogueOptions o;
    o.system_prompt = options_.system_prompt;
    o.tracks = {s.has_video, s.has_audio};
    o.context_duration =
        options_.context_duration > 0 ? options_.context_duration : kDefaultContext;
    o.seed = options_.seed;
    o.speech = s.wants_speech;
    o.live = read_clock().live;
    give_up_dialogue();  // its memory first
    auto dialogue = std::make_unique<Dialogue>(prompter_, scheduler_, masks_, o);
    {
      std::lock_guard guard(shared_->lock);
      dialogue_.swap(dialogue);
    }
    timeline_.emplace(o.tracks, prompter_.chunk_duration());
    tracker_.reset();
  }

  void give_up_dialogue() {
    std::unique_ptr<Dialogue> old;  // ends without the lock
    std::lock_guard guard(shared_->lock);
    old.swap(dialogue_);
  }

  // Moves what waits onto the timeline: live all of it, so that it is known what is newest.
  bool take(bool live) {
    bool any = false;
    while (auto segment = take_one(live)) {
      timeline_->append(std::move(*segment));
      any = true;
      if (!live) break;
    }
    timeline_->set_ended(Modality::video, video_ended_);
    timeline_->set_ended(Modality::audio, audio_ended_);
    return any;
  }

  std::optional<Segment> take_one(bool live) {
    std::optional<Segment> segment;
    bool has_room = false;
    {
      std::lock_guard guard(shared_->lock);
      segment = shared_->inbox.take(live);
      video_ended_ = shared_->inbox.has_ended(Modality::video);
      audio_ended_ = shared_->inbox.has_ended(Modality::audio);
      if (segment) has_room = std::exchange(has_refused_, false);
    }
    if (has_room && options_.on_room) options_.on_room();
    return segment;
  }

  void chunk_entered(const TimeSpan& span, bool live) {
    Turns::Due due;
    const SessionSettings s = settings();
    {
      std::lock_guard guard(shared_->lock);
      due = shared_->turns.chunk_entered(span, s);
    }
    if (due.silent_until)
      emit(0, {0, *due.silent_until},
           TimeAdvanced{.text = !due.text_waits, .speech = !due.text_waits});
    for (Turn& turn : due.turns) {
      if (live) take(live);
      if (is_overdue(turn, s, read_clock(), timeline_->next_is_complete(!live)))
        drop(turn);
      else
        answer(turn, live);
    }
  }

  void drop(const Turn& turn) {
    {
      std::lock_guard guard(shared_->lock);
      ++stats_.n_overdue;
    }
    emit(turn.id, turn.span, TurnDropped{turn.question.text, TurnDropped::Why::overdue});
    emit(turn.id, turn.span,
         TimeAdvanced{.text = turn.audience == Audience::text,
                      .objects = turn.audience == Audience::objects,
                      .speech = turn.audience == Audience::text});
  }

  // `all_entered`: nothing complete is left on the timeline. Before, questions are due that are
  // about a time which has come, and not those about all that is there (live: everything is).
  bool ask_due(bool live, bool all_entered) {
    bool any = false;
    while (auto turn = wants_reset() ? std::nullopt : take_due(live, all_entered)) {
      any = true;
      answer_user(*turn, live);
    }
    return any;
  }

  std::optional<Turn> take_due(bool live, bool all_entered) {
    std::optional<Turn> turn;
    bool has_room = false;
    {
      std::lock_guard guard(shared_->lock);
      const auto waits = [&](const Turns::Waiting& w) {
        if (live) return false;
        return shared_->inbox.has_of_first(w.after, live) || !knows_ends() ||
               (!all_entered && w.time == 0);
      };
      turn = shared_->turns.take_due(live || (all_entered && has_ended()), waits);
      if (turn) has_room = std::exchange(has_refused_, false);
    }
    if (has_room && options_.on_room) options_.on_room();
    return turn;
  }

  // All that will be asked about has been taken. Under the lock.
  bool has_ended() const {
    if (!shared_->inbox.has_tracks()) return settings_.has_questions && questions_ended_;
    return shared_->inbox.has_ended() && knows_ends();
  }

  // The timeline has been told which tracks have ended. Under the lock.
  bool knows_ends() const {
    return video_ended_ == shared_->inbox.has_ended(Modality::video) &&
           audio_ended_ == shared_->inbox.has_ended(Modality::audio);
  }

  bool end_stream() {
    Turns::Due due;
    Nanoseconds end = 0;
    const SessionSettings s = settings();
    {
      std::lock_guard guard(shared_->lock);
      // The end follows what is still being spoken: its text has no place in time before.
      if (!has_ended() || end_sent_ || shared_->utterances.is_speaking()) return false;
      due = shared_->turns.media_ended(s);
      end = shared_->turns.media_end();
      end_sent_ = due.turns.empty();
    }
    for (Turn& turn : due.turns) answer(turn, read_clock().live);
    if (!due.turns.empty()) return true;
    emit(0, {0, end}, TimeAdvanced{});
    emit(0, {end, 0}, EndOfStream{});
    return false;
  }

  // --- a turn

  // A question that cannot be asked is its user's affair and not the stream's.
  void answer_user(Turn& turn, bool live) {
    const std::string& text = turn.question.text;
    if (valid_utf8(text) != text)
      return refuse(turn, Error(ErrorCode::corrupt_file,
                                "a question that is no UTF-8: \"" + valid_utf8(text) + "\""));
    try {
      answer(turn, live);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::invalid_argument && e.code() != ErrorCode::unsupported) throw;
      refuse(turn, e);
    }
  }

  void refuse(const Turn& turn, const Error& error) {
    emit(turn.id, turn.span, Failed{valid_utf8(turn.question.text), error, false});
  }

  void answer(Turn& turn, bool live) {
    const SessionSettings s = settings();
    begin_turn(turn);
    AnswerReader reader(prompter_.coordinates(),
                        s.wants_pieces && turn.audience != Audience::objects, s.wants_objects);
    const std::shared_ptr<SpeechStream> speech = begin_speech(turn, s, live);
    int n_pieces = 0;
    const TimeSpan pieces = speech ? TimeSpan{turn.span.end(), turn.span.duration} : turn.span;
    const auto send = [&](std::optional<TextPiece> piece) {
      if (!piece) return;
      const bool stamped = live && s.stamped_when_ready;
      const TimeSpan span =
          span_of_piece(pieces, n_pieces++, sampling_of(turn, s).max_tokens, piece->is_last);
      emit(turn.id, stamped ? stamped_now(span) : span, std::move(*piece));
    };
    Answer answer;
    try {
      answer = write(
          turn, s, [&](const AnswerToken& t) { send(reader.push(t)); }, speech.get());
    } catch (...) {
      if (speech) give_up(turn, *speech);
      throw;
    }
    send(reader.finish(answer.text));
    send_answer(turn, s, live, answer, reader, speech != nullptr);
  }

  void begin_turn(const Turn& turn) {
    {
      std::lock_guard guard(shared_->lock);
      answering_ = turn.id;
      interrupted_ = false;
    }
    emit(turn.id, turn.span, TurnBegan{turn.question.text});
  }

  static SamplingOptions sampling_of(const Turn& turn, const SessionSettings& s) {
    if (turn.question.sampling) return *turn.question.sampling;
    SamplingOptions sampling = s.sampling;
    if (s.wants_objects && turn.audience != Audience::objects) sampling.json_schema.clear();
    return sampling;
  }

  Answer write(const Turn& turn, const SessionSettings& s,
               const std::function<void(const AnswerToken&)>& on_token, SpeechStream* speech) {
    if (!turn.question.reply.empty()) {
      Answer answer;
      answer.text = turn.question.reply;
      if (speech) dialogue_->say(turn.question.text, answer.text, *speech);
      on_token({answer.text, answer.text});
      return answer;
    }
    return dialogue_->ask(turn.question.text, {.sampling = sampling_of(turn, s),
                                               .on_token = on_token,
                                               .wants_probabilities = s.wants_objects,
                                               .speech = speech,
                                               .interrupted = interrupted_});
  }

  // Pieces share the time of their answer, as if it were as long as it may be; the last one has the
  // rest.
  static TimeSpan span_of_piece(const TimeSpan& answer, int index, int max_tokens, bool is_last) {
    const Nanoseconds step = answer.duration / std::max(1, max_tokens);
    const Nanoseconds start = answer.start + std::min(index, max_tokens - 1) * step;
    return {start, is_last ? answer.end() - start : step};
  }

  TimeSpan stamped_now(TimeSpan span) const {
    if (const auto now = read_clock().now) span.start = *now;
    return span;
  }

  void send_answer(const Turn& turn, const SessionSettings& s, bool live, const Answer& answer,
                   AnswerReader& reader, bool spoken) {
    const TimeSpan span = live && s.stamped_when_ready ? stamped_now(turn.span) : turn.span;
    send_objects(turn, s, span, answer, reader);
    if (spoken) {
      std::lock_guard guard(shared_->lock);
      shared_->emit(turn.id, shared_->utterances.set_text(turn.id, answer.text));
    } else if (turn.audience != Audience::objects) {
      if (answer.text.empty())
        emit(turn.id, span, TimeAdvanced{.objects = false, .speech = false});
      else
        emit(turn.id, span, AnswerText{answer.text});
    }
    count(answer, reader.counts());
    emit(turn.id, span,
         TurnDone{turn.question.text, turn.audience == Audience::objects, turn.span.start, answer});
  }

  void send_objects(const Turn& turn, const SessionSettings& s, const TimeSpan& span,
                    const Answer& answer, AnswerReader& reader) {
    if (!s.wants_objects) return;
    std::optional<SpatialResult> result;
    if (turn.audience == Audience::objects || reader.has_objects())
      result = reader.objects(answer, turn.question.text, turn.span, s.tracking, tracker_);
    if (result) {
      const Nanoseconds time = result->frame_time;
      emit(turn.id, {time, std::max<Nanoseconds>(0, turn.span.end() - time)}, std::move(*result));
    } else if (turn.audience == Audience::objects) {
      emit(turn.id, span, TimeAdvanced{.text = false, .speech = false});
    }
  }

  // nullptr: it is not spoken.
  std::shared_ptr<SpeechStream> begin_speech(const Turn& turn, const SessionSettings& s,
                                             bool live) {
    if (turn.audience == Audience::objects || !s.wants_speech || !dialogue_->may_speak())
      return nullptr;
    if (!wait_to_speak(turn, live)) return nullptr;
    std::shared_ptr<SpeechStream> speech = make_speech_(s.speech);
    {
      std::lock_guard guard(shared_->lock);
      if (cancelled_) throw_cancelled();
      shared_->utterances.begin(turn.id, speech);
    }
    speech->when_duration_is_known(
        [weak = std::weak_ptr(shared_), turn = turn.id](Nanoseconds duration) {
          const auto shared = weak.lock();
          if (!shared) return;
          std::lock_guard guard(shared->lock);
          shared->emit(turn, shared->utterances.set_duration(turn, duration));
        });
    emit(turn.id, {turn.span.end(), 0}, Utterance{speech, turn.question.text, s.speech.voice});
    return speech;
  }

  bool wait_to_speak(const Turn& turn, bool live) {
    using May = Utterances::May;
    std::unique_lock lock(shared_->lock);
    May may{};
    shared_->changed.wait(lock, stop_.get_token(), [&] {
      may = shared_->utterances.may_speak(live, !turn.standing);
      return cancelled_ || may != May::wait;
    });
    if (cancelled_ || may == May::wait) throw_cancelled();
    if (may == May::stay_silent) ++stats_.n_unspoken;
    return may == May::speak;
  }

  void give_up(const Turn& turn, SpeechStream& speech) {
    speech.stop();
    std::lock_guard guard(shared_->lock);
    shared_->emit(turn.id, shared_->utterances.set_text(turn.id, {}));
  }

  void count(const Answer& answer, const SpatialParser::Counts& counts) {
    std::lock_guard guard(shared_->lock);
    ++stats_.n_answers;
    stats_.n_tokens += uint64_t(answer.tokens);
    stats_.n_objects += uint64_t(counts.objects);
    stats_.n_repaired += uint64_t(counts.repaired);
    stats_.n_malformed += uint64_t(counts.malformed);
    stats_.context_tokens = dialogue_->n_rows();
  }

  void keep_stats() {
    std::lock_guard guard(shared_->lock);
    stats_.context_tokens = dialogue_->n_rows();
    stats_.n_late = uint64_t(timeline_->n_late());
  }

  // Waits while nobody takes what is there. Throws cancelled.
  template <class What>
  void emit(TurnId turn, const TimeSpan& span, What what) {
    std::unique_lock lock(shared_->lock);
    shared_->changed.wait(lock, stop_.get_token(),
                          [&] { return cancelled_ || shared_->events.size() < kMostEvents; });
    if (cancelled_ || stop_.stop_requested()) throw_cancelled();
    shared_->emit(turn, span, std::move(what));
  }

  const std::shared_ptr<const void> engine_;
  const Prompter& prompter_;
  Scheduler& scheduler_;
  const MakeSpeech make_speech_;
  const SessionOptions options_;
  std::atomic<bool> cancelled_{false}, interrupted_{false};

  // Under the lock of shared_:
  SessionSettings settings_;
  SessionStats stats_;
  std::vector<std::shared_ptr<Speech>> retired_;
  TurnId answering_ = 0;
  bool reset_pending_ = false, failed_ = false, questions_ended_ = false, end_sent_ = false;
  bool has_refused_ = false;  // on_room is owed
  const std::shared_ptr<Shared> shared_;

  // Of the thread:
  AnswerMasks masks_;
  std::unique_ptr<Dialogue> dialogue_;  // made and given up under the lock
  std::optional<Timeline> timeline_;
  Tracker tracker_;
  bool video_ended_ = false, audio_ended_ = false;  // as the timeline knows it

  std::stop_source stop_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Session> make_session(std::shared_ptr<const void> engine, const Prompter& prompter,
                                      Scheduler& scheduler, MakeSpeech make_speech,
                                      const SessionOptions& options) {
  return std::make_unique<LocalSession>(std::move(engine), prompter, scheduler,
                                        std::move(make_speech), options);
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
