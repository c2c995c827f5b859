#include "decoding/scheduler_batch.h"

#include <algorithm>
#include <utility>

namespace omni {

// --- what it computes

void Scheduler::Batch::add_tokens(const Entries& entries) {
  for (const auto& entry : entries) {
    Entry& e = *entry;
    if (e.failed) {
      e.fail_all(e.failed);
      continue;
    }
    auto* decode = e.front<Entry::Decode>();
    const bool ahead = e.ahead && !e.ahead->computed && e.todo.empty();
    if (!(decode || ahead) || !e.make_room(arena_, e.lane_of_tokens, 1)) continue;
    if (decode) {
      e.ahead.reset();
      parts_.push_back({.entry = &e,
                        .ids = {&decode->id, 1},
                        .positions = {&decode->at, 1},
                        .lane = e.lane_of_tokens});
    } else {
      parts_.push_back({.entry = &e,
                        .ids = {&e.ahead->id, 1},
                        .positions = {&e.ahead->at, 1},
                        .lane = e.lane_of_tokens,
                        .is_ahead = true});
    }
  }
}

// Prompts that come first in what is asked for, in the order in which they are taken.
std::vector<Scheduler::Batch::Waiting> Scheduler::Batch::waiting(const Entries& entries,
                                                                 uint64_t& n_arrived) {
  std::vector<Waiting> all;
  for (const auto& entry : entries)
    if (auto* prompt = entry->front<Entry::Prefill>()) {
      if (!prompt->arrival) prompt->arrival = ++n_arrived;
      all.push_back({entry.get(), prompt});
    }
  const auto key = [](const Waiting& w) {
    const bool starves = w.prompt->n_passed_over >= kMostTurnsPassedOver;
    const int rank = starves ? 0 : w.entry->priority == Priority::live ? 1 : 2;
    return std::pair(rank, w.prompt->arrival);
  };
  std::sort(all.begin(), all.end(),
            [&](const Waiting& a, const Waiting& b) { return key(a) < key(b); });
  return all;
}

void Scheduler::Batch::add_prompts(const Entries& entries, uint64_t& n_arrived) {
  const int64_t most_rows = most_prompt_rows();
  int64_t n_rows = 0;
  for (const Waiting& w : waiting(entries, n_arrived)) {
    if (!add_piece(w, most_rows - n_rows)) continue;
    n_rows += parts_.back().n();
    w.prompt->n_passed_over = 0;
    w.prompt->arrival = ++n_arrived;
  }
}

// Where a prompt is cut depends on nothing but its own rows: a piece that does not fit is passed
// over. False: it was, or there was no memory for it.
bool Scheduler::Batch::add_piece(const Waiting& waiting, int64_t most_rows) {
  Entry::Prefill& p = *waiting.prompt;
  const int64_t n = std::min(int64_t(p.rows.size()) - p.n_done, most_prompt_rows());
  if (n > most_rows) {
    ++p.n_passed_over;
    return false;
  }
  if (!waiting.entry->make_room(arena_, p.rows.lane, n)) return false;
  parts_.push_back(piece_of(waiting, n));
  return true;
}

Scheduler::Batch::Part Scheduler::Batch::piece_of(const Waiting& waiting, int64_t n) const {
  Entry::Prefill& p = *waiting.prompt;
  const auto size = int64_t(p.rows.size()), begin = p.n_done, end = begin + n,
             first = p.values ? int64_t(p.rows.n_before) : size,
             last = p.values ? size - int64_t(p.rows.n_behind) : size;  // [first, last): given
  Part part{.entry = waiting.entry,
            .ids = std::span(p.rows.ids).subspan(size_t(begin), size_t(n)),
            .positions = std::span(p.rows.positions).subspan(size_t(begin), size_t(n)),
            .n_before = std::clamp<int64_t>(first - begin, 0, n),
            .n_behind = std::clamp<int64_t>(end - last, 0, n),
            .lane = p.rows.lane,
            .prompt = &p};
  if (part.n_given())
    part.values = p.values + (begin + part.n_before - first) * model_.media_width();
  return part;
}

int64_t Scheduler::Batch::n_prompt_rows() const {
  int64_t n = 0;
  for (const Part& p : parts_) n += p.prompt ? p.n() : 0;
  return n;
}

int64_t Scheduler::Batch::n_text_rows() const {
  int64_t n = 0;
  for (const Part& p : parts_) n += p.prompt ? 0 : p.n();
  return n;
}

// --- the forward

// Text of all parts is looked up at once.
Tensor Scheduler::Batch::embed(ops::Context& cx) {
  std::vector<int32_t> ids;
  int64_t n = 0;
  for (const Part& p : parts_) {
    n += p.n();
    ids.insert(ids.end(), p.ids.begin(), p.ids.begin() + p.n_before);
    ids.insert(ids.end(), p.ids.end() - p.n_behind, p.ids.end());
  }
  const Tensor text = ids.empty() ? Tensor() : model_.embed(cx, ids);  // [n_text, hidden]
  if (int64_t(ids.size()) == n) return text;
  const Tensor x = cx.arena.f32({n, model_.hidden()});
  int64_t begin = 0, n_text = 0;
  const auto put = [&](const Tensor& rows) {
    Tensor to = x.rows(begin, begin + rows.dim(0));
    ops::copy_(cx, to, rows);
    begin += rows.dim(0);
  };
  const auto put_text = [&](int64_t rows) {
    if (rows) put(text.rows(n_text, n_text + rows));
    n_text += rows;
  };
  for (Part& p : parts_) {
    put_text(p.n_before);
    if (p.n_given()) {
      const Tensor media = ops::from_host(  // [n_given, media_width]
          cx, Tensor::view(const_cast<float*>(p.values), DType::f32,
                           {p.n_given(), model_.media_width()}));
      put(embeddings_of(cx, media, model_.hidden()));
      p.deep = deep_features(cx, media, model_.hidden(), p.n_before);
    }
    put_text(p.n_behind);
  }
  return x;
}

std::vector<SequenceRows> Scheduler::Batch::rows() const {
  std::vector<SequenceRows> rows;
  for (const Part& p : parts_) rows.push_back({p.entry->state.get(), p.positions, p.lane, p.deep});
  return rows;
}

bool Scheduler::Batch::keeps_rows() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const Part& p) { return p.entry->keeps_rows; });
}

void Scheduler::Batch::hand_out(ops::Context& cx, const Tensor& x, const Tensor& y,
                                const Tensor& states) {
  const auto each = [&](const auto& what) {
    int64_t begin = 0;
    for (Part& p : parts_) {
      what(p, begin, begin + p.n());
      begin += p.n();
    }
  };
  each([&](Part& p, int64_t begin, int64_t end) {
    keep(cx, p, x.rows(begin, end), states.rows(begin, end));
  });
  mark_kept();
  each([&](Part& p, int64_t begin, int64_t end) { hand_out(cx, p, y.rows(begin, end)); });
}

// Of a part that is kept: the states, with x or x alone where that is of text.
void Scheduler::Batch::keep(ops::Context& cx, Part& part, const Tensor& x, const Tensor& states) {
  if (!part.entry->keeps_rows) return;
  const int64_t n = part.n(), n_text = part.n_given() ? part.n_before : n;
  Tensor values = kept_.take(n);  // [n, hidden]
  ops::copy_(cx, values, states);
  const auto put_text = [&](int64_t begin, int64_t end) {
    if (begin == end) return;
    Tensor text = values.rows(begin, end);
    if (model_.kept_layer())
      ops::copy_(cx, text, x.rows(begin, end));
    else
      ops::add_(cx, text, x.rows(begin, end));
  };
  put_text(0, n_text);
  if (part.n_given()) put_text(n - part.n_behind, n);
  part.kept.push_back({std::move(values)});
}

// What was asked for so far is ahead of those who read what is kept.
void Scheduler::Batch::mark_kept() {
  std::shared_ptr<Device::Mark> made;
  for (Part& p : parts_) {
    if (p.kept.empty() || !arena_.device()) continue;
    if (!made) {
      made = arena_.device()->make_mark();
      arena_.queue().mark(*made);
    }
    for (KeptRows& rows : p.kept) rows.made = made;
  }
}

void Scheduler::Batch::hand_out(ops::Context& cx, Part& part, const Tensor& y) {
  Entry& entry = *part.entry;
  if (!entry.hidden.defined()) entry.hidden = arena_.lasting(DType::f32, {2, model_.hidden()});
  const int64_t row = part.is_ahead ? 1 - entry.current : entry.current;
  Tensor hidden = entry.hidden.rows(row, row + 1);
  ops::copy_(cx, hidden, y.rows(part.n() - 1, part.n()));
  if (part.is_ahead) {
    entry.ahead->computed = true;
    entry.ahead->kept = std::move(part.kept);
    return;
  }
  entry.has_hidden = true;
  if (Entry::Prefill* prompt = part.prompt) {
    prompt->n_done += part.n();
    prompt->kept.insert(prompt->kept.end(), part.kept.begin(), part.kept.end());
    if (prompt->n_done < int64_t(prompt->rows.size())) return;
    prompt->done.set_value(std::move(prompt->kept));
  } else {
    entry.front<Entry::Decode>()->done.set_value(std::move(part.kept));
  }
  entry.todo.pop_front();
}

void Scheduler::Batch::fail(const std::exception_ptr& error) {
  for (const Part& p : parts_) p.entry->fail_for_good(error);
}

}  // namespace omni
