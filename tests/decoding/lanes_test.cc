// A sequence whose window slid is one whose rows were computed at the positions that they have now.
// With one layer that can be said of any rows: keys and values depend on nothing before them.
#include <gtest/gtest.h>
#include <unistd.h>

#include "decoding/text_model_test.h"
#include "interface/lone_sequence.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

class Lanes : public testing::Test {
 protected:
  void SetUp() override {
    const fs::path from = OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint";
    folder_ = fs::temp_directory_path() / ("omni_lanes_test_" + std::to_string(::getpid()));
    fs::copy(from, folder_, fs::copy_options::recursive);
    std::stringstream config;
    config << std::ifstream(folder_ / "config.json").rdbuf();
    std::string text = config.str();
    const size_t at = text.find("\"text_config\"");
    const size_t layers = text.find("\"num_hidden_layers\"", at), end = text.find(',', layers);
    text.replace(layers, end - layers, "\"num_hidden_layers\": 1");
    std::ofstream(folder_ / "config.json") << text;
    family_ = load_family({folder_, Precision::float32}, {});
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::vector<float> add(LoneSequence& s, const Rows& rows) {
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    const TextModel& text = *family_.text;
    const Tensor y = s.forward(text, cx, text.embed(cx, rows.ids), rows.positions, rows.lane);
    const Tensor last = text.logits(cx, y.rows(y.dim(0) - 1, y.dim(0)));
    return {last.f32(), last.f32() + last.numel()};
  }
  static Rows moved(Rows rows, const LaneShift& shift) {
    for (Position& p : rows.positions)
      for (size_t axis = 0; axis < 3; ++axis) p[axis] -= shift[size_t(rows.lane)][axis];
    return rows;
  }
  static double difference(const std::vector<float>& a, const std::vector<float>& b) {
    double worst = 0, scale = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      worst = std::max(worst, double(std::abs(a[i] - b[i])));
      scale = std::max(scale, double(std::abs(b[i])));
    }
    return worst / scale;
  }

  fs::path folder_;
  Family family_;
  ThreadPool pool_{2};
  Arena arena_;
};

TEST_F(Lanes, AWindowThatSlidesKeepsItsDistances) {
  std::mt19937 random(1);
  const LaneShift shift{Position{}, {50, 0, 0}, {50, 50, 50}}, none{};
  const Rows head = random_rows(random, 90, 0);
  std::vector<Rows> chunks;
  for (int32_t c = 0; c < 6; ++c) {
    chunks.push_back(random_rows(random, 30, 100 + 50 * c, Lane::vision));
    chunks.push_back(random_rows(random, 40, 100 + 50 * c, Lane::audio));
  }
  const Rows question = random_rows(random, 5, 300);
  LoneSequence slid(*family_.text), placed(*family_.text), unmoved(*family_.text);
  for (LoneSequence* s : {&slid, &placed, &unmoved}) add(*s, head);
  for (size_t i = 0; i < chunks.size(); ++i) {
    Rows rows = chunks[i];
    for (size_t times = 0; times + 4 < i - i % 2; times += 2) rows = moved(rows, shift);
    if (i % 2 == 0 && i > 4) slid.state.slide(90, 160, shift);
    add(slid, rows);
  }
  for (size_t i = 6; i < chunks.size(); ++i) {
    add(unmoved, chunks[i]);
    add(placed, moved(moved(moved(chunks[i], shift), shift), shift));
  }
  slid.state.slide(90, 90, none);
  ASSERT_EQ(slid.state.length(), placed.state.length());
  const auto a = add(slid, question), b = add(placed, question), c = add(unmoved, question);
  EXPECT_LT(difference(a, b), 2e-5);
  EXPECT_GT(difference(b, c), 1e-3) << "so the comparison means something";
}

TEST_F(Lanes, PositionsOfMillionsKeepTheirPrecision) {
  std::mt19937 random(2);
  const Rows head = random_rows(random, 10, 0), video = random_rows(random, 60, 20, Lane::vision),
             audio = random_rows(random, 60, 20, Lane::audio),
             question = random_rows(random, 3, 90);
  LoneSequence slid(*family_.text), fresh(*family_.text);
  for (LoneSequence* s : {&slid, &fresh}) add(*s, head);
  // A row that stays keeps the offset alive.
  for (const Lane lane : {Lane::vision, Lane::audio}) add(slid, random_rows(random, 1, 15, lane));
  for (int i = 0; i < 100000; ++i) slid.state.slide(10, 10, {Position{}, {50, 0, 0}, {50, 50, 50}});
  EXPECT_EQ(slid.state.offset(int(Lane::audio))[1], 5000000);
  for (LoneSequence* s : {&slid, &fresh}) {
    add(*s, video);
    add(*s, audio);
  }
  slid.state.slide(10, 12, {});
  EXPECT_LT(difference(add(slid, question), add(fresh, question)), 2e-5);
}

}  // namespace
}  // namespace omni
