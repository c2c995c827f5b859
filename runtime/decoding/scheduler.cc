#include "decoding/scheduler.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>
#include <variant>

namespace omni {

namespace {

size_t host_memory() {
  return size_t(::sysconf(_SC_PHYS_PAGES)) * size_t(::sysconf(_SC_PAGE_SIZE));
}

size_t most_bytes(const Scheduler::Options& options, const Device* device) {
  if (options.most_kv_bytes) return options.most_kv_bytes;
  return device ? std::numeric_limits<size_t>::max() : host_memory();
}

double probability(std::span<const float> logits, int32_t id) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  float sum = 0;
  for (const float x : logits) sum += std::exp(x - highest);
  return double(std::exp(logits[size_t(id)] - highest) / sum);
}

// --- what a sequence can ask for

struct Prefill {
  Rows rows;
  const float* values;
  std::promise<Scheduler::Kept> done;
  int64_t n_done = 0;  // rows
  uint64_t arrival = 0;
  int n_passed_over = 0;
  Scheduler::Kept kept;
};
struct Decode {
  int32_t id;
  Position at;
  std::promise<Scheduler::Kept> done;
};
struct Choose {
  Scheduler::Draw how;
  std::promise<Scheduler::Choice> done;
};
struct Logits {
  std::promise<std::vector<float>> done;
};
struct Truncate {
  int64_t length;
  std::promise<void> done;
};
struct Slide {
  int64_t begin, end;
  LaneShift shift;
  std::promise<void> done;
};
struct Close {
  std::promise<void> done;
};
using Request = std::variant<Prefill, Decode, Choose, Logits, Truncate, Slide, Close>;

bool is_edit(const Request& r) {
  return std::holds_alternative<Truncate>(r) || std::holds_alternative<Slide>(r) ||
         std::holds_alternative<Close>(r);
}

void fail(Request& request, const std::exception_ptr& error) {
  std::visit([&](auto& r) { r.done.set_exception(error); }, request);
}

}  // namespace

class Scheduler::Entry {
 public:
  Entry(Priority p, bool keeps) : priority(p), keeps_rows(keeps) {}

  // A token that was drawn, and is computed before it is asked for.
  struct Ahead {
    int32_t id;
    Position at;
    bool computed = false;
    Kept kept;
  };

  template <class R>
  R* front() {
    return todo.empty() ? nullptr : std::get_if<R>(&todo.front());
  }
  Tensor last_hidden() const { return hidden.rows(current, current + 1); }
  bool wants_logits() { return front<Choose>() || front<Logits>(); }
  void fail_all(const std::exception_ptr& error) {
    for (auto r = todo.begin(); r != todo.end();)
      if (is_edit(*r)) {
        ++r;
      } else {
        fail(*r, error);
        r = todo.erase(r);
      }
  }

  // The token that is waited for, from logits on the host, which are used up, or on the device.
  // None: the request was not for one, or failed and was told so.
  std::optional<Choice> choose(std::span<float> logits);
  std::optional<Choice> choose(ops::Context& cx, const Tensor& logits);
  // Goes on with it. What is to be told of it.
  Drawn accept(const Choice& choice);

  const Priority priority;
  const bool keeps_rows;

  std::deque<Request> incoming;  // under the scheduler's lock
  bool cancelled = false;        // likewise

  // Of the thread that computes.
  std::deque<Request> todo;
  std::unique_ptr<SequenceState> state;
  Tensor hidden;            // [2, hidden]: of the last row, and of the one ahead of it
  int64_t current = 0;      // which of them is the last row's
  bool has_hidden = false;  // it is of the row that is the last
  std::optional<Ahead> ahead;
  std::exception_ptr failed;
};

std::optional<Scheduler::Choice> Scheduler::Entry::choose(std::span<float> logits) {
  const auto* waiting = front<Choose>();
  if (!waiting) return std::nullopt;
  const Draw& how = waiting->how;
  try {
    require_finite(logits);
    std::vector<float> unmasked;
    if (how.with_probability) unmasked.assign(logits.begin(), logits.end());
    if (how.mask) how.mask->apply(logits);
    const int32_t id = how.sampler->pick(logits, how.history, *how.options);
    return Choice{id, how.with_probability ? probability(unmasked, id) : 0};
  } catch (...) {
    fail_all(std::current_exception());
    return std::nullopt;
  }
}

std::optional<Scheduler::Choice> Scheduler::Entry::choose(ops::Context& cx, const Tensor& logits) {
  const Draw& how = front<Choose>()->how;
  try {
    const ops::SampledToken token = how.sampler->pick(
        cx, logits, how.history, *how.options,
        how.mask ? how.mask->allowed(size_t(logits.numel())) : std::vector<uint32_t>());
    require_finite({&token.probability, 1});
    return Choice{token.id, token.probability};
  } catch (...) {
    fail_all(std::current_exception());
    return std::nullopt;
  }
}

Scheduler::Drawn Scheduler::Entry::accept(const Choice& choice) {
  Choose& waiting = *front<Choose>();
  const Draw& how = waiting.how;
  if (how.is_stop && !how.is_stop(choice.id)) ahead = Ahead{choice.id, how.next, false, {}};
  Drawn drawn{std::move(waiting.done), choice};
  todo.pop_front();
  return drawn;
}

// Rows of one sequence in a forward.
struct Scheduler::Part {
  Entry* entry;
  std::span<const int32_t> ids;
  std::span<const Position> positions;
  const float* values = nullptr;  // nullptr: text
  Lane lane = Lane::text;
  Prefill* prompt = nullptr;  // of which it is a piece; nullptr: a token
  bool is_ahead = false;
  int64_t n() const { return int64_t(ids.size()); }
};

Scheduler::Scheduler(const TextModel& model, ThreadPool& pool, const Options& options)
    : model_(model),
      pool_(pool),
      arena_(model.device()),
      pages_(model.kv_layout(options.kv_type), most_bytes(options, model.device())),
      thread_([this] { run(); }) {}

Scheduler::~Scheduler() {
  {
    std::lock_guard guard(lock_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

// --- any thread

std::shared_ptr<Scheduler::Entry> Scheduler::open(Priority priority, bool keeps_rows) {
  auto entry = std::make_shared<Entry>(priority, keeps_rows);
  entry->state = model_.new_state(pages_);
  std::lock_guard guard(lock_);
  open_.push_back(entry);
  return entry;
}

template <class R>
auto Scheduler::ask(Entry& entry, R request) {
  auto done = request.done.get_future();
  {
    std::lock_guard guard(lock_);
    entry.incoming.emplace_back(std::move(request));
    asked_ = true;
  }
  return done;
}

std::future<Scheduler::Kept> Scheduler::prefill(Entry& entry, Rows rows, const float* values) {
  if (rows.size() == 0) throw Error(ErrorCode::internal, "a prompt of no rows");
  return ask(entry, Prefill{.rows = std::move(rows), .values = values, .done = {}, .kept = {}});
}

std::future<Scheduler::Kept> Scheduler::decode(Entry& entry, int32_t id, const Position& at) {
  return ask(entry, Decode{id, at, {}});
}

std::future<Scheduler::Choice> Scheduler::draw(Entry& entry, Draw how) {
  return ask(entry, Choose{std::move(how), {}});
}

std::future<std::vector<float>> Scheduler::logits(Entry& entry) { return ask(entry, Logits{}); }

void Scheduler::truncate(Entry& entry, int64_t length) {
  ask(entry, Truncate{length, {}});
  start();
}

std::future<void> Scheduler::slide(Entry& entry, int64_t begin, int64_t end,
                                   const LaneShift& shift) {
  return ask(entry, Slide{begin, end, shift, {}});
}

std::future<void> Scheduler::close(const std::shared_ptr<Entry>& entry) {
  return ask(*entry, Close{});
}

void Scheduler::cancel(Entry& entry) noexcept {
  {
    std::lock_guard guard(lock_);
    entry.cancelled = asked_ = true;
  }
  start();
}

void Scheduler::resume(Entry& entry) {
  std::lock_guard guard(lock_);
  entry.cancelled = false;
}

Scheduler::Counts Scheduler::counts() const {
  std::lock_guard guard(lock_);
  Counts counts = counts_;
  counts.n_sequences = int64_t(open_.size());
  return counts;
}

void Scheduler::start() noexcept {
  {
    std::lock_guard guard(lock_);
    if (computing_ || called_) return;
    called_ = true;
  }
  wake_.notify_one();
}

void Scheduler::compute_until(const std::function<bool()>& enough) {
  if (model_.device()) return start();
  {
    std::unique_lock lock(lock_);
    if (computing_ || called_ || !take_turns(lock, enough)) return;
    called_ = true;
  }
  wake_.notify_one();
}

void Scheduler::run() {
  std::unique_lock lock(lock_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || called_; });
    if (stopping_) return;
    called_ = false;
    take_turns(lock, [] { return false; });
  }
}

// --- the thread that computes

// Until it is enough or nothing is to do; true: something is. lock: of lock_, let go during a turn.
bool Scheduler::take_turns(std::unique_lock<std::mutex>& lock,
                           const std::function<bool()>& enough) {
  computing_ = true;
  do {
    collect();
    lock.unlock();
    turn(enough);
    lock.lock();
    counts_.pages = pages_.n_taken();
    // Whoever is told the last token finds nobody computing, and goes on by itself.
    computing_ = !stopping_ && (asked_ || more_to_do_);
    const bool ends = !computing_;
    std::vector<Drawn> drawn = std::exchange(drawn_, {});
    lock.unlock();
    tell(std::move(drawn));
    lock.lock();
    if (ends) return false;
  } while (!enough());
  computing_ = false;
  return true;
}

// Takes over what is new. Under lock_.
void Scheduler::collect() {
  asked_ = false;
  entries_ = open_;
  for (const auto& entry : entries_) {
    for (Request& r : entry->incoming) entry->todo.push_back(std::move(r));
    entry->incoming.clear();
    if (entry->cancelled)
      entry->fail_all(std::make_exception_ptr(Error(ErrorCode::cancelled, "cancelled")));
  }
}

// Without its forward where it is enough before that.
void Scheduler::turn(const std::function<bool()>& enough) try {
  for (const auto& entry : entries_)
    while (settle(*entry)) {
    }
  draw();
  more_to_do_ = has_more_to_do();
  if (!more_to_do_) return;
  tell(std::exchange(drawn_, {}));
  if (enough()) return;
  if (const std::vector<Part> parts = compose(); !parts.empty()) forward(parts);
  more_to_do_ = has_more_to_do();
} catch (...) {
  for (const auto& entry : entries_) entry->fail_all(std::current_exception());
  more_to_do_ = has_more_to_do();
}

void Scheduler::tell(std::vector<Drawn> drawn) {
  for (Drawn& d : drawn) d.to.set_value(d.choice);
}

// A drawn token that is alone is left to its sequence, which computes it with no switch of threads.
bool Scheduler::has_more_to_do() const {
  int64_t n_ahead = 0;
  for (const auto& entry : entries_) {
    if (!entry->todo.empty()) return true;
    n_ahead += entry->ahead && !entry->ahead->computed;
  }
  return n_ahead > (model_.device() ? 0 : 1);
}

// Does what comes first, where it needs no forward. False: there is no such thing.
bool Scheduler::settle(Entry& entry) {
  if (entry.todo.empty()) return false;
  if (auto* decode = entry.front<Decode>()) {
    if (!entry.ahead || entry.ahead->id != decode->id || entry.ahead->at != decode->at)
      drop_ahead(entry);
    else if (entry.ahead->computed) {
      entry.current = 1 - entry.current;
      decode->done.set_value(std::move(entry.ahead->kept));
      entry.ahead.reset();
      entry.todo.pop_front();
      return true;
    }
    return false;
  }
  drop_ahead(entry);
  if (auto* truncate = entry.front<Truncate>()) {
    if (truncate->length <= entry.state->length()) entry.failed = nullptr;
    if (truncate->length < entry.state->length()) entry.has_hidden = false;
    entry.state->truncate(truncate->length);
    truncate->done.set_value();
  } else if (auto* slide = entry.front<Slide>()) {
    try {
      if (entry.failed) std::rethrow_exception(entry.failed);
      entry.state->slide(slide->begin, slide->end, slide->shift);
      slide->done.set_value();
    } catch (...) {
      slide->done.set_exception(std::current_exception());
    }
  } else if (auto* close = entry.front<Close>()) {
    close_entry(entry);
    close->done.set_value();
  } else {
    return false;
  }
  entry.todo.pop_front();
  return true;
}

void Scheduler::close_entry(Entry& entry) {
  entry.state->truncate(0);
  std::lock_guard guard(lock_);
  std::erase_if(open_, [&](const auto& e) { return e.get() == &entry; });
  counts_.pages = pages_.n_taken();
}

void Scheduler::drop_ahead(Entry& entry) {
  if (!entry.ahead) return;
  if (entry.ahead->computed) entry.state->truncate(entry.state->length() - 1);
  entry.ahead.reset();
}

// Logits of all that wait for them, in one product.
void Scheduler::draw() {
  std::vector<Entry*> entries;
  for (const auto& entry : entries_) {
    if (!entry->wants_logits()) continue;
    if (!entry->failed && !entry->has_hidden)
      entry->failed = std::make_exception_ptr(
          Error(ErrorCode::internal, "a token is asked for behind no computed row"));
    if (entry->failed)
      entry->fail_all(entry->failed);
    else
      entries.push_back(entry.get());
  }
  if (entries.empty()) return;
  try {
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    const Tensor hidden = arena_.f32({int64_t(entries.size()), model_.hidden()});
    for (size_t i = 0; i < entries.size(); ++i) {
      Tensor row = hidden.rows(int64_t(i), int64_t(i) + 1);
      ops::copy_(cx, row, entries[i]->last_hidden());
    }
    draw_from(entries, cx, model_.logits(cx, hidden));
  } catch (...) {
    for (Entry* entry : entries)
      if (entry->wants_logits()) entry->fail_all(std::current_exception());
  }
}

// logits [entries, vocabulary]
void Scheduler::draw_from(const std::vector<Entry*>& entries, ops::Context& cx,
                          const Tensor& logits) {
  const auto n = int64_t(entries.size()), vocabulary = logits.dim(1);
  const auto on_device = [&](Entry& e) {
    const auto* choose = e.front<Choose>();
    return logits.device() && choose && Sampler::on_device(*choose->how.options);
  };
  std::vector<float> values, room;
  if (!std::all_of(entries.begin(), entries.end(), [&](Entry* e) { return on_device(*e); })) {
    const auto there = ops::to_host(cx, logits, room);
    values.assign(there.begin(), there.end());
  }
  const auto row = [&](int64_t i) {
    return std::span(values).subspan(size_t(i * vocabulary), size_t(vocabulary));
  };
  std::vector<std::optional<Choice>> choices(entries.size());
  constexpr double kNsPerLogit = 2;
  cx.pool.parallel_for(n, kNsPerLogit * double(n * vocabulary), [&](int64_t i) {
    Entry& entry = *entries[size_t(i)];
    if (!on_device(entry)) choices[size_t(i)] = entry.choose(row(i));
  });
  for (int64_t i = 0; i < n; ++i) {
    Entry& entry = *entries[size_t(i)];
    if (on_device(entry)) choices[size_t(i)] = entry.choose(cx, logits.rows(i, i + 1));
    if (auto* asked = entry.front<Logits>()) {
      asked->done.set_value({row(i).begin(), row(i).end()});
      entry.todo.pop_front();
    } else if (choices[size_t(i)]) {
      drawn_.push_back(entry.accept(*choices[size_t(i)]));
    }
  }
}

// What the next forward computes: a token of every sequence that has one, then prompts.
std::vector<Scheduler::Part> Scheduler::compose() {
  std::vector<Part> parts;
  for (const auto& entry : entries_) {
    Entry& e = *entry;
    if (e.failed) {
      e.fail_all(e.failed);
      continue;
    }
    auto* decode = e.front<Decode>();
    const bool ahead = e.ahead && !e.ahead->computed && e.todo.empty();
    if (!(decode || ahead) || !make_room(e, Lane::text, 1)) continue;
    if (decode) e.ahead.reset();
    if (decode)
      parts.push_back({&e, {&decode->id, 1}, {&decode->at, 1}});
    else
      parts.push_back({.entry = &e,
                       .ids = {&e.ahead->id, 1},
                       .positions = {&e.ahead->at, 1},
                       .is_ahead = true});
  }
  add_prompts(parts);
  return parts;
}

void Scheduler::add_prompts(std::vector<Part>& parts) {
  struct Waiting {
    Entry* entry;
    Prefill* prompt;
  };
  std::vector<Waiting> all;
  for (const auto& entry : entries_)
    if (auto* prompt = entry->front<Prefill>()) {
      if (!prompt->arrival) prompt->arrival = ++n_arrived_;
      all.push_back({entry.get(), prompt});
    }
  const auto key = [](const Waiting& w) {
    const bool starves = w.prompt->n_passed_over >= kMostTurnsPassedOver;
    const int rank = starves ? 0 : w.entry->priority == Priority::live ? 1 : 2;
    return std::pair(rank, w.prompt->arrival);
  };
  std::sort(all.begin(), all.end(),
            [&](const Waiting& a, const Waiting& b) { return key(a) < key(b); });
  int64_t n_rows = 0;
  for (const Waiting& w : all) {
    Prefill& p = *w.prompt;
    const int64_t begin = p.n_done, n = std::min(int64_t(p.rows.size()) - begin, kMostPromptRows);
    if (n_rows + n > kMostPromptRows) {
      ++p.n_passed_over;
      continue;
    }
    if (!make_room(*w.entry, p.rows.lane, n)) continue;
    n_rows += n;
    p.n_passed_over = 0;
    p.arrival = ++n_arrived_;
    parts.push_back({w.entry, std::span(p.rows.ids).subspan(size_t(begin), size_t(n)),
                     std::span(p.rows.positions).subspan(size_t(begin), size_t(n)),
                     p.values ? p.values + begin * model_.hidden() : nullptr, p.rows.lane, &p});
  }
}

// False: there is none, and the sequence was told.
bool Scheduler::make_room(Entry& entry, Lane lane, int64_t n) {
  try {
    entry.state->reserve(arena_, lane, n);
    return true;
  } catch (...) {
    entry.ahead.reset();
    entry.failed = std::current_exception();
    entry.fail_all(entry.failed);
    return false;
  }
}

void Scheduler::forward(const std::vector<Part>& parts) {
  try {
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    const Tensor x = embed(cx, parts);  // [n, hidden]
    std::vector<SequenceRows> rows;
    for (const Part& p : parts) rows.push_back({p.entry->state.get(), p.positions, p.lane});
    const Tensor y = model_.forward(cx, x, rows, workspace_);  // [n, hidden]
    count(parts);
    int64_t begin = 0;
    for (const Part& p : parts) {
      hand_out(cx, p, x.rows(begin, begin + p.n()), y.rows(begin, begin + p.n()));
      begin += p.n();
    }
  } catch (...) {
    for (const Part& p : parts) {
      p.entry->ahead.reset();
      p.entry->failed = std::current_exception();
      p.entry->fail_all(p.entry->failed);
    }
  }
}

void Scheduler::count(const std::vector<Part>& parts) {
  std::lock_guard guard(lock_);
  ++counts_.turns;
  for (const Part& p : parts) (p.prompt ? counts_.prompt_rows : counts_.text_rows) += p.n();
}

// Text of all parts is looked up at once.
Tensor Scheduler::embed(ops::Context& cx, const std::vector<Part>& parts) {
  std::vector<int32_t> ids;
  int64_t n = 0;
  for (const Part& p : parts) {
    n += p.n();
    if (!p.values) ids.insert(ids.end(), p.ids.begin(), p.ids.end());
  }
  const Tensor text = ids.empty() ? Tensor() : model_.embed(cx, ids);
  if (int64_t(ids.size()) == n) return text;
  const Tensor x = cx.arena.f32({n, model_.hidden()});
  int64_t begin = 0, n_text = 0;
  for (const Part& p : parts) {
    Tensor to = x.rows(begin, begin + p.n());
    if (p.values)
      ops::copy_(cx, to,
                 ops::from_host(cx, Tensor::view(const_cast<float*>(p.values), DType::f32,
                                                 {p.n(), model_.hidden()})));
    else
      ops::copy_(cx, to, text.rows(n_text, n_text + p.n()));
    if (!p.values) n_text += p.n();
    begin += p.n();
  }
  return x;
}

// x, y [n, hidden]: rows of the part ahead of the layers and behind them.
void Scheduler::hand_out(ops::Context& cx, const Part& part, const Tensor& x, const Tensor& y) {
  Entry& entry = *part.entry;
  Kept kept;
  if (entry.keeps_rows) {
    std::vector<float> room;
    const auto states = ops::to_host(cx, y, room);
    kept.assign(states.begin(), states.end());
    if (!part.values) {
      const auto embedded = ops::to_host(cx, x, room);
      for (size_t i = 0; i < kept.size(); ++i) kept[i] += embedded[i];
    }
  }
  if (!entry.hidden.defined()) entry.hidden = arena_.lasting(DType::f32, {2, model_.hidden()});
  const int64_t row = part.is_ahead ? 1 - entry.current : entry.current;
  Tensor hidden = entry.hidden.rows(row, row + 1);
  ops::copy_(cx, hidden, y.rows(part.n() - 1, part.n()));
  if (part.is_ahead) {
    entry.ahead->computed = true;
    entry.ahead->kept = std::move(kept);
    return;
  }
  entry.has_hidden = true;
  if (part.prompt) {
    part.prompt->n_done += part.n();
    part.prompt->kept.insert(part.prompt->kept.end(), kept.begin(), kept.end());
    if (part.prompt->n_done < int64_t(part.prompt->rows.size())) return;
    part.prompt->done.set_value(std::move(part.prompt->kept));
  } else {
    entry.front<Decode>()->done.set_value(std::move(kept));
  }
  entry.todo.pop_front();
}

}  // namespace omni
