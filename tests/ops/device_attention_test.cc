// Attention on CUDA against that of the host: ranges, pages, recorded steps.
#include "ops/device_side.h"
#include "ops/paged_case.h"

namespace omni {
namespace {

TEST_F(Devices, Attention) {
  const auto heads = [](const Tensor& x, int64_t offset, int n, int head_dim) {
    return ops::Heads{static_cast<float*>(const_cast<void*>(x.raw())) + offset, x.dim(1), n,
                      head_dim};
  };
  for (const int head_dim : {4, 32, 80, 128}) {
    for (const std::vector<int64_t>& spans :
         {std::vector<int64_t>{0, 1}, {0, 15, 31, 32}, {0, 16, 33, 100}}) {
      const int64_t n = spans.back(), row = int64_t{3} * 2 * head_dim;
      same("attention in spans", [&](Side& s) {
        const Tensor qkv = s.random({n, row}, 1);
        return ops::attention(s.cx(), heads(qkv, 0, 2, head_dim), heads(qkv, row / 3, 2, head_dim),
                              heads(qkv, 2 * row / 3, 2, head_dim),
                              std::span<const int64_t>(spans));
      });
    }
    const std::vector<ops::AttentionRange> ranges{{0, 3, 5, 40}, {3, 20, 0, 33}};
    same("attention over ranges", [&](Side& s) {
      const int64_t half = int64_t{2} * head_dim;
      const Tensor q = s.random({20, 2 * half + 3}, 1), kv = s.random({45, 2 * half}, 2);
      return ops::attention(s.cx(), heads(q, 1, 4, head_dim), heads(kv, 0, 2, head_dim),
                            heads(kv, half, 2, head_dim),
                            std::span<const ops::AttentionRange>(ranges));
    });
    for (const int64_t keys : {1, 40, 128, 300})
      same("attention of one over " + std::to_string(keys), [&](Side& s) {
        const ops::AttentionRange one{0, 1, 5, keys};
        const int64_t half = int64_t{2} * head_dim;
        const Tensor q = s.random({1, 2 * half}, 1), kv = s.random({5 + keys, 2 * half}, 2);
        return ops::attention(s.cx(), heads(q, 0, 4, head_dim), heads(kv, 0, 2, head_dim),
                              heads(kv, half, 2, head_dim), std::span(&one, 1));
      });
    for (const int64_t keys : {1, 127, 128, 300})
      same("attention_weights", [&](Side& s) {
        const Tensor q = s.random({3, head_dim}, 1), k = s.random({keys, int64_t{2} * head_dim}, 2);
        return ops::attention_weights(s.cx(), heads(q, 0, 1, head_dim), 3,
                                      heads(k, head_dim, 1, head_dim), keys);
      });
    same("rotary", [&](Side& s) {
      Tensor x = s.random({9, int64_t{3} * head_dim}, 1);
      const Tensor angles = s.random({2, 9, head_dim / 2}, 2);
      const auto* cos = static_cast<const float*>(angles.raw());
      ops::rotary_(s.cx(), heads(x, head_dim, 2, head_dim), 9, cos, cos + 9 * head_dim / 2);
      return x;
    });
  }
}

TEST_F(Devices, AttentionOverPages) {
  for (const PagedCase& c : paged_cases())
    same(c.str(), [&](Side& s) { return PagedMemory(s.cx(), c).run(); });
}

TEST_F(Devices, OtherSequencesInPagesChangeNoBit) {
  for (const PagedCase& c : paged_cases()) {
    if (c.sequences.size() == 1 || c.layout.dtype == DType::bf16) continue;
    Side side(cuda());
    PagedMemory memory(side.cx(), c);
    const std::vector<float> together = side.read(memory.run());
    size_t at = 0;
    for (const PagedCase::Sequence& s : c.sequences) {
      PagedCase one = c;
      one.sequences = {s};
      PagedMemory alone(side.cx(), one);
      for (const float x : side.read(alone.run())) ASSERT_EQ(x, together[at++]) << one.str();
    }
    ASSERT_EQ(at, together.size());
  }
}

// Turns by right angles, which change no bit: the same on every device, before and after rounding.
Tensor right_angles(int64_t n, int half) {
  Tensor angles = Tensor::zeros(DType::f32, {2, n, half});
  std::mt19937 r(5);
  for (int64_t i = 0; i < n * half; ++i) {
    const uint32_t turn = r() % 4;
    angles.f32()[i] = float(turn == 0) - float(turn == 2);
    angles.f32()[n * half + i] = float(turn == 1) - float(turn == 3);
  }
  return angles;
}

// One token of each sequence: of one stretch and several, of more than a block joins, in a lane
// that has nothing else; lanes with angles of their own.
std::vector<std::pair<PagedCase, std::vector<int>>> steps() {
  std::vector<std::pair<PagedCase, std::vector<int>>> all;
  for (const auto& [n_heads, n_kv_heads, head_dim, dtype] : {std::tuple{8, 1, 64, DType::bf16},
                                                             {4, 2, 128, DType::bf16},
                                                             {9, 1, 64, DType::bf16},
                                                             {4, 2, 16, DType::bf16},
                                                             {4, 2, 64, DType::f32}}) {
    PagedCase c;
    c.layout = {dtype, 2, n_kv_heads, head_dim};
    c.n_heads = n_heads, c.one_variant = true;
    c.sequences = {{{{0, 0}}, {0}, 1}, {{{0, 63}}, {0}, 2}, {{{0, 64}}, {0}, 3}};
    all.push_back({c, {0}});
    c.sequences = {{{{3, 300}}, {0}, 1}, {{{0, 127}}, {0}, 2}, {{{130, 258}}, {0}, 3}};
    all.push_back({c, {0}});
    c.sequences = {{{{70, 2250}}, {0}, 1}, {{{0, 5}}, {0}, 2}};
    all.push_back({c, {0}});
    c.n_lanes = 3;
    c.sequences = {{{{0, 10}, {66, 70}, {0, 0}}, {1}, 1},
                   {{{0, 130}, {0, 0}, {200, 457}}, {0}, 2},
                   {{{4, 5}, {0, 64}, {0, 0}}, {2}, 3}};
    for (const std::vector<int>& tables : {std::vector<int>{0, 0, 0}, {0, 1, 0}, {0, 1, 2}})
      all.push_back({c, tables});
  }
  return all;
}

TEST_F(Devices, StepsOverPages) {
  for (const auto& [c, tables] : steps()) {
    const int n_tables = 2 + *std::max_element(tables.begin(), tables.end());
    const Tensor angles = right_angles(int64_t(n_tables) * c.n_tokens(), c.layout.head_dim / 2);
    Side host(nullptr), device(cuda());
    std::vector<float> results[2], pages[2];
    for (Side* s : {&host, &device}) {
      PagedMemory memory(s->cx(), c);
      memory.batch().upload(s->cx());
      const Tensor there = s->there(angles);
      std::vector<ops::Rotary> of_lane;
      const auto run = [&](PagedMemory& m, DType out) {
        return s->read(ops::paged_attention(s->cx(), m.unrotated(there, tables, of_lane), m.batch(),
                                            c.layout, c.layer, out));
      };
      results[s == &device] = run(memory, DType::f32);
      for (const Tensor& page : memory.pages())
        for (const float x : s->read(page)) pages[s == &device].push_back(std::isnan(x) ? 1e9f : x);
      if (s == &host) continue;
      PagedMemory other(s->cx(), c);
      other.batch().upload(s->cx());
      expect_rounded(results[0], run(other, DType::bf16), 1e-2, c.str());
    }
    expect_rounded(results[0], results[1], kTolerance, c.str());
    ASSERT_EQ(pages[0], pages[1]) << c.str();
  }
}

// The same bits as the ops one by one, and each time: counters are as they were.
TEST_F(Devices, StepsAtOnceChangeNoBit) {
  for (const auto& [c, tables] : steps()) {
    if (tables.back() != 0 || c.layout.dtype != DType::bf16) continue;
    const Tensor angles = right_angles(int64_t{2} * c.n_tokens(), c.layout.head_dim / 2);
    Side device(cuda());
    const Tensor there = device.there(angles);
    std::vector<ops::Rotary> of_lane;
    PagedMemory at_once(device.cx(), c), apart(device.cx(), c);
    at_once.batch().upload(device.cx()), apart.batch().upload(device.cx());
    const std::vector<int> one_table(tables.size(), 0);
    const auto rows = apart.unrotated(there, one_table, of_lane);
    ops::rotate_and_append(device.cx(), apart.batch(), c.layout, c.layer, rows.q, rows.k, rows.v,
                           rows.of_q[0], rows.of_k);
    const std::vector<ops::Heads> q(tables.size(), rows.q);
    const auto expected = device.read(
        ops::paged_attention(device.cx(), q, apart.batch(), c.layout, c.layer, DType::f32));
    for (int time = 0; time < 2 && c.layout.head_dim > 16; ++time)
      ASSERT_EQ(device.read(ops::paged_attention(device.cx(),
                                                 at_once.unrotated(there, one_table, of_lane),
                                                 at_once.batch(), c.layout, c.layer)),
                expected)
          << c.str();
  }
}

// On tensor cores where heads suit them: windows, whole pictures, more keys than queries, ranges
// that begin anywhere, rows that are not aligned.
TEST_F(Devices, RoundedAttention) {
  struct Case {
    int n_heads, n_kv_heads, head_dim;
    int64_t padding;  // of a row
    std::vector<ops::AttentionRange> ranges;
  };
  const std::vector<ops::AttentionRange> windows{
      {0, 64, 0, 64}, {64, 128, 64, 64}, {128, 140, 128, 12}},
      whole{{0, 150, 0, 150}}, uneven{{0, 3, 5, 140}, {3, 120, 0, 33}, {120, 121, 149, 1}},
      one{{0, 1, 3, 140}};
  for (const Case& c : {Case{2, 2, 80, 0, windows},
                        {1, 1, 64, 0, whole},
                        {4, 2, 72, 0, uneven},
                        {2, 1, 128, 0, whole},
                        {1, 1, 96, 0, windows},
                        {2, 1, 40, 3, uneven},
                        {2, 2, 128, 1, windows},
                        {2, 1, 36, 0, uneven},
                        {2, 2, 80, 0, one},
                        {1, 1, 80, 0, whole},
                        {1, 1, 96, 0, whole}}) {
    const int64_t n = c.ranges.back().end, q_row = int64_t{c.n_heads} * c.head_dim,
                  kv_row = int64_t{c.n_kv_heads} * c.head_dim;
    const auto attend = [&](Side& s, DType out) {
      const Tensor q = s.random({n, q_row + c.padding}, 1),
                   kv = s.random({150, 2 * kv_row + c.padding}, 2);
      const auto at = [](const Tensor& x) {
        return static_cast<float*>(const_cast<void*>(x.raw()));
      };
      const int64_t stride = 2 * kv_row + c.padding;
      return ops::attention(s.cx(), {at(q), q_row + c.padding, c.n_heads, c.head_dim},
                            {at(kv), stride, c.n_kv_heads, c.head_dim},
                            {at(kv) + kv_row, stride, c.n_kv_heads, c.head_dim},
                            std::span<const ops::AttentionRange>(c.ranges), out);
    };
    Side host(nullptr), device(cuda());
    expect_rounded(host.read(attend(host, DType::f32)), device.read(attend(device, DType::bf16)),
                   1e-2, std::to_string(c.head_dim) + " of " + std::to_string(c.ranges.size()));
  }
}

// On tensor cores where pages hold bfloat16 and heads suit them, several tiles and pages long;
// rounded results of the others.
TEST_F(Devices, RoundedAttentionOverPages) {
  std::vector<PagedCase> cases = paged_cases();
  for (const auto& [n_heads, n_kv_heads, head_dim] :
       {std::tuple{2, 1, 64}, {3, 3, 72}, {2, 2, 80}, {2, 1, 96}, {4, 2, 128}}) {
    PagedCase c;
    c.layout = {DType::bf16, 2, n_kv_heads, head_dim};
    c.n_heads = n_heads, c.n_lanes = 2;
    const auto tokens = [](int n) {
      std::vector<uint8_t> lane_of;
      for (int i = 0; i < n; ++i) lane_of.push_back(uint8_t(i % 7 == 3));
      return lane_of;
    };
    c.sequences = {{{{0, 0}, {0, 0}}, tokens(130), 1},
                   {{{70, 193}, {0, 0}}, tokens(33), 2},
                   {{{0, 0}, {5, 64}}, tokens(2), 3}};
    cases.push_back(c);
    c.sharpness = 8;  // the highest score grows from page to page
    cases.push_back(c);
  }
  for (const PagedCase& c : cases) {
    if (c.layout.dtype == DType::f32 && c.layout.head_dim != 16) continue;
    Side host(nullptr), device(cuda());
    PagedMemory on_host(host.cx(), c), on_device(device.cx(), c);
    expect_rounded(host.read(on_host.run()), device.read(on_device.run(DType::bf16)),
                   1e-2 * c.sharpness, c.str());
  }
}

// Eight sequences that enter new pages: where a batch of the same shape lies, all that a recording
// reads of it lies where it was.
TEST_F(Devices, BatchesOfAShapeLieWhereTheyLay) {
  PagedCase c;
  c.n_lanes = 1, c.n_heads = 4;
  c.layout = {DType::f32, 1, 2, 16};
  c.layer = 0;
  Side device(cuda());
  ops::PagedBatch batch(1);
  ops::PagedBatch::Shape shape{};
  ops::PagedBatch::There there{};
  int n_alike = 0;
  for (int more = 0; more < 4; ++more) {
    c.sequences.clear();
    for (unsigned seed = 1; seed <= 8; ++seed)
      c.sequences.push_back({{{0, 5 * ops::kPageRows - 3 + more}}, {0}, seed});
    Arena::Scope scope(device.cx().arena);
    PagedMemory memory(device.cx(), c);
    const Tensor queries = device.cx().arena.f32({8, c.q_stride()}),
                 kv = device.cx().arena.f32({8, 2 * c.layout.row()});
    memory.fill(batch, queries, kv);
    batch.upload(device.cx());
    if (batch.shape() == shape) {
      ++n_alike;
      EXPECT_EQ(batch.there().counters, there.counters) << more;
      EXPECT_EQ(batch.there().tables, there.tables) << more;
      EXPECT_EQ(batch.there().seen, there.seen) << more;
    }
    shape = batch.shape(), there = batch.there();
  }
  EXPECT_GE(n_alike, 2);
}

// A step of three sequences, recorded once and run as they grow, over pages and over stretches:
// what the batch uploads is all that differs.
TEST_F(Devices, RecordedStepsReadTheirBatch) {
  PagedCase c;
  c.n_lanes = 2, c.n_heads = 4;
  c.layout = {DType::f32, 1, 2, 16};
  c.layer = 0, c.one_variant = true;
  const auto at = [&](int more) {
    c.sequences = {{{{0, 130 + more}, {0, 5}}, {0}, 1},
                   {{{0, 0}, {0, 62 + more}}, {1}, 2},
                   {{{3, 40}, {70, 120 + more}}, {1}, 3}};
    return c;
  };
  Side host(nullptr), device(cuda());
  auto& queue = device.cx().arena.queue();
  const Tensor result = device.cx().arena.lasting(DType::f32, {3, 64}),
               queries = device.cx().arena.lasting(DType::f32, {3, c.q_stride()}),
               kv = device.cx().arena.lasting(DType::f32, {3, 2 * c.layout.row()});
  ops::PagedBatch batch(2);
  ops::PagedBatch::Shape recorded{};
  std::unique_ptr<Device::Recording> recording;
  int n_recorded = 0;
  for (int more = 0; more < 6; ++more) {
    Arena::Scope scope(device.cx().arena);
    PagedMemory on_host(host.cx(), at(more)), memory(device.cx(), at(more));
    memory.fill(batch, queries, kv);
    batch.upload(device.cx());
    const auto work = [&] {
      Arena::Scope inner(device.cx().arena);
      const ops::Heads k{static_cast<float*>(const_cast<void*>(kv.raw())), 2 * c.layout.row(), 2,
                         16},
          q{static_cast<float*>(const_cast<void*>(queries.raw())), c.q_stride(), 4, 16};
      ops::append_to_pages(device.cx(), batch, c.layout, 0, k,
                           {k.data + c.layout.row(), k.stride, 2, 16});
      const ops::Heads variants[] = {q, q};
      Tensor y = result;
      ops::copy_(device.cx(), y, ops::paged_attention(device.cx(), variants, batch, c.layout, 0));
    };
    if (batch.shape() != recorded) {
      work();  // the arena grows
      recorded = batch.shape();
      recording.reset();
    } else if (!recording) {
      recording = queue.record(work);
      ++n_recorded;
    }
    if (recording) queue.run(*recording);
    const auto a = host.read(on_host.run()), b = device.read(result);
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], kTolerance * 4) << more;
  }
  EXPECT_EQ(n_recorded, 1);
}

}  // namespace
}  // namespace omni
