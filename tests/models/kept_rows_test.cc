// The rows that a Talker reads stay where the text model has computed them: on a device another
// queue reads what the host computes, while the sequence goes on, is cut and slides.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "decoding/sequence.h"
#include "interface/lone_sequence.h"
#include "models/devices.h"
#include "models/registry.h"

namespace omni {
namespace {

const char* kFixture = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint";

Rows rows_at(int32_t from, int n, Lane lane) {
  Rows rows;
  rows.lane = lane;
  for (int i = 0; i < n; ++i) {
    rows.ids.push_back(20 + (from + 7 * i) % 60);
    rows.positions.push_back({from + i, from + i, from + i});
  }
  return rows;
}

class Rememberer {
 public:
  explicit Rememberer(const char* name)
      : device_(open_test_device(name)),
        family_(load_family({kFixture, Precision::float32, device_}, {})),
        scheduler_(*family_.text, pool_) {}

  // All that was kept: after each step, and of all steps once more when memory has been used again.
  std::vector<float> live() {
    std::vector<std::vector<KeptRows>> held;
    std::vector<float> out;
    Sequence s(scheduler_, {.keeps_rows = true});
    const auto look = [&] {
      held.push_back(s.kept_rows());
      const auto now = read(held.back());
      EXPECT_EQ(int64_t(now.size()), s.length() * family_.text->hidden());
      out.insert(out.end(), now.begin(), now.end());
    };
    s.prefill(rows_at(0, 5, Lane::text));
    s.cursor().next = 5;
    look();
    Rows media = rows_at(5, 9, Lane::vision);
    media.n_before = 2, media.n_behind = 1;
    std::vector<float> values(size_t(6 * family_.text->media_width()));
    std::mt19937 random(1);
    for (float& v : values) v = float(random() % 2000) / 1000 - 1;
    s.prefill(media, values.data());
    s.cursor().next = 14;
    look();
    const Sequence::Mark mark = s.mark();
    for (int32_t id = 30; id < 34; ++id) s.decode(id);
    look();
    s.back_to(mark);
    look();
    s.decode(44);
    look();
    s.slide(5, 9, {Position{}, {4, 4, 4}, Position{}});
    look();
    s.prefill(rows_at(15, 3, Lane::text));
    look();
    for (const auto& pieces : held)
      for (const float x : read(pieces)) out.push_back(x);
    return out;
  }

 private:
  // Through a queue of its own, as a Talker does.
  std::vector<float> read(const std::vector<KeptRows>& pieces) {
    ops::Context cx{pool_, arena_};
    std::vector<float> all, room;
    for (const KeptRows& piece : pieces) {
      EXPECT_EQ(piece.values.device(), device_);
      if (piece.made) arena_.queue().run_behind(*piece.made);
      Arena::Scope scope(arena_);
      const auto values = ops::to_host(cx, ops::clone(cx, piece.values), room);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  const Device* device_;
  ThreadPool pool_{1};
  Family family_;
  Scheduler scheduler_;
  Arena arena_{device_};
};

TEST(KeptRows, AreOnTheDeviceWhatTheyAreOnTheHost) {
  const std::vector<float> host = Rememberer("cpu").live();
  for (const char* device : test_devices()) {
    const std::vector<float> there = Rememberer(device).live();
    ASSERT_EQ(there.size(), host.size());
    for (size_t i = 0; i < host.size(); ++i) ASSERT_NEAR(there[i], host[i], 2e-4) << device << i;
  }
}

// Of text the state and the embedding, of media the state alone.
TEST(KeptRows, AreStatesAndEmbeddingsOfText) {
  const Family family = load_family({kFixture, Precision::float32}, {});
  const TextModel& model = *family.text;
  ThreadPool pool(1);
  Scheduler scheduler(model, pool);
  Sequence s(scheduler, {.keeps_rows = true});
  Rows rows = rows_at(0, 7, Lane::vision);
  rows.n_before = 2, rows.n_behind = 1;
  Tensor values = Tensor::zeros(DType::f32, {4, model.hidden()});
  for (int64_t i = 0; i < values.numel(); ++i) values.f32()[i] = float(i % 11) / 10 - 0.5f;
  s.prefill(rows, values.f32());
  Arena arena;
  ops::Context cx{pool, arena};
  LoneSequence alone(model);
  Tensor x = model.embed(cx, rows.ids), media = x.rows(2, 6);
  ops::copy_(cx, media, values);
  Tensor expected = ops::clone(cx, alone.forward(model, cx, x, rows.positions, Lane::vision));
  std::fill_n(media.f32(), media.numel(), 0.f);
  ops::add_(cx, expected, x);
  ASSERT_EQ(s.kept_rows().size(), 1u);
  const Tensor& kept = s.kept_rows()[0].values;
  ASSERT_EQ(kept.numel(), expected.numel());
  for (int64_t i = 0; i < kept.numel(); ++i)
    ASSERT_NEAR(kept.f32()[i], expected.f32()[i], 1e-4) << i;
}

// What is let go is used again, and nothing else.
TEST(KeptRows, MemoryThatIsLetGoIsUsedAgain) {
  const Device* device = open_test_device(test_devices().back());
  RowPool pool(device, 8);
  if (!device) GTEST_SKIP() << "the host's memory is the host's affair";
  Tensor one = pool.take(1), other = pool.take(1), five = pool.take(5), six = pool.take(6);
  EXPECT_EQ(five.dim(0), 5);
  const void* place = one.raw();
  for (const Tensor& t : {other, five, six}) EXPECT_NE(t.raw(), place);
  one = {};
  EXPECT_EQ(pool.take(1).raw(), place);
  const void* of_eight = five.rows(1, 2).raw();
  Tensor part = five.rows(1, 2);
  five = {};
  Tensor next = pool.take(7);
  EXPECT_NE(static_cast<const char*>(next.raw()) + 8 * sizeof(float), of_eight)
      << "a part of it is still held";
}

}  // namespace
}  // namespace omni
