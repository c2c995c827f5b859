#include "decoding/scheduler_entry.h"

#include <algorithm>
#include <cmath>

namespace omni {

namespace {

double probability(std::span<const float> logits, int32_t id) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  float sum = 0;
  for (const float x : logits) sum += std::exp(x - highest);
  return double(std::exp(logits[size_t(id)] - highest) / sum);
}

}  // namespace

void Scheduler::Entry::collect() {
  for (Request& r : incoming) todo.push_back(std::move(r));
  incoming.clear();
  if (cancelled) fail_all(std::make_exception_ptr(Error(ErrorCode::cancelled, "cancelled")));
}

bool Scheduler::Entry::settle(Arena& arena) {
  if (auto* decode = front<Decode>()) return settle_decode(*decode);
  if (todo.empty()) return false;
  drop_ahead();
  if (auto* cut = front<Truncate>())
    truncate(*cut);
  else if (auto* shift = front<Slide>())
    slide(*shift);
  else if (auto* save_request = front<Save>())
    save(*save_request, arena);
  else if (auto* load_request = front<Load>())
    load(*load_request, arena);
  else
    return false;
  todo.pop_front();
  return true;
}

// The token may have been computed ahead; another one has to be.
bool Scheduler::Entry::settle_decode(Decode& decode) {
  if (!ahead || ahead->id != decode.id || ahead->at != decode.at) {
    drop_ahead();
    return false;
  }
  if (!ahead->computed) return false;
  current = 1 - current;
  decode.done.set_value(std::move(ahead->kept));
  ahead.reset();
  todo.pop_front();
  return true;
}

void Scheduler::Entry::truncate(Truncate& request) {
  if (request.length <= state->length()) failed = nullptr;
  if (request.length < state->length()) has_hidden = false;
  state->truncate(request.length);
  request.done.set_value();
}

void Scheduler::Entry::slide(Slide& request) {
  try {
    if (failed) std::rethrow_exception(failed);
    state->slide(request.begin, request.end, request.shift);
    request.done.set_value();
  } catch (...) {
    request.done.set_exception(std::current_exception());
  }
}

void Scheduler::Entry::save(Save& request, Arena& arena) {
  try {
    if (failed) std::rethrow_exception(failed);
    request.done.set_value(state->save(arena));
  } catch (...) {
    request.done.set_exception(std::current_exception());
  }
}

void Scheduler::Entry::load(Load& request, Arena& arena) {
  try {
    if (failed) std::rethrow_exception(failed);
    state->load(arena, request.saved);
    has_hidden = false;
    request.done.set_value();
  } catch (...) {
    request.done.set_exception(std::current_exception());
  }
}

void Scheduler::Entry::drop_ahead() {
  if (!ahead) return;
  if (ahead->computed) state->truncate(state->length() - 1);
  ahead.reset();
}

bool Scheduler::Entry::make_room(Arena& arena, Lane lane, int64_t n) {
  try {
    state->reserve(arena, lane, n);
    return true;
  } catch (...) {
    fail_for_good(std::current_exception());
    return false;
  }
}

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

bool Scheduler::Entry::draws_on_device() {
  const auto* waiting = front<Choose>();
  return waiting && Sampler::on_device(*waiting->how.options);
}

std::optional<ops::Sampling> Scheduler::Entry::sampling(int64_t vocabulary) {
  const Draw& how = front<Choose>()->how;
  try {
    return how.sampler->sampling(
        vocabulary, how.history, *how.options,
        how.mask ? how.mask->allowed(size_t(vocabulary)) : std::vector<uint32_t>());
  } catch (...) {
    fail_all(std::current_exception());
    return std::nullopt;
  }
}

std::optional<Scheduler::Choice> Scheduler::Entry::choose(const ops::SampledToken& drawn) {
  try {
    require_finite({&drawn.probability, 1});
    return Choice{drawn.id, drawn.probability};
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

void Scheduler::Entry::fail_all(const std::exception_ptr& error) {
  const auto is_edit = [](const Request& r) {
    return std::holds_alternative<Truncate>(r) || std::holds_alternative<Slide>(r) ||
           std::holds_alternative<Close>(r);
  };
  for (auto r = todo.begin(); r != todo.end();)
    if (is_edit(*r)) {
      ++r;
    } else {
      std::visit([&](auto& request) { request.done.set_exception(error); }, *r);
      r = todo.erase(r);
    }
}

void Scheduler::Entry::fail_for_good(const std::exception_ptr& error) {
  ahead.reset();
  failed = error;
  fail_all(error);
}

}  // namespace omni
