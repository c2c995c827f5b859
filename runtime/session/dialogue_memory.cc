// What leaves a dialogue, and what of a turn stays in it.
#include <algorithm>
#include <utility>

#include "session/dialogue.h"
#include "session/heard.h"

namespace omni {

namespace {

// Of a place behind rows that have left.
void move_cursor(Cursor& cursor, int32_t n_positions) {
  for (int32_t* at : {&cursor.run_base, &cursor.text_next, &cursor.answer_next})
    *at = std::max(0, *at - n_positions);
}

void move_mark(Sequence::Mark& mark, int64_t n_rows, int32_t n_positions) {
  mark.length -= n_rows;
  mark.cursor.next -= n_positions;
  move_cursor(mark.cursor, n_positions);
  for (int32_t& highest : mark.block.highest) highest -= n_positions;
}

// What was told of an answer ahead of its last calls.
std::string all_of(const std::vector<ToolStep>& steps) {
  std::string text;
  for (const ToolStep& step : steps) text += step.text;
  return text;
}

}  // namespace

// --- what leaves

// Lets go of chunks that are older than the window, counted from the end of the coming one, and of
// turns whose media have all left it.
void Dialogue::make_room(const TimeSpan& coming) {
  const Nanoseconds oldest = coming.start + coming.duration - options_.context_duration;
  size_t gone = 0, turns = 0;
  while (gone < chunks_.size() && chunks_[gone].start < oldest) ++gone;
  while (turns < held_turns_.size() && (gone > 0 || held_turns_[turns].end <= oldest)) ++turns;
  forget_turns(turns);
  forget_chunks(gone);
  while (!since_.empty() && since_.front().chunk.start < oldest) since_.pop_front();
}

// Whether so many more rows, the last before position `end`, find room.
bool Dialogue::fits(int64_t n_rows, int64_t end) const {
  return end <= text_.max_positions() &&
         (options_.most_rows == 0 || sequence_.length() + n_rows <= options_.most_rows);
}

// To make room. False: what is there has to stay.
bool Dialogue::forget_oldest() {
  if (!options_.remembers && options_.most_rows == 0) return false;
  if (!turns_.empty())
    forget_turns(1);
  else if (chunks_.size() > 1)
    forget_chunks(1);
  else
    return false;
  return true;
}

void Dialogue::forget_chunks(size_t n) {
  if (n == 0) return;
  if (n == chunks_.size()) return forget_run();
  int64_t rows = 0;
  Departed departed{.time = chunks_[n].start - run_start_,
                    .positions = chunks_[n].position - chunks_.front().position};
  for (size_t i = 0; i < n; ++i) {
    rows += chunks_[i].n_rows;
    departed.steps += chunks_[i].n_steps;
  }
  for (Sequence::Mark& mark : behind_newest_) slide_mark(mark, rows, departed);
  const int64_t first = sequence_.length() - n_media_rows_;
  sequence_.slide(first, first + rows, prompter_.rebase(sequence_.cursor(), departed));
  n_media_rows_ -= rows;
  for (HeldChunk& chunk : chunks_) chunk.position -= departed.positions;
  chunks_.erase(chunks_.begin(), chunks_.begin() + std::ptrdiff_t(n));
  run_start_ = chunks_.front().start;
  if (std::none_of(chunks_.begin(), chunks_.end(),
                   [](const HeldChunk& c) { return c.tracks.video; }))
    picture_.reset();
}

// A place behind what leaves the run, as the sequence slides its own.
void Dialogue::slide_mark(Sequence::Mark& mark, int64_t n_rows, const Departed& departed) const {
  const LaneShift shift = prompter_.rebase(mark.cursor, departed);
  std::array<int32_t, 3>& highest = mark.block.highest;
  for (size_t axis = 0; axis < 3; ++axis) highest[axis] -= shift[size_t(mark.block.lane)][axis];
  mark.cursor.next = 1 + *std::max_element(highest.begin(), highest.end());
  mark.length -= n_rows;
}

// The oldest n. What is behind them comes to where they began.
void Dialogue::forget_turns(size_t n) {
  if (n == 0) return;
  if (n == turns_.size() && chunks_.empty()) {
    sequence_.back_to(head_);
  } else {
    int64_t rows = 0;
    for (size_t i = 0; i < n; ++i) rows += held_turns_[i].n_rows;
    const int32_t behind = n < turns_.size() ? held_turns_[n].position : before_run_.cursor.next;
    const int32_t by = behind - head_.cursor.next;
    const Position shift{by, by, by};
    sequence_.slide(head_.length, head_.length + rows, {Position{}, shift, shift, shift});
    move_marks(rows, by);
  }
  if (n == turns_.size()) settle();
  turns_.erase(turns_.begin(), turns_.begin() + std::ptrdiff_t(n));
  held_turns_.erase(held_turns_.begin(), held_turns_.begin() + std::ptrdiff_t(n));
  ++n_changes_;
}

void Dialogue::move_marks(int64_t n_rows, int32_t n_positions) {
  int32_t highest = 0;
  for (const Position& p : sequence_.positions())
    highest = std::max(highest, *std::max_element(p.begin(), p.end()));
  Cursor& cursor = sequence_.cursor();
  move_cursor(cursor, n_positions);
  // where the answer goes may have been the end of a video that has left
  cursor.answer_next = std::min(cursor.answer_next, highest + 1);
  const auto move = [&](Sequence::Mark& mark) {
    move_mark(mark, n_rows, n_positions);
    mark.cursor.answer_next = std::min(mark.cursor.answer_next, cursor.answer_next);
  };
  if (!chunks_.empty()) move(before_run_);
  if (!chunks_.empty())
    for (Sequence::Mark& mark : behind_newest_) move(mark);
  if (revisable_) move(revisable_question_);
  for (HeldTurn& turn : held_turns_) turn.position -= n_positions;
  for (HeldChunk& chunk : chunks_) chunk.position -= n_positions;
}

// --- what stays

// A question that was answered becomes a turn.
void Dialogue::remember(const Asked& asked, Exchange exchange, TurnId turn, bool spoken) {
  const Sequence::Mark begin = chunks_.empty() ? asked.context : before_run_;
  write_turn(asked.question, exchange);
  turns_.push_back({turn, exchange.question, all_of(exchange.steps) + exchange.answer});
  held_turns_.push_back({sequence_.length() - begin.length, begin.cursor.next, reached_, picture_,
                         std::move(exchange.steps)});
  end_run();
  ++n_changes_;
  settle();
  if (spoken) {
    revisable_ = turn;
    revisable_question_ = asked.question;
  }
  while (turns_.size() > 1 && !fits(0, 0)) forget_turns(1);
}

// As the template has it, in place of whatever is behind `at`.
void Dialogue::write_turn(const Sequence::Mark& at, const Exchange& e) {
  Cursor end = at.cursor;
  Rows rows = e.steps.empty() ? prompter_.answered(end, e.question, e.answer)
                              : prompter_.tools()->answered(end, e.question, e.steps, e.answer);
  replace(at, end, in_turn(std::move(rows)));
}

// Rows behind `at`, up to the cursor `end`, in place of whatever is there: what is the same stays.
void Dialogue::replace(const Sequence::Mark& at, const Cursor& end, Rows rows) {
  const auto there = sequence_.ids().subspan(size_t(at.length));
  const std::vector<Position> positions = sequence_.positions();
  size_t same = 0;
  while (same < std::min(rows.size() - 1, there.size()) && rows.ids[same] == there[same] &&
         rows.positions[same] == positions[size_t(at.length) + same])
    ++same;
  sequence_.back_to({at.length + int64_t(same), at.cursor, at.block});
  rows.ids.erase(rows.ids.begin(), rows.ids.begin() + std::ptrdiff_t(same));
  rows.positions.erase(rows.positions.begin(), rows.positions.begin() + std::ptrdiff_t(same));
  sequence_.cursor() = end;
  sequence_.prefill(rows);
}

// What comes next begins another.
void Dialogue::end_run() {
  chunks_.clear();
  newest_.clear();
  behind_newest_.clear();
  n_media_rows_ = 0;
  picture_.reset();
}

void Dialogue::settle() {
  revisable_ = 0;
  since_.clear();
}

void Dialogue::revise(const std::string& answer) {
  RememberedTurn& turn = turns_.back();
  const std::deque<Since> since = std::exchange(since_, {});
  settle();
  if (turn.answer == answer) return;
  std::vector<ToolStep>& steps = held_turns_.back().steps;
  const std::string rest = keep_heard(answer, steps);
  write_turn(revisable_question_, {turn.question, steps, rest});
  int64_t begin = head_.length;
  for (size_t i = 0; i + 1 < held_turns_.size(); ++i) begin += held_turns_[i].n_rows;
  held_turns_.back().n_rows = sequence_.length() - begin;
  turn.answer = answer;
  ++n_changes_;
  end_run();
  for (const Since& s : since) take_in(s.chunk, s.segment);
}

}  // namespace omni
