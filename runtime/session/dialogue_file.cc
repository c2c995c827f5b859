// A dialogue in a file and out of it.
#include <algorithm>
#include <locale>
#include <sstream>
#include <utility>

#include "session/archive_values.h"
#include "session/dialogue.h"

namespace omni {

namespace {

constexpr int64_t kMostSteps = 1 << 24, kMostPixels = 1 << 20;
constexpr int64_t kMostTurns = int64_t{1} << 48;

void put(ArchiveWriter& to, const Sequence::Mark& m) {
  const Cursor& c = m.cursor;
  to.put(m.length);
  for (const int64_t x : {int64_t{c.next}, int64_t{c.run_base}, int64_t{c.n_steps},
                          int64_t{c.text_next}, int64_t{c.answer_next}, c.departed})
    to.put(x);
  put(to, c.block);
  put(to, std::optional(c.run));
  to.put(int64_t(m.block.lane));
  put(to, m.block.track);
  for (const int32_t x : m.block.highest) to.put(int64_t{x});
}
Sequence::Mark read_mark(ArchiveReader& from, int64_t most_rows, int64_t most) {
  Sequence::Mark m;
  m.length = from.number(0, most_rows);
  m.cursor.next = from.small(0, most);
  m.cursor.run_base = from.small(0, most);
  m.cursor.n_steps = from.small(-kMostSteps, kMostSteps);
  m.cursor.text_next = from.small(0, most);
  m.cursor.answer_next = from.small(0, most);
  m.cursor.departed = from.number(0, kFarthestTime);
  m.cursor.block = read_modality(from);
  const auto run = read_modality(from);
  from.require(run.has_value());
  m.cursor.run = *run;
  m.block.lane = Lane(from.number(0, kLanes - 1));
  m.block.track = read_modality(from);
  for (int32_t& x : m.block.highest) x = from.small(0, most);
  return m;
}

void put(ArchiveWriter& to, const std::optional<SeenPicture>& picture) {
  to.put(int64_t{picture.has_value()});
  if (!picture) return;
  const PictureGeometry& g = picture->geometry;
  for (const int x : {g.source_width, g.source_height, g.resized_width, g.resized_height})
    to.put(int64_t{x});
  to.put(picture->time);
}
std::optional<SeenPicture> read_picture(ArchiveReader& from) {
  if (!from.flag()) return std::nullopt;
  SeenPicture p;
  for (int* x : {&p.geometry.source_width, &p.geometry.source_height, &p.geometry.resized_width,
                 &p.geometry.resized_height})
    *x = from.small(0, kMostPixels);
  p.time = read_time(from);
  return p;
}

// Without the thought, which nobody looks back on.
void put(ArchiveWriter& to, const ToolStep& step) {
  to.put(step.text);
  to.put(int64_t(step.calls.size()));
  for (size_t i = 0; i < step.calls.size(); ++i)
    for (const std::string* text :
         {&step.calls[i].name, &step.calls[i].arguments, &step.results[i]})
      to.put(*text);
}
ToolStep read_step(ArchiveReader& from, int64_t n_rows) {
  ToolStep step;
  step.text = from.text();
  for (int64_t i = from.number(1, n_rows); i > 0; --i) {
    ToolCall call;
    call.name = from.text();
    call.arguments = from.text();
    step.calls.push_back(std::move(call));
    step.results.push_back(from.text());
  }
  return step;
}

void put(ArchiveWriter& to, const Sequence::Saved& saved) {
  put(to, saved.end);
  to.put(std::vector<int64_t>(saved.ids.begin(), saved.ids.end()));
  std::vector<int64_t> positions, lanes;
  for (const Position& p : saved.positions) positions.insert(positions.end(), p.begin(), p.end());
  for (const Lane lane : saved.state.lane_of) lanes.push_back(int64_t(lane));
  to.put(std::move(positions));
  to.put(std::move(lanes));
  to.put(saved.kept);
  to.put(int64_t(saved.state.lanes.size()));
  for (const SavedState::LaneRows& rows : saved.state.lanes) {
    to.put(int64_t{rows.first});
    to.put(int64_t{rows.end});
    for (const int64_t x : rows.offset) to.put(x);
    to.put(rows.pages);
  }
}
Sequence::Saved read_rows(ArchiveReader& from, int64_t n_ids, int64_t most) {
  Sequence::Saved saved;
  saved.end = read_mark(from, INT32_MAX, most);
  for (const int64_t id : from.numbers(0, n_ids - 1)) saved.ids.push_back(int32_t(id));
  const std::vector<int64_t> positions = from.numbers(0, most);
  from.require(positions.size() == 3 * saved.ids.size());
  for (size_t i = 0; i < positions.size(); i += 3)
    saved.positions.push_back(
        {int32_t(positions[i]), int32_t(positions[i + 1]), int32_t(positions[i + 2])});
  for (const int64_t lane : from.numbers(0, kLanes - 1)) saved.state.lane_of.push_back(Lane(lane));
  saved.kept = from.tensor();
  const int64_t n = from.number(0, kLanes);
  for (int64_t i = 0; i < n; ++i) {
    SavedState::LaneRows lane;
    lane.first = from.small(0, INT32_MAX);
    lane.end = from.small(0, INT32_MAX);
    for (int64_t& x : lane.offset) x = from.number(0, INT64_MAX);
    lane.pages = from.tensor();
    saved.state.lanes.push_back(std::move(lane));
  }
  return saved;
}

}  // namespace

std::string Dialogue::kind() const {
  const ops::KvLayout layout = text_.kv_layout(text_.kv_type());
  std::string kind = name_of(layout.dtype);
  for (const int x :
       {layout.n_layers, layout.n_kv_heads, layout.head_dim, text_.hidden(), text_.media_width()})
    kind.append(" ").append(std::to_string(x));
  if (options_.remembers) kind += " remembers";
  if (options_.speech) kind += " speaks";
  for (const std::string& function : options_.tools.declarations) kind += "\n" + function;
  return kind + "\n" + options_.system_prompt;
}

void Dialogue::save(ArchiveWriter& to) {
  settle();
  put(to, sequence_.save());
  std::stringstream random;
  random.imbue(std::locale::classic());
  random << sampler_.random();
  to.put(random.str());
  to.put(int64_t{is_open_});
  put(to, head_);
  put(to, chunks_.empty() ? Sequence::Mark() : before_run_);
  put(to, run_tracks_);
  put(to, std::optional(first_));
  put(to, picture_);
  for (const int64_t x : {run_start_, n_media_rows_, reached_}) to.put(x);
  to.put(int64_t(chunks_.size()));
  for (const HeldChunk& c : chunks_) {
    for (const int64_t x : {c.start, c.n_rows, int64_t{c.n_steps}, int64_t{c.position}}) to.put(x);
    put(to, c.tracks);
  }
  to.put(int64_t(newest_.size()));
  for (size_t i = 0; i < newest_.size(); ++i) {
    put(to, newest_[i]);
    put(to, behind_newest_[i]);
  }
  to.put(int64_t(turns_.size()));
  for (size_t i = 0; i < turns_.size(); ++i) {
    const HeldTurn& held = held_turns_[i];
    to.put(int64_t(turns_[i].turn));
    to.put(turns_[i].question);
    to.put(turns_[i].answer);
    for (const int64_t x : {held.n_rows, int64_t{held.position}, held.end}) to.put(x);
    put(to, held.picture);
    if (options_.tools.empty()) continue;
    to.put(int64_t(held.steps.size()));
    for (const ToolStep& step : held.steps) put(to, step);
  }
}

void Dialogue::load(ArchiveReader& from) {
  const int64_t most = text_.max_positions();
  Sequence::Saved saved = read_rows(from, prompter_.tokenizer().n_tokens(), most);
  const auto n = int64_t(saved.ids.size());
  std::stringstream random(from.text());
  random.imbue(std::locale::classic());
  random >> sampler_.random();
  from.require(!random.fail());
  is_open_ = from.flag();
  head_ = read_mark(from, n, most);
  before_run_ = read_mark(from, n, most);
  run_tracks_ = read_tracks(from);
  const auto first = read_modality(from);
  from.require(first.has_value());
  first_ = *first;
  picture_ = read_picture(from);
  run_start_ = read_time(from);
  n_media_rows_ = from.number(0, n);
  reached_ = read_time(from);
  load_chunks(from, n);
  load_turns(from, n);
  require_consistent(from, saved);
  sequence_.load(std::move(saved));
  ++n_changes_;
}

void Dialogue::load_chunks(ArchiveReader& from, int64_t n) {
  for (int64_t i = from.number(0, n); i > 0; --i) {
    HeldChunk c{};
    c.start = read_time(from);
    c.n_rows = from.number(0, n);
    c.n_steps = from.small(0, c.n_rows);
    c.position = from.small(0, text_.max_positions());
    c.tracks = read_tracks(from);
    from.require(chunks_.empty() ||
                 (c.start > chunks_.back().start && c.position >= chunks_.back().position));
    chunks_.push_back(c);
  }
  for (int64_t i = from.number(0, n); i > 0; --i) {
    newest_.push_back(read_segment(from, text_.media_width()));
    from.require(newest_.back().n_tokens > 0);
    behind_newest_.push_back(read_mark(from, n, text_.max_positions()));
  }
}

void Dialogue::load_turns(ArchiveReader& from, int64_t n) {
  for (int64_t i = from.number(0, n); i > 0; --i) {
    RememberedTurn turn;
    turn.turn = TurnId(from.number(1, kMostTurns));
    turn.question = from.text();
    turn.answer = from.text();
    HeldTurn held{};
    held.n_rows = from.number(1, n);
    held.position = from.small(0, text_.max_positions());
    held.end = read_time(from);
    held.picture = read_picture(from);
    for (int64_t k = options_.tools.empty() ? 0 : from.number(0, n); k > 0; --k)
      held.steps.push_back(read_step(from, n));
    turns_.push_back(std::move(turn));
    held_turns_.push_back(held);
  }
}

// Head · turns · run: rows and positions of each lie behind those of the one before.
void Dialogue::require_consistent(const ArchiveReader& from, const Sequence::Saved& saved) const {
  const auto n = int64_t(saved.ids.size());
  from.require(is_open_ ? head_.length > 0 : n == 0);
  int64_t of_chunks = 0, of_turns = head_.length;
  int32_t position = head_.cursor.next;
  for (const HeldTurn& turn : held_turns_) {
    of_turns += turn.n_rows;
    from.require(turn.position >= position);
    position = turn.position;
  }
  from.require(chunks_.empty() == newest_.empty());
  if (chunks_.empty()) return from.require(of_turns == n && n_media_rows_ == 0);
  int64_t length = n - chunks_.back().n_rows, n_steps = 0;
  for (size_t i = 0; i < newest_.size(); ++i) {
    from.require(behind_newest_[i].length >= length);
    length = behind_newest_[i].length;
    n_steps += newest_[i].modality == Modality::audio ? 0 : newest_[i].grid_t;
  }
  from.require(length == n && n_steps <= chunks_.back().n_steps);
  for (const HeldChunk& chunk : chunks_) of_chunks += chunk.n_rows;
  from.require(of_chunks == n_media_rows_ && of_turns == before_run_.length &&
               before_run_.length + n_media_rows_ <= n && before_run_.cursor.next >= position &&
               chunks_.front().position >= before_run_.cursor.next);
}

// Of a new clock: what is there moves, so that the chunk comes right behind it.
void Dialogue::follow_clock(Nanoseconds start) {
  if (!std::exchange(has_new_clock_, false)) return;
  const Nanoseconds by = reached_ - start;
  const auto move = [&](std::optional<SeenPicture>& p) {
    if (p) p->time -= by;
  };
  for (HeldChunk& c : chunks_) c.start -= by;
  for (Segment& s : newest_) s.start -= by;
  for (HeldTurn& t : held_turns_) {
    t.end -= by;
    move(t.picture);
  }
  move(picture_);
  run_start_ -= by;
  reached_ -= by;
}

}  // namespace omni
