// Attention over pages on the host, against double precision; and that what a sequence gets is its
// own affair.
#include "ops/paged_attention.h"
#include "ops/paged_case.h"

namespace omni {
namespace {

using PagedTest = OpsTest;

TEST_F(PagedTest, AttentionOverPages) {
  for (const PagedCase& c : paged_cases()) {
    Arena::Scope scope(arena);
    PagedMemory memory(cx, c);
    const Tensor y = memory.run();
    ASSERT_EQ(y.dim(0), c.n_tokens());
    for (int64_t i = 0; i < y.numel(); ++i) ASSERT_TRUE(std::isfinite(y.f32()[i])) << c.str();
    ASSERT_LT(error(y.f32(), c.reference()), 4e-6) << c.str();
  }
}

TEST_F(PagedTest, OtherSequencesChangeNoBit) {
  for (const PagedCase& c : paged_cases()) {
    if (c.sequences.size() == 1) continue;
    Arena::Scope scope(arena);
    PagedMemory together(cx, c);
    const Tensor y = together.run();
    const float* own = y.f32();
    for (const PagedCase::Sequence& s : c.sequences) {
      PagedCase one = c;
      one.sequences = {s};
      PagedMemory alone(cx, one);
      const Tensor z = alone.run();
      ASSERT_EQ(std::vector(own, own + z.numel()), std::vector(z.f32(), z.f32() + z.numel()))
          << one.str();
      own += z.numel();
    }
  }
}

TEST_F(PagedTest, WhatDoesNotFitIsRefused) {
  std::vector<float> room(1000);
  void* page = room.data();
  using Batch = ops::PagedBatch;
  const auto add = [&](Batch::Lane lane, std::vector<uint8_t> lane_of) {
    Batch batch(1);
    batch.add({&lane, 1}, lane_of);
    return batch.n_tokens();
  };
  std::vector<void*> pages{page};
  EXPECT_EQ(add({pages, 0, 62}, {0, 0}), 2);
  EXPECT_THROW(add({pages, 0, 63}, {0, 0}), Error);
  EXPECT_THROW(add({pages, 5, 4}, {0}), Error);
  EXPECT_THROW(add({pages, 0, 65}, {0}), Error);
  EXPECT_THROW(add({pages, 0, 1}, {1}), Error);
  EXPECT_THROW(Batch(0), Error);
  EXPECT_THROW(Batch(Batch::kMostLanes + 1), Error);
  Batch batch(2);
  const Batch::Lane lane{pages, 0, 0};
  const uint8_t first = 0;
  EXPECT_THROW(batch.add({&lane, 1}, {&first, 1}), Error);

  PagedCase c;
  c.n_heads = 2;
  c.sequences = {{{{0, 3}}, {0}}};
  PagedMemory memory(cx, c);
  EXPECT_THROW(memory.append(), Error) << "not uploaded";
  memory.run();
  std::vector<float> x(64);
  const ops::Heads q{x.data(), 32, 2, 16}, wide{x.data(), 32, 1, 32}, three{x.data(), 48, 3, 16};
  const ops::Heads two_variants[] = {q, q};
  EXPECT_THROW(ops::paged_attention(cx, two_variants, memory.batch(), c.layout, 1), Error);
  EXPECT_THROW(ops::paged_attention(cx, {&wide, 1}, memory.batch(), c.layout, 1), Error);
  EXPECT_THROW(ops::paged_attention(cx, {&q, 1}, memory.batch(), c.layout, 2), Error);
  EXPECT_THROW(ops::append_to_pages(cx, memory.batch(), c.layout, 1, q, q), Error);
  ops::KvLayout two_heads = c.layout;
  two_heads.n_kv_heads = 2;
  EXPECT_THROW(ops::paged_attention(cx, {&three, 1}, memory.batch(), two_heads, 1), Error);
  ops::KvLayout halves = c.layout;
  halves.dtype = DType::f16;
  EXPECT_THROW(ops::paged_attention(cx, {&q, 1}, memory.batch(), halves, 1), Error);
}

}  // namespace
}  // namespace omni
