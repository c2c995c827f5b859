// Tokens drawn on CUDA against those that the host draws.
#include "decoding/sampler.h"
#include "ops/device_side.h"

namespace omni {
namespace {

// Rows of logits, how a token is drawn from each, and the host's opinion of it.
class Draws {
 public:
  explicit Draws(int vocabulary) : vocabulary_(vocabulary) {}

  struct How {
    int top_k;
    float top_p = 1, penalty = 1, draw = 0;
    std::vector<int32_t> seen = {};  // each once
    std::vector<uint32_t> allowed = {};
  };
  void add(std::span<const float> logits, const How& how) {
    logits_.insert(logits_.end(), logits.begin(), logits.end());
    how_.push_back(how);
    ops::Sampling s{.row = int64_t(samplings_.size()),
                    .top_k = how.top_k,
                    .temperature = kTemperature,
                    .top_p = how.top_p,
                    .penalty = how.penalty,
                    .draw = how.draw,
                    .allowed = how.allowed,
                    .seen = {}};
    if (how.penalty != 1) s.seen.resize(size_t(vocabulary_ + 31) / 32);
    for (const int32_t id : how.seen)
      if (!s.seen.empty()) s.seen[size_t(id) / 32] |= 1u << (id % 32);
    samplings_.push_back(std::move(s));
  }
  std::vector<ops::Sampling>& samplings() { return samplings_; }
  Tensor logits(Side& side) {
    return side.there(Tensor::view(logits_.data(), DType::f32,
                                   {int64_t(samplings_.size()), int64_t(vocabulary_)}));
  }

  void expect(size_t i, const ops::SampledToken& token) const {
    const How& how = how_[i];
    const auto row = std::span(logits_).subspan(i * size_t(vocabulary_), size_t(vocabulary_));
    std::vector<float> left(row.begin(), row.end());
    double whole = 0;
    for (const float x : left) whole += std::exp(double(x));
    if (!how.allowed.empty())
      for (int id = 0; id < vocabulary_; ++id)
        if (!(how.allowed[size_t(id) / 32] >> (id % 32) & 1)) left[size_t(id)] = -INFINITY;
    const auto choices = Sampler::distribution(left, how.seen,
                                               {.temperature = kTemperature,
                                                .top_p = how.top_p,
                                                .top_k = how.top_k,
                                                .repetition_penalty = how.penalty});
    double rest = how.draw;
    size_t at = 0;
    while (at + 1 < choices.size() && (rest -= choices[at].first) >= 0) ++at;
    // Sums of floats: a draw at the edge of a token may be its neighbour's.
    const bool edge = std::abs(rest) < 1e-5 || std::abs(rest + choices[at].first) < 1e-5;
    if (!edge) {
      EXPECT_EQ(token.id, choices[at].second)
          << vocabulary_ << " tokens, top_k " << how.top_k << ", top_p " << how.top_p << ", draw "
          << how.draw << ", penalty " << how.penalty << ", masked " << !how.allowed.empty();
    }
    ASSERT_TRUE(token.id >= 0 && token.id < vocabulary_) << token.id;
    EXPECT_NEAR(token.probability, std::exp(double(row[size_t(token.id)])) / whole, 1e-5);
  }

 private:
  static constexpr float kTemperature = 0.7f;
  const int vocabulary_;
  std::vector<float> logits_;
  std::vector<How> how_;
  std::vector<ops::Sampling> samplings_;
};

// The tokens that the host's sampler draws, too: with ties, penalties and what is not allowed, for
// vocabularies below and above a warp, a block, and what is sorted; all of a vocabulary at once,
// and each as if it were alone.
TEST_F(Devices, SamplesAsTheHost) {
  Side device(cuda());
  std::mt19937 random(3);
  size_t n_drawn = 0;
  for (const int vocabulary : {1, 31, 1000, 2500}) {
    Draws draws(vocabulary);
    for (const int top_k : {1, 2, 7, 100, 1024})
      for (const float top_p : {0.1f, 0.9f, 1.f}) {
        std::vector<float> logits;
        // many are equal, and all are negative
        for (int i = 0; i < vocabulary; ++i)
          logits.push_back(float(int(random() % 90)) / 10 - (top_k % 2 ? 4.f : 9.f));
        Draws::How how{.top_k = top_k, .top_p = top_p};
        for (int32_t id = 0; id < vocabulary; id += 3) how.seen.push_back(id);
        if (random() % 2) how.penalty = 1.3f;
        if (random() % 2)
          for (int i = 0; i < vocabulary; i += 32) how.allowed.push_back(uint32_t(random()) | 1);
        for (const float draw : {0.f, 0.31f, 0.77f, 0.9999f}) {
          how.draw = draw;
          draws.add(logits, how);
        }
      }
    const Tensor logits = draws.logits(device);
    const auto tokens = ops::sample(device.cx(), logits, draws.samplings());
    ASSERT_EQ(tokens.size(), draws.samplings().size());
    for (size_t i = 0; i < tokens.size(); ++i) draws.expect(i, tokens[i]);
    for (size_t i = 0; i < tokens.size(); i += 7) {
      const auto alone = ops::sample(device.cx(), logits, {&draws.samplings()[i], 1});
      EXPECT_EQ(alone[0].id, tokens[i].id);
      EXPECT_EQ(alone[0].probability, tokens[i].probability);
    }
    n_drawn += tokens.size();
  }
  EXPECT_EQ(n_drawn, 240u);
}

// Vocabularies of several blocks, in which more groups than are wanted have something to say; where
// all likely ones are in one place; where nothing is likelier than anything else; where a mask
// leaves one, few or a stretch; where whole parts can never come.
TEST_F(Devices, SamplesFromMany) {
  Side device(cuda());
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  for (const int vocabulary : {4097, 9000}) {
    Draws draws(vocabulary);
    for (const char* kind : {"normal", "rising", "equal", "one", "few", "stretch", "holes"})
      for (const int top_k : {1, 50, 1024}) {
        const std::string is = kind;
        std::vector<float> logits;
        for (int i = 0; i < vocabulary; ++i)
          logits.push_back(is == "holes" && i / 512 % 2 ? -INFINITY
                           : is == "equal"              ? 1.5f
                           : is == "rising"             ? float(i) / 500 - 9
                                                        : normal(random));
        Draws::How how{.top_k = top_k,
                       .top_p = random() % 2 ? 1 : 0.83f,
                       .penalty = random() % 2 ? 1 : 1.2f,
                       .draw = float(random() % 1000) / 1000};
        for (int i = 0; i < 60; ++i) how.seen.push_back(int32_t(i * 13 + random() % 13));
        const auto allow = [&](int id) { how.allowed[size_t(id) / 32] |= 1u << (id % 32); };
        if (is == "one" || is == "few" || is == "stretch")
          how.allowed.resize(size_t(vocabulary + 31) / 32);
        if (is == "one") allow(vocabulary - 1);
        for (int i = 0; is == "few" && i < 20; ++i) allow(int(random() % unsigned(vocabulary)));
        for (int i = 1000; is == "stretch" && i < 3999; ++i) allow(i);
        draws.add(logits, how);
      }
    const auto tokens = ops::sample(device.cx(), draws.logits(device), draws.samplings());
    for (size_t i = 0; i < tokens.size(); ++i) draws.expect(i, tokens[i]);
  }
}

// What is no number gives a probability that is none, whether or not it may be drawn; the other
// sequences have their tokens.
TEST_F(Devices, WhatIsNoNumberIsOneSequencesError) {
  constexpr int kVocabulary = 3000;
  Side device(cuda());
  for (const float bad : {NAN, -NAN, INFINITY})
    for (const int top_k : {1, 50}) {
      Draws draws(kVocabulary);
      std::vector<float> logits(kVocabulary, 0.5f);
      logits[7] = 2;
      std::vector<uint32_t> allowed(size_t(kVocabulary + 31) / 32, ~0u);
      allowed[2000 / 32] = 0;
      draws.add(logits, {.top_k = top_k});
      logits[2000] = bad;
      draws.add(logits, {.top_k = top_k});
      draws.add(logits, {.top_k = top_k, .allowed = allowed});
      draws.add(std::vector<float>(kVocabulary, -INFINITY), {.top_k = top_k});
      const auto tokens = ops::sample(device.cx(), draws.logits(device), draws.samplings());
      draws.expect(0, tokens[0]);
      for (size_t i = 1; i < tokens.size(); ++i)
        EXPECT_FALSE(std::isfinite(tokens[i].probability)) << bad << ", top_k " << top_k;
    }
}

TEST_F(Devices, SamplesOfWhatCannotBeAreRefused) {
  Side device(cuda());
  const Tensor logits = device.random({2, 40}, 1);
  for (const ops::Sampling& wrong :
       {ops::Sampling{.row = 2}, ops::Sampling{.row = -1}, ops::Sampling{.top_k = 0},
        ops::Sampling{.top_k = 1025}, ops::Sampling{.temperature = 0},
        ops::Sampling{.allowed = {1}}, ops::Sampling{.seen = {1}}})
    EXPECT_THROW(ops::sample(device.cx(), logits, {&wrong, 1}), Error);
  EXPECT_TRUE(ops::sample(device.cx(), logits, {}).empty());
}

}  // namespace
}  // namespace omni
