// Prompts and steps of the text model.
#include <cstdio>
#include <memory>

#include "bench/gpu/bench.h"
#include "decoding/scheduler.h"
#include "interface/lone_sequence.h"

namespace omni::bench {

namespace {

const TextModel& text_of(Bench& bench) {
  const Family& family = bench.family();
  if (!family.text) throw Error(ErrorCode::unsupported, "the checkpoint has no text model");
  return *family.text;
}

Rows rows_of(int64_t n) {
  Rows rows;
  for (int64_t i = 0; i < n; ++i) {
    const auto at = int32_t(i);
    rows.ids.push_back(at % 200);
    rows.positions.push_back({at, at, at});
  }
  return rows;
}

// The whole prompt in one forward.
double seconds_of_forward(Bench& bench, const TextModel& model, int64_t n) {
  Computation c(bench);
  LoneSequence sequence(model.kv_layout(model.kv_type()), kLanes);
  const Rows rows = rows_of(n);
  return median_seconds(bench.sizes().repeats, [&] {
    Arena::Scope scope(c.arena);
    sequence.state.truncate(0);
    sequence.state.reserve(c.arena, Lane::text, n);
    sequence.forward(model, c.cx, model.embed(c.cx, rows.ids), rows.positions);
    c.wait();
  });
}

// Sequences of one scheduler that write in step, as the threads of their sessions let them.
class Together {
 public:
  Together(Scheduler& scheduler, int n) : scheduler_(scheduler), sequences_(size_t(n)) {
    for (Sequence& s : sequences_) s.entry = scheduler.open(Scheduler::Priority::file, false);
  }
  ~Together() {
    for (Sequence& s : sequences_) scheduler_.wait(scheduler_.close(s.entry));
  }
  Together(const Together&) = delete;
  Together& operator=(const Together&) = delete;

  // Leaves a token of each to be computed.
  void prefill(int64_t n) {
    std::vector<std::future<Scheduler::Kept>> done;
    for (Sequence& s : sequences_)
      done.push_back(scheduler_.prefill(*s.entry, rows_of(n), nullptr));
    for (auto& d : done) scheduler_.wait(std::move(d));
    n_rows_ = int32_t(n);
    draw();
  }
  void step() {
    for (Sequence& s : sequences_) scheduler_.decode(*s.entry, s.id, here());
    ++n_rows_;
    draw();
  }
  void clear() {
    for (Sequence& s : sequences_) scheduler_.truncate(*s.entry, 0);
  }

 private:
  struct Sequence {
    std::shared_ptr<Scheduler::Entry> entry;
    Sampler sampler{1};
    int32_t id = 0;
  };
  Position here() const { return {n_rows_, n_rows_, n_rows_}; }
  void draw() {
    std::vector<std::future<Scheduler::Choice>> drawn;
    for (Sequence& s : sequences_)
      drawn.push_back(scheduler_.draw(*s.entry, {.sampler = &s.sampler,
                                                 .options = &greedy_,
                                                 .mask = nullptr,
                                                 .history = {},
                                                 .with_probability = false,
                                                 .next = here(),
                                                 .is_stop = [](int32_t) { return false; }}));
    for (size_t i = 0; i < drawn.size(); ++i)
      sequences_[i].id = scheduler_.wait(std::move(drawn[i])).id;
  }

  Scheduler& scheduler_;
  SamplingOptions greedy_;
  std::vector<Sequence> sequences_;
  int32_t n_rows_ = 0;
};

struct StepParts {
  double forward, logits, draw;
};

// The parts of a step of one sequence, each waited for.
StepParts parts_of_step(Bench& bench, const TextModel& model, int64_t behind) {
  Computation c(bench);
  LoneSequence sequence(model.kv_layout(model.kv_type()), kLanes);
  const auto forward = [&](const Rows& rows) {
    sequence.state.reserve(c.arena, Lane::text, int64_t(rows.size()));
    const Tensor y = sequence.forward(model, c.cx, model.embed(c.cx, rows.ids), rows.positions);
    c.wait();
    return y;
  };
  {
    Arena::Scope scope(c.arena);
    forward(rows_of(behind));
  }
  std::vector<double> forwards, logits, draws;
  for (int i = 0; i < bench.sizes().steps; ++i) {
    Arena::Scope scope(c.arena);
    const auto at = int32_t(behind + i);
    const double begin = seconds();
    const Tensor y = forward({.ids = {at % 200}, .positions = {{at, at, at}}});
    const double computed = seconds();
    const Tensor row = model.logits(c.cx, y);
    c.wait();
    const double multiplied = seconds();
    const ops::Sampling greedy[] = {{.top_k = 1}};
    if (bench.device()) ops::sample(c.cx, row, greedy);
    forwards.push_back(computed - begin);
    logits.push_back(multiplied - computed);
    draws.push_back(seconds() - multiplied);
  }
  return {median(forwards), median(logits), median(draws)};
}

}  // namespace

void measure_prefill(Bench& bench) {
  const TextModel& model = text_of(bench);
  const TextWork work = text_work(bench.folder(), bench.precision());
  Scheduler scheduler(model, bench.pool());
  for (const int64_t n : bench.sizes().prompts) {
    const double whole = seconds_of_forward(bench, model, n);
    Together one(scheduler, 1);
    const double scheduled = median_seconds(bench.sizes().repeats, [&] {
      one.clear();
      one.prefill(n);
    });
    std::printf(
        "prefill %5lld: one forward %9.2f ms %9.0f tokens/s; scheduler, first token drawn %9.2f "
        "ms; floor %7.2f ms\n",
        static_cast<long long>(n), 1e3 * whole, double(n) / whole, 1e3 * scheduled,
        1e3 * work.floor_of_prompt(bench.rates(), double(n)));
    std::fflush(stdout);
  }
}

void measure_decode(Bench& bench) {
  const TextModel& model = text_of(bench);
  const TextWork work = text_work(bench.folder(), bench.precision());
  const double floor = work.floor_of_step(bench.rates());
  Scheduler scheduler(model, bench.pool());
  for (const auto& [n_sequences, behind] : bench.sizes().decodes) {
    Together all(scheduler, n_sequences);
    all.prefill(behind);
    for (int i = 0; i < 4; ++i) all.step();
    std::vector<double> steps;
    for (int i = 0; i < bench.sizes().steps; ++i) {
      const double begin = seconds();
      all.step();
      steps.push_back(seconds() - begin);
    }
    const double step = median(steps);
    std::printf(
        "decode of %2d at %5lld behind: step %8.3f ms (fastest %.3f) %9.1f tokens/s; weights %.2f "
        "GB, floor %.3f ms: %.2f ×\n",
        n_sequences, static_cast<long long>(behind), 1e3 * step,
        1e3 * *std::min_element(steps.begin(), steps.end()), n_sequences / step, work.bytes / 1e9,
        1e3 * floor, step / floor);
    std::fflush(stdout);
  }
  const int64_t behind = bench.sizes().decodes.front().behind;
  const StepParts parts = parts_of_step(bench, model, behind);
  std::printf(
      "a step of one at %lld, each part waited for: forward %.3f, logits %.3f, draw %.3f ms\n",
      static_cast<long long>(behind), 1e3 * parts.forward, 1e3 * parts.logits, 1e3 * parts.draw);
}

}  // namespace omni::bench
