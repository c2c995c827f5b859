#include "decoding/scheduler.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "decoding/scheduler_batch.h"
#include "decoding/scheduler_entry.h"

namespace omni {

namespace {

size_t host_memory() {
  return size_t(::sysconf(_SC_PHYS_PAGES)) * size_t(::sysconf(_SC_PAGE_SIZE));
}

size_t most_bytes(const Scheduler::Options& options, const Device* device) {
  if (options.most_kv_bytes) return options.most_kv_bytes;
  return device ? std::numeric_limits<size_t>::max() : host_memory();
}

}  // namespace

Scheduler::Scheduler(const TextModel& model, ThreadPool& pool, const Options& options)
    : model_(model),
      pool_(pool),
      arena_(model.device()),
      pages_(model.kv_layout(options.kv_type.value_or(model.kv_type())),
             most_bytes(options, model.device())),
      kept_(model.device(), model.hidden()),
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

std::shared_ptr<Scheduler::Entry> Scheduler::open(Priority priority, bool keeps_rows, Lane tokens) {
  auto entry = std::make_shared<Entry>(priority, keeps_rows, tokens);
  entry->state = model_.new_state(pages_);
  std::lock_guard guard(lock_);
  open_.push_back(entry);
  return entry;
}

void Scheduler::set_priority(Entry& entry, Priority priority) { entry.priority = priority; }

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
  return ask(entry,
             Entry::Prefill{.rows = std::move(rows), .values = values, .done = {}, .kept = {}});
}

std::future<Scheduler::Kept> Scheduler::decode(Entry& entry, int32_t id, const Position& at) {
  return ask(entry, Entry::Decode{id, at, {}});
}

std::future<Scheduler::Choice> Scheduler::draw(Entry& entry, Draw how) {
  return ask(entry, Entry::Choose{std::move(how), {}});
}

std::future<std::vector<float>> Scheduler::logits(Entry& entry) {
  return ask(entry, Entry::Logits{});
}

void Scheduler::truncate(Entry& entry, int64_t length) {
  ask(entry, Entry::Truncate{length, {}});
  start();
}

std::future<void> Scheduler::slide(Entry& entry, int64_t begin, int64_t end,
                                   const LaneShift& shift) {
  return ask(entry, Entry::Slide{begin, end, shift, {}});
}

std::future<SavedState> Scheduler::save(Entry& entry) { return ask(entry, Entry::Save{}); }

std::future<void> Scheduler::load(Entry& entry, SavedState saved) {
  return ask(entry, Entry::Load{std::move(saved), {}});
}

std::future<void> Scheduler::close(const std::shared_ptr<Entry>& entry) {
  return ask(*entry, Entry::Close{});
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
  for (const auto& entry : entries_) entry->collect();
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
  forward();
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
  auto* close = entry.front<Entry::Close>();
  if (!close) return entry.settle(arena_);
  entry.drop_ahead();
  entry.state->truncate(0);
  {
    std::lock_guard guard(lock_);
    std::erase_if(open_, [&](const auto& e) { return e.get() == &entry; });
    counts_.pages = pages_.n_taken();
  }
  close->done.set_value();
  entry.todo.pop_front();
  return true;
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
  const auto on_device = [&](Entry* e) { return logits.device() && e->draws_on_device(); };
  std::vector<float> values, room;
  if (!std::all_of(entries.begin(), entries.end(), on_device)) {
    const auto there = ops::to_host(cx, logits, room);
    values.assign(there.begin(), there.end());
  }
  const auto row = [&](int64_t i) {
    return std::span(values).subspan(size_t(i * vocabulary), size_t(vocabulary));
  };
  std::vector<std::optional<Choice>> choices(entries.size());
  std::vector<std::optional<ops::Sampling>> samplings(entries.size());
  constexpr double kNsPerLogit = 2;  // of a host's draw, or of a mask
  const auto n_long = std::count_if(entries.begin(), entries.end(), [&](Entry* e) {
    return !on_device(e) || e->front<Entry::Choose>()->how.mask;
  });
  cx.pool.parallel_for(n, kNsPerLogit * double(n_long * vocabulary), [&](int64_t i) {
    Entry& entry = *entries[size_t(i)];
    if (on_device(&entry))
      samplings[size_t(i)] = entry.sampling(vocabulary);
    else
      choices[size_t(i)] = entry.choose(row(i));
  });
  draw_on_device(entries, cx, logits, std::move(samplings), choices);
  for (int64_t i = 0; i < n; ++i) {
    Entry& entry = *entries[size_t(i)];
    if (auto* asked = entry.front<Entry::Logits>()) {
      asked->done.set_value({row(i).begin(), row(i).end()});
      entry.todo.pop_front();
    } else if (choices[size_t(i)]) {
      drawn_.push_back(entry.accept(*choices[size_t(i)]));
    }
  }
}

// The choices of those that have a sampling, all with one wait.
void Scheduler::draw_on_device(const std::vector<Entry*>& entries, ops::Context& cx,
                               const Tensor& logits,
                               std::vector<std::optional<ops::Sampling>> samplings,
                               std::vector<std::optional<Choice>>& choices) {
  std::vector<ops::Sampling> asked;
  std::vector<size_t> by;
  for (size_t i = 0; i < samplings.size(); ++i) {
    if (!samplings[i]) continue;
    samplings[i]->row = int64_t(i);
    asked.push_back(std::move(*samplings[i]));
    by.push_back(i);
  }
  const std::vector<ops::SampledToken> tokens = ops::sample(cx, logits, asked);
  for (size_t k = 0; k < by.size(); ++k) choices[by[k]] = entries[by[k]]->choose(tokens[k]);
}

void Scheduler::forward() {
  Batch batch(model_, arena_, kept_);
  batch.add_tokens(entries_);
  batch.add_prompts(entries_, n_arrived_);
  if (batch.empty()) return;
  try {
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    workspace_.keeps = batch.keeps_rows();
    const Tensor x = batch.embed(cx);                                  // [n, hidden]
    const Tensor y = model_.forward(cx, x, batch.rows(), workspace_);  // [n, hidden]
    count(batch);
    batch.hand_out(cx, x, y, workspace_.kept.defined() ? workspace_.kept : y);
  } catch (...) {
    batch.fail(std::current_exception());
  }
}

void Scheduler::count(const Batch& batch) {
  std::lock_guard guard(lock_);
  ++counts_.turns;
  counts_.text_rows += batch.n_text_rows();
  counts_.prompt_rows += batch.n_prompt_rows();
}

}  // namespace omni
