// Sequences with keys and values in pages, and what attention over them comes to in double
// precision. What nobody may look at is not a number: rows before a lane's first, rows that are not
// there yet, other layers.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "ops/paged_attention.h"
#include "ops/values.h"

namespace omni {

struct PagedCase {
  struct Sequence {
    std::vector<std::pair<int, int>> lanes;  // first, end: rows that are there
    std::vector<uint8_t> lane_of;            // of the tokens that come
    uint32_t seed = 1;
  };
  int n_lanes = 1, n_heads = 1;
  ops::KvLayout layout{DType::f32, 2, 1, 16};
  std::vector<Sequence> sequences;
  bool one_variant = false;  // of the queries, for all lanes
  float sharpness = 1;       // of the queries: how far scores lie apart
  int layer = 1;

  int n_tokens() const {
    size_t n = 0;
    for (const Sequence& s : sequences) n += s.lane_of.size();
    return int(n);
  }
  std::string str() const {
    std::string text = std::to_string(n_heads) + "/" + std::to_string(layout.n_kv_heads) +
                       " heads of " + std::to_string(layout.head_dim) + ", " +
                       name_of(layout.dtype);
    for (const Sequence& s : sequences) {
      text += "; ";
      for (const auto& [first, end] : s.lanes)
        (text += std::to_string(first)).append("-").append(std::to_string(end)).append(" ");
      (text += "+ ").append(std::to_string(s.lane_of.size()));
    }
    return text;
  }

  // The key, then the value, of a row of a lane.
  std::vector<float> key_and_value(const Sequence& s, int lane, int row) const {
    return random_values(size_t(2 * layout.row()), s.seed * 7919 + uint32_t(lane * 100003 + row));
  }
  float stored(float x) const { return layout.dtype == DType::bf16 ? to_float(to_bfloat16(x)) : x; }
  int64_t q_stride() const { return int64_t{n_heads} * layout.head_dim + 3; }
  // [n_tokens, q_stride] of a lane's variant, made of the sequences' own.
  std::vector<float> queries(int lane) const {
    std::vector<float> q;
    for (const Sequence& s : sequences) {
      const auto own = random_values(s.lane_of.size() * size_t(q_stride()),
                                     s.seed * 31 + (one_variant ? 0 : uint32_t(lane)));
      for (const float x : own) q.push_back(sharpness * x);
    }
    return q;
  }

  // A page on the host: rows of a lane that are there.
  Tensor page(const Sequence& s, int lane, int index) const {
    const int64_t row = layout.row();
    Tensor page =
        Tensor::zeros(layout.dtype, {int64_t(layout.page_bytes() / size_of(layout.dtype))});
    const auto put = [&](int64_t at, float x) {
      if (layout.dtype == DType::bf16)
        static_cast<BFloat16*>(page.raw())[at] = to_bfloat16(x);
      else
        page.f32()[at] = x;
    };
    for (int64_t i = 0; i < page.numel(); ++i) put(i, NAN);
    for (int r = 0; r < int(ops::kPageRows); ++r) {
      const int at = index * int(ops::kPageRows) + r;
      if (at < s.lanes[size_t(lane)].first || at >= s.lanes[size_t(lane)].second) continue;
      const auto kv = key_and_value(s, lane, at);
      for (int64_t c = 0; c < row; ++c) {
        put(layout.keys(layer) + r * row + c, kv[size_t(c)]);
        put(layout.values(layer) + r * row + c, kv[size_t(row + c)]);
      }
    }
    return page;
  }

  // What the tokens append: [n_tokens, 2 · row], a key and a value each.
  std::vector<float> appended() const {
    std::vector<float> all;
    for (const Sequence& s : sequences) {
      std::vector<int> end;
      for (const auto& lane : s.lanes) end.push_back(lane.second);
      for (const uint8_t l : s.lane_of) {
        const auto kv = key_and_value(s, l, end[l]++);
        all.insert(all.end(), kv.begin(), kv.end());
      }
    }
    return all;
  }

  std::vector<double> reference() const {
    const int d = layout.head_dim, group = n_heads / layout.n_kv_heads;
    const int64_t row = layout.row();
    std::vector<double> y(size_t(n_tokens() * n_heads * d));
    std::vector<std::vector<float>> q;
    for (int l = 0; l < n_lanes; ++l) q.push_back(queries(l));
    size_t token = 0;
    for (const Sequence& s : sequences) {
      auto seen = s.lanes;
      std::vector<std::vector<std::vector<float>>> rows(static_cast<size_t>(n_lanes));
      for (size_t l = 0; l < rows.size(); ++l)
        for (int r = seen[l].first; r < seen[l].second; ++r)
          rows[l].push_back(key_and_value(s, int(l), r));
      for (const uint8_t own : s.lane_of) {
        rows[own].push_back(key_and_value(s, own, seen[own].second++));
        for (int h = 0; h < n_heads; ++h) {
          const size_t kv = size_t(h / group * d);
          double total = 0;
          std::vector<double> sums(static_cast<size_t>(d));
          for (size_t l = 0; l < rows.size(); ++l)
            for (const auto& key : rows[l]) {
              double dot = 0;
              for (size_t c = 0; c < size_t(d); ++c)
                dot += double(q[l][token * size_t(q_stride()) + size_t(h * d) + c]) *
                       stored(key[kv + c]);
              const double weight = std::exp(dot / std::sqrt(double(d)));
              total += weight;
              for (size_t c = 0; c < size_t(d); ++c)
                sums[c] += weight * stored(key[size_t(row) + kv + c]);
            }
          for (size_t c = 0; c < size_t(d); ++c)
            y[(token * size_t(n_heads) + size_t(h)) * size_t(d) + c] = sums[c] / total;
        }
        ++token;
      }
    }
    return y;
  }
};

// The case's memory where the ops run.
class PagedMemory {
 public:
  PagedMemory(ops::Context& cx, const PagedCase& c) : case_(c), cx_(cx), batch_(c.n_lanes) {
    const Device* device = cx.arena.device();
    for (const PagedCase::Sequence& s : c.sequences) {
      auto& tables = tables_.emplace_back();
      for (int l = 0; l < c.n_lanes; ++l) {
        const auto& [first, end] = s.lanes[size_t(l)];
        int room = end;
        for (const uint8_t own : s.lane_of) room += own == l;
        tables.emplace_back();
        for (int i = 0; i * ops::kPageRows < room; ++i) {
          pages_.push_back(to_device(c.page(s, l, i), device));
          // whole pages that slid away are nobody's
          tables.back().push_back((i + 1) * ops::kPageRows <= first ? nullptr
                                                                    : pages_.back().raw());
        }
      }
    }
    add_to(batch_);
    auto appended = c.appended();
    kv_ = to_device(tensor(appended, {c.n_tokens(), 2 * c.layout.row()}), device);
    for (int l = 0; l < (c.one_variant ? 1 : c.n_lanes); ++l) {
      auto q = c.queries(l);
      q_.push_back(to_device(tensor(q, {c.n_tokens(), c.q_stride()}), device));
      if (!device) q_.back() = ops::clone(cx, q_.back());  // `q` goes
    }
    if (!device) kv_ = ops::clone(cx, kv_);
  }
  ops::PagedBatch& batch() { return batch_; }
  // The same in memory that stays: the tokens, their queries (of one variant), keys and values.
  void fill(ops::PagedBatch& batch, Tensor queries, Tensor kv) {
    batch.clear();
    add_to(batch);
    ops::copy_(cx_, queries, q_[0]);
    ops::copy_(cx_, kv, kv_);
  }
  void append() {
    const int64_t row = case_.layout.row();
    auto* kv = static_cast<float*>(kv_.raw());
    const auto heads = [&](float* data) {
      return ops::Heads{data, 2 * row, case_.layout.n_kv_heads, case_.layout.head_dim};
    };
    ops::append_to_pages(cx_, batch_, case_.layout, case_.layer, heads(kv), heads(kv + row));
  }
  Tensor attend(DType out = DType::f32) {
    std::vector<ops::Heads> q;
    for (int l = 0; l < case_.n_lanes; ++l) {
      Tensor& variant = q_[case_.one_variant ? 0 : size_t(l)];
      q.push_back({static_cast<float*>(variant.raw()), case_.q_stride(), case_.n_heads,
                   case_.layout.head_dim});
    }
    return ops::paged_attention(cx_, q, batch_, case_.layout, case_.layer, out);
  }
  Tensor run(DType out = DType::f32) {
    batch_.upload(cx_);
    append();
    return attend(out);
  }
  // The first variant's queries and the keys, unrotated. angles: [2, n_tables · n_tokens, head_dim
  // / 2]; which table is of a lane's queries; the last one is of the keys.
  ops::UnrotatedRows unrotated(const Tensor& angles, std::span<const int> tables,
                               std::vector<ops::Rotary>& of_lane) {
    const int64_t row = case_.layout.row();
    const auto table = [&](int64_t i) {
      const auto* cos = static_cast<const float*>(angles.raw()) +
                        i * case_.n_tokens() * case_.layout.head_dim / 2;
      return ops::Rotary{cos, cos + angles.numel() / 2};
    };
    of_lane.clear();
    for (const int i : tables) of_lane.push_back(table(i));
    const auto heads = [&](Tensor& x, int64_t at, int64_t stride, int n) {
      return ops::Heads{static_cast<float*>(x.raw()) + at, stride, n, case_.layout.head_dim};
    };
    return {heads(q_[0], 0, case_.q_stride(), case_.n_heads),
            heads(kv_, 0, 2 * row, case_.layout.n_kv_heads),
            heads(kv_, row, 2 * row, case_.layout.n_kv_heads), of_lane,
            table(angles.dim(1) / case_.n_tokens() - 1)};
  }
  const std::vector<Tensor>& pages() const { return pages_; }

 private:
  void add_to(ops::PagedBatch& batch) const {
    for (size_t i = 0; i < case_.sequences.size(); ++i) {
      const PagedCase::Sequence& s = case_.sequences[i];
      std::vector<ops::PagedBatch::Lane> lanes;
      for (size_t l = 0; l < s.lanes.size(); ++l)
        lanes.push_back({tables_[i][l], s.lanes[l].first, s.lanes[l].second});
      batch.add(lanes, s.lane_of);
    }
  }

  const PagedCase case_;
  ops::Context& cx_;
  ops::PagedBatch batch_;
  std::vector<std::vector<std::vector<void*>>> tables_;  // [sequence][lane][page]
  std::vector<Tensor> pages_, q_;
  Tensor kv_;
};

// Below, at and above a page, a tile of queries and a stretch of keys; lanes that slid, lanes that
// are empty; alone and together.
inline std::vector<PagedCase> paged_cases() {
  const auto tokens = [](int n, int n_lanes) {
    std::vector<uint8_t> lane_of;
    for (int i = 0; i < n; ++i) lane_of.push_back(uint8_t(i * 5 / 3 % n_lanes));
    return lane_of;
  };
  std::vector<PagedCase> cases;
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const auto& [n_heads, n_kv_heads, head_dim] :
         {std::tuple{1, 1, 12}, {4, 2, 16}, {3, 1, 64}, {4, 1, 40}, {14, 2, 36}, {12, 1, 128}}) {
      PagedCase c;
      c.layout = {dtype, 2, n_kv_heads, head_dim};
      c.n_heads = n_heads;
      for (const auto& [first, end, n] : {std::tuple{0, 0, 1},
                                          {0, 0, 5},
                                          {0, 63, 1},
                                          {0, 64, 1},
                                          {70, 131, 2},
                                          {3, 300, 1},
                                          {0, 60, 17},
                                          {129, 140, 70},
                                          {1, 255, 3},
                                          {5, 400, 1}}) {
        c.n_lanes = 1;
        c.sequences = {{{{first, end}}, tokens(n, 1), 3}};
        cases.push_back(c);
      }
      c.n_lanes = 3;
      c.sequences = {{{{0, 10}, {66, 70}, {0, 0}}, tokens(21, 3), 1},
                     {{{0, 130}, {0, 0}, {200, 457}}, {0}, 2},
                     {{{4, 5}, {0, 64}, {0, 0}}, {2, 2, 1}, 3},
                     {{{0, 0}, {0, 0}, {0, 0}}, {1}, 4},
                     {{{30, 30}, {1, 129}, {0, 1}}, {0}, 5}};
      cases.push_back(c);
      c.one_variant = true;
      cases.push_back(c);
    }
  return cases;
}

}  // namespace omni
