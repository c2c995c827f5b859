#include "session/archive_values.h"

#include <algorithm>

namespace omni {

namespace {
constexpr int64_t kMostPixels = 1 << 20, kMostGrid = 1 << 16, kMostTokens = 1 << 28;
}

void put(ArchiveWriter& to, std::optional<Modality> m) { to.put(int64_t(m ? int(*m) + 1 : 0)); }

std::optional<Modality> read_modality(ArchiveReader& from) {
  const int64_t m = from.number(0, 3);
  if (m == 0) return std::nullopt;
  return Modality(m - 1);
}

void put(ArchiveWriter& to, Tracks t) { to.put(int64_t{t.video} + 2 * int64_t{t.audio}); }

Tracks read_tracks(ArchiveReader& from) {
  const int64_t t = from.number(0, 3);
  return {.video = (t & 1) != 0, .audio = (t & 2) != 0};
}

void put(ArchiveWriter& to, std::optional<Nanoseconds> time) {
  to.put(int64_t{time.has_value()});
  to.put(time.value_or(0));
}

Nanoseconds read_time(ArchiveReader& from) { return from.number(-kFarthestTime, kFarthestTime); }

std::optional<Nanoseconds> read_optional_time(ArchiveReader& from) {
  const bool is_there = from.flag();
  const Nanoseconds time = read_time(from);
  return is_there ? std::optional(time) : std::nullopt;
}

void put(ArchiveWriter& to, const Segment& s) {
  put(to, std::optional(s.modality));
  for (const int x : {s.n_tokens, s.hidden, s.grid_t, s.grid_h, s.grid_w, s.source_width,
                      s.source_height, s.resized_width, s.resized_height})
    to.put(int64_t{x});
  to.put(s.seconds_per_grid);
  for (const Nanoseconds x : {s.start, s.duration, s.frames_apart}) to.put(x);
  Tensor values;
  if (s.n_tokens > 0) {
    values = Tensor::zeros(DType::f32, {int64_t(s.embeddings.size())});
    std::copy(s.embeddings.begin(), s.embeddings.end(), values.f32());
  }
  to.put(values);
}

Segment read_segment(ArchiveReader& from, int hidden) {
  Segment s;
  const auto m = read_modality(from);
  from.require(m.has_value());
  s.modality = *m;
  s.n_tokens = from.small(0, kMostTokens);
  s.hidden = from.small(0, hidden);
  for (int* x : {&s.grid_t, &s.grid_h, &s.grid_w}) *x = from.small(0, kMostGrid);
  for (int* x : {&s.source_width, &s.source_height, &s.resized_width, &s.resized_height})
    *x = from.small(0, kMostPixels);
  s.seconds_per_grid = from.real(0, 1e6);
  s.start = read_time(from);
  s.duration = from.number(0, kFarthestTime);
  s.frames_apart = from.number(0, kFarthestTime);
  const Tensor values = from.tensor();
  from.require(values.defined() == (s.n_tokens > 0));
  if (!values.defined()) return s;
  from.require(s.modality == Modality::audio ||
               int64_t{s.grid_t} * s.grid_h * s.grid_w == s.n_tokens);
  from.require(s.hidden == hidden && values.dtype() == DType::f32 &&
               values.numel() == int64_t{s.n_tokens} * hidden);
  s.embeddings.assign(values.f32(), values.f32() + values.numel());
  return s;
}

}  // namespace omni
