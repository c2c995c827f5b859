#include "session/dialogue.h"

#include <algorithm>
#include <utility>

namespace omni {

namespace {

Tracks all_of(const std::vector<Segment>& segments) {
  Tracks all;
  for (const Segment& s : segments) all = all | tracks_of(s);
  return all;
}

bool is_picture(const Segment& s) { return s.modality != Modality::audio; }

// A step of video is a pair of frames, half a step apart.
Nanoseconds last_frame_of(const Segment& s) {
  if (s.modality == Modality::image) return s.start;
  const auto apart = Nanoseconds(s.seconds_per_grid / 2 * double(kSecond));
  return s.start + std::max<Nanoseconds>(0, s.duration - apart);
}

}  // namespace

SeenPicture seen(const Segment& s) {
  return {{s.source_width, s.source_height, s.resized_width, s.resized_height}, last_frame_of(s)};
}

Dialogue::Dialogue(const Prompter& prompter, Scheduler& scheduler, AnswerMasks& masks,
                   const DialogueOptions& options)
    : prompter_(prompter),
      text_(scheduler.model()),
      masks_(masks),
      options_(options),
      sequence_(scheduler,
                {.priority = options.live ? Scheduler::Priority::live : Scheduler::Priority::file,
                 .keeps_rows = options.speech,
                 .is_stop = [&prompter](int32_t id) { return prompter.is_stop(id); },
                 .lane_of_tokens = options.remembers ? Lane::turns : Lane::text}),
      sampler_(options.seed),
      run_tracks_(options.tracks) {}

void Dialogue::open() {
  if (is_open_) return;
  Cursor& cursor = sequence_.cursor();
  const std::vector<std::string>& functions = options_.tools.declarations;
  sequence_.prefill(functions.empty() ? prompter_.begin_dialogue(cursor, options_.system_prompt)
                                      : prompter_.tools()->begin_dialogue(
                                            cursor, options_.system_prompt, functions));
  head_ = sequence_.mark();
  is_open_ = true;
}

void Dialogue::set_live(bool live) {
  sequence_.set_priority(live ? Scheduler::Priority::live : Scheduler::Priority::file);
}

Rows Dialogue::in_turn(Rows rows) const {
  if (options_.remembers && rows.lane == Lane::text) rows.lane = Lane::turns;
  return rows;
}

void Dialogue::add(const TimeSpan& chunk, Segment s) {
  if (s.n_tokens == 0) return;
  follow_clock(chunk.start);
  if (revisable_) since_.push_back({chunk, s});
  take_in(chunk, std::move(s));
}

void Dialogue::take_in(const TimeSpan& chunk, Segment s) {
  if (chunks_.empty() || chunks_.back().start != chunk.start) open_chunk(chunk, s.modality);
  const Tracks needed = run_tracks_ | tracks_of(s);
  if (needed != run_tracks_)
    begin_run_anew(chunks_.size() == 1 ? needed : all_of(newest_) | tracks_of(s));
  enter(s);
  newest_.push_back(std::move(s));
}

void Dialogue::enter(const Segment& s) {
  Cursor end;
  Rows rows;
  do {
    end = sequence_.cursor();
    rows = prompter_.media(end, s, run_start_);
  } while (!fits(int64_t(rows.size()), int64_t{end.next} + 1) && forget_oldest());
  const auto n_rows = int64_t(rows.size());
  if (n_rows - int64_t(rows.n_before + rows.n_behind) != s.n_tokens)
    throw Error(ErrorCode::invalid_argument, "a segment whose grid does not hold its tokens");
  if (end.next >= text_.max_positions())
    throw Error(ErrorCode::invalid_argument,
                "the media end at position " + std::to_string(end.next) + ", but the model holds " +
                    std::to_string(text_.max_positions()) + ": shorten context-duration");
  sequence_.cursor() = end;
  sequence_.prefill(rows, s.embeddings.data());
  if (is_picture(s)) picture_ = seen(s);
  chunks_.back().tracks = chunks_.back().tracks | tracks_of(s);
  n_media_rows_ += n_rows;
  chunks_.back().n_rows += n_rows;
  if (is_picture(s)) chunks_.back().n_steps += s.grid_t;
  behind_newest_.push_back(sequence_.mark());
}

// All but the first n segments of the last chunk leave the context.
std::vector<Segment> Dialogue::take_back(size_t n) {
  const Sequence::Mark& behind = behind_newest_[n - 1];
  const int64_t n_rows = sequence_.length() - behind.length;
  const auto first = newest_.begin() + std::ptrdiff_t(n);
  std::vector<Segment> rest(std::make_move_iterator(first), std::make_move_iterator(newest_.end()));
  HeldChunk& chunk = chunks_.back();
  for (const Segment& s : rest) chunk.n_steps -= is_picture(s) ? s.grid_t : 0;
  chunk.n_rows -= n_rows;
  n_media_rows_ -= n_rows;
  sequence_.back_to(behind);
  newest_.erase(first, newest_.end());
  behind_newest_.resize(n);
  picture_ = seen(newest_.back());
  return rest;
}

void Dialogue::look_back(const std::function<bool()>& ask_then) {
  if (chunks_.empty()) return;
  const auto first = std::find_if(newest_.begin(), newest_.end(), is_picture);
  auto n_left = std::count_if(newest_.begin(), newest_.end(), is_picture);
  if (n_left < 2) return;
  bool found = false;
  for (Segment& s : take_back(size_t(first - newest_.begin()) + 1)) {
    if (is_picture(newest_.back()) && --n_left > 0) found = found || ask_then();
    enter(s);
    newest_.push_back(std::move(s));
  }
}

void Dialogue::open_chunk(const TimeSpan& chunk, Modality first) {
  open();
  make_room(chunk);
  settle_run();
  if (chunks_.empty()) {
    before_run_ = sequence_.mark();
    begin_run(run_tracks_, first, chunk.start);
  }
  chunks_.push_back({chunk.start, 0, 0, sequence_.cursor().next, {}});
  newest_.clear();
  behind_newest_.clear();
  reached_ = std::max(reached_, chunk.end());
}

void Dialogue::begin_run(Tracks tracks, Modality first, Nanoseconds start) {
  run_tracks_ = tracks;
  first_ = first;
  run_start_ = start;
  sequence_.prefill(in_turn(prompter_.begin_run(sequence_.cursor(), tracks, first)));
}

// Of the last chunk, with these markers; what was before it is forgotten.
void Dialogue::begin_run_anew(Tracks tracks) {
  const Nanoseconds start = chunks_.back().start;
  const Modality first = newest_.empty() ? first_ : newest_.front().modality;
  forget_run();
  begin_run(tracks, first, start);
  chunks_.push_back({start, 0, 0, sequence_.cursor().next, {}});
  behind_newest_.clear();
  for (const Segment& s : newest_) enter(s);
}

// While there is one chunk, its markers may still be those of what has come.
void Dialogue::settle_run() {
  if (chunks_.size() == 1 && chunks_.front().tracks != run_tracks_)
    begin_run_anew(chunks_.front().tracks);
}

void Dialogue::forget_run() {
  sequence_.back_to(before_run_);
  chunks_.clear();
  n_media_rows_ = 0;
  picture_.reset();
}

std::optional<SeenPicture> Dialogue::last_picture() const {
  if (picture_) return picture_;
  for (auto turn = held_turns_.rbegin(); turn != held_turns_.rend(); ++turn)
    if (turn->picture) return turn->picture;
  return std::nullopt;
}

// Puts a question behind the media.
Dialogue::Asked Dialogue::put_question(const std::string& question, int max_tokens) {
  open();
  settle_run();
  Cursor behind_run, end;
  Rows markers, rows;
  bool forgot = false;
  do {
    behind_run = sequence_.cursor();
    markers = chunks_.empty() ? Rows() : in_turn(prompter_.end_run(behind_run, run_tracks_));
    end = behind_run;
    rows = in_turn(prompter_.ask(end, question));
    const int64_t alone = head_.cursor.next + int64_t(rows.size()) + max_tokens;
    forgot = alone <= text_.max_positions() &&
             !fits(int64_t(markers.size() + rows.size()), int64_t{end.next} + max_tokens) &&
             forget_oldest();
  } while (forgot);
  if (int64_t{end.next} + max_tokens > text_.max_positions())
    throw Error(ErrorCode::invalid_argument,
                "the prompt ends at position " + std::to_string(end.next) +
                    " and max-tokens asks for " + std::to_string(max_tokens) +
                    " more, but the model holds " + std::to_string(text_.max_positions()));
  Asked asked;
  asked.context = sequence_.mark();
  sequence_.cursor() = behind_run;
  sequence_.prefill(markers);
  asked.question = sequence_.mark();
  sequence_.cursor() = end;
  sequence_.prefill(rows);
  return asked;
}

}  // namespace omni
