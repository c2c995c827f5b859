#include "decoding/sequence.h"

#include <algorithm>
#include <cstring>

namespace omni {

Sequence::Sequence(Scheduler& scheduler, Options options)
    : scheduler_(scheduler),
      options_(std::move(options)),
      entry_(scheduler.open(options_.priority, options_.keeps_rows, options_.lane_of_tokens)) {}

Sequence::~Sequence() { scheduler_.wait(scheduler_.close(entry_)); }

void Sequence::prefill(const Rows& rows, const float* values) {
  if (rows.size() == 0) return;
  try {
    const Scheduler::Kept kept = scheduler_.wait(scheduler_.prefill(*entry_, rows, values));
    add(rows.ids, rows.positions, rows.lane, kept);
  } catch (...) {
    scheduler_.truncate(*entry_, length());
    throw;
  }
}

void Sequence::add(std::span<const int32_t> ids, std::span<const Position> positions, Lane lane,
                   const Scheduler::Kept& kept) {
  ids_.append(ids.begin(), ids.end());
  positions_.append(lane, positions);
  kept_.append(kept);
  if (block_.lane != lane || block_.track != cursor_.block) block_ = {lane, cursor_.block, {}};
  for (const Position& p : positions)
    for (size_t axis = 0; axis < 3; ++axis)
      block_.highest[axis] = std::max(block_.highest[axis], p[axis]);
}

std::vector<float> Sequence::logits() { return scheduler_.wait(scheduler_.logits(*entry_)); }

Sequence::Choice Sequence::choose(Sampler& sampler, const SamplingOptions& options, TokenMask* mask,
                                  bool with_probability) {
  const Position next{cursor_.next, cursor_.next, cursor_.next};
  return scheduler_.wait(scheduler_.draw(*entry_, {.sampler = &sampler,
                                                   .options = &options,
                                                   .mask = mask,
                                                   .history = ids(),
                                                   .with_probability = with_probability,
                                                   .next = next,
                                                   .is_stop = options_.is_stop}));
}

void Sequence::decode(int32_t id) {
  const Position position{cursor_.next, cursor_.next, cursor_.next};
  auto done = scheduler_.decode(*entry_, id, position);
  const Scheduler::Kept kept =
      options_.keeps_rows ? scheduler_.wait(std::move(done)) : Scheduler::Kept();
  ++cursor_.next;
  add({&id, 1}, {&position, 1}, options_.lane_of_tokens, kept);
}

void Sequence::back_to(const Mark& mark) {
  scheduler_.truncate(*entry_, mark.length);
  ids_.truncate(size_t(mark.length));
  positions_.truncate(mark.length);
  kept_.truncate(mark.length);
  cursor_ = mark.cursor;
  block_ = mark.block;
}

void Sequence::slide(int64_t begin, int64_t end, const LaneShift& shift) {
  scheduler_.wait(scheduler_.slide(*entry_, begin, end, shift));
  ids_.erase(size_t(begin), size_t(end));
  positions_.slide(begin, end, shift);
  kept_.erase(begin, end);
  for (size_t axis = 0; axis < 3; ++axis) block_.highest[axis] -= shift[size_t(block_.lane)][axis];
  cursor_.next = 1 + *std::max_element(block_.highest.begin(), block_.highest.end());
}

Sequence::Saved Sequence::save() {
  Saved saved{.state = scheduler_.wait(scheduler_.save(*entry_)),
              .ids = {ids().begin(), ids().end()},
              .positions = positions(),
              .kept = {},
              .end = mark()};
  if (!options_.keeps_rows || ids_.size() == 0) return saved;
  const int64_t width = scheduler_.model().hidden();
  saved.kept = Tensor::zeros(DType::f32, {length(), width});
  float* to = saved.kept.f32();
  for (const KeptRows& rows : kept_.pieces()) {  // made before the state was saved
    if (const Device* device = rows.values.device())
      device->read(to, rows.values.raw(), rows.values.nbytes());
    else
      std::memcpy(to, rows.values.raw(), rows.values.nbytes());
    to += rows.values.numel();
  }
  return saved;
}

void Sequence::load(Saved saved) {
  const size_t n = saved.ids.size();
  const bool has_kept = saved.kept.defined();
  if (saved.positions.size() != n || saved.state.lane_of.size() != n ||
      saved.end.length != int64_t(n) || has_kept != (options_.keeps_rows && n > 0) ||
      (has_kept && (saved.kept.dtype() != DType::f32 ||
                    saved.kept.shape() != Shape{int64_t(n), scheduler_.model().hidden()})))
    throw Error(ErrorCode::corrupt_file, "rows of a saved session that are not the same");
  const std::vector<Lane> lane_of = saved.state.lane_of;
  scheduler_.wait(scheduler_.load(*entry_, std::move(saved.state)));
  ids_.append(saved.ids.begin(), saved.ids.end());
  for (size_t i = 0; i < n; ++i) positions_.append(lane_of[i], {&saved.positions[i], 1});
  if (has_kept) keep(saved.kept);
  cursor_ = saved.end.cursor;
  block_ = saved.end.block;
}

// A copy, where the model computes.
void Sequence::keep(const Tensor& rows) {
  const Device* device = scheduler_.device();
  Tensor own = Tensor::on(device, DType::f32, rows.shape());
  if (device)
    device->write(own.raw(), rows.raw(), rows.nbytes());
  else
    std::memcpy(own.raw(), rows.raw(), rows.nbytes());
  kept_.append({{std::move(own)}});
}

void Sequence::clear() {
  back_to({});
  scheduler_.resume(*entry_);
}

}  // namespace omni
