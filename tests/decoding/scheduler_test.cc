// Many sequences on one scheduler: each is as if it were alone, none waits for ever, and what one
// does wrong is its own trouble.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "core/cpu_level.h"
#include "decoding/sequence.h"
#include "decoding/text_model_test.h"
#include "interface/lone_sequence.h"
#include "models/devices.h"

namespace omni {
namespace {

// What a sequence said and what the model found, in bits.
using Transcript = std::vector<float>;

class Scheduling : public testing::Test {
 protected:
  ThreadPool pool_{2};
  const TextModel& model_ = fixture_model();

  static void say(Sequence& s, Sampler& sampler, const SamplingOptions& how, int n,
                  Transcript& out) {
    for (int i = 0; i < n; ++i) {
      const Sequence::Choice choice = s.choose(sampler, how, nullptr, i % 2);
      out.push_back(float(choice.id));
      out.push_back(float(choice.probability));
      s.decode(choice.id);
    }
  }
  static Sequence::Options options(bool keeps_rows = false) {
    return {.keeps_rows = keeps_rows, .is_stop = [](int32_t id) { return id % 13 == 0; }};
  }

  // A life of media, questions and a window that slides, all of it drawn from the seed.
  Transcript live(Scheduler& scheduler, uint32_t seed) {
    std::mt19937 random(seed);
    Sampler sampler(seed);
    Transcript out;
    Sequence s(scheduler, options(seed % 3 == 0));
    std::vector<float> values;
    s.prefill(random_rows(random, 1 + int64_t(random() % 200), 0));
    const Sequence::Mark begin = s.mark();
    std::vector<int64_t> chunks;
    for (int step = 0; step < 12; ++step) {
      const auto n = int64_t(3 * (1 + random() % 30));
      const Lane lane = random() % 2 ? Lane::vision : Lane::audio;
      const Rows media = random_rows(random, n, 300, lane);
      values.resize(size_t(n * model_.hidden()));
      for (float& x : values) x = float(random() % 2000) / 1000 - 1;
      if (chunks.size() == 4) {
        s.slide(begin.length, begin.length + chunks.front(),
                {Position{}, {20, 0, 0}, {20, 20, 20}});
        chunks.erase(chunks.begin());
      }
      s.prefill(media, values.data());
      chunks.push_back(n);
      const Sequence::Mark mark = s.mark();
      if (random() % 3) {
        s.cursor().next = 400;
        s.prefill(random_rows(random, 1 + int64_t(random() % 40), 380));
        say(s, sampler,
            {.temperature = double(random() % 2), .top_k = 20, .repetition_penalty = 1.1},
            int(random() % 6), out);
        if (random() % 2) s.decode(int32_t(random() % 300));  // not what was drawn
        const std::vector<float> l = s.logits();
        out.insert(out.end(), l.begin(), l.end());
        s.back_to(mark);
      }
    }
    for (const KeptRows& piece : s.kept_rows())
      out.insert(out.end(), piece.values.f32(), piece.values.f32() + piece.values.numel());
    out.push_back(float(s.length()));
    return out;
  }
};

// On one level of instructions: bits, where all products are our own.
void expect_same(const Transcript& a, const Transcript& b, uint32_t seed) {
  ASSERT_EQ(a.size(), b.size()) << seed;
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a[i], b[i]) << "seed " << seed << " at " << i;
}

TEST_F(Scheduling, PiecesOfAPromptAreTheWhole) {
  std::mt19937 random(1);
  const Rows rows = random_rows(random, 1300, 0);
  Scheduler scheduler(model_, pool_);
  Sequence whole(scheduler), pieces(scheduler);
  whole.prefill(rows);
  for (size_t begin = 0; begin < rows.size();) {
    const size_t n = std::min<size_t>(1 + random() % 200, rows.size() - begin);
    Rows piece;
    piece.ids.assign(rows.ids.begin() + std::ptrdiff_t(begin),
                     rows.ids.begin() + std::ptrdiff_t(begin + n));
    piece.positions.assign(rows.positions.begin() + std::ptrdiff_t(begin),
                           rows.positions.begin() + std::ptrdiff_t(begin + n));
    pieces.prefill(piece);
    begin += n;
  }
  Arena arena;
  ops::Context cx{pool_, arena};
  LoneSequence alone(model_);
  const Tensor y = alone.forward(model_, cx, model_.embed(cx, rows.ids), rows.positions);
  const Tensor l = model_.logits(cx, y.rows(1299, 1300));
  const std::vector<float> a = whole.logits(), b = pieces.logits();
  for (int64_t i = 0; i < l.numel(); ++i) {
    ASSERT_NEAR(a[size_t(i)], l.f32()[i], 1e-4);
    ASSERT_NEAR(b[size_t(i)], l.f32()[i], 1e-4);
  }
  EXPECT_EQ(whole.length(), 1300);
  EXPECT_EQ(pieces.ids()[700], rows.ids[700]);
}

TEST_F(Scheduling, BatchedIsAlone) {
  constexpr uint32_t kSequences = 12;
  std::vector<Transcript> alone(kSequences), batched(kSequences);
  for (uint32_t i = 0; i < kSequences; ++i) {
    Scheduler scheduler(model_, pool_);
    alone[i] = live(scheduler, i);
  }
  Scheduler scheduler(model_, pool_);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kSequences; ++i)
    threads.emplace_back([&, i] { batched[i] = live(scheduler, i); });
  for (std::thread& t : threads) t.join();
  for (uint32_t i = 0; i < kSequences; ++i) expect_same(alone[i], batched[i], i);
  EXPECT_EQ(scheduler.counts().pages, 0) << "all went back";
  EXPECT_EQ(scheduler.counts().n_sequences, 0);
}

// Whoever is cancelled wakes, and can begin again; nobody else notices.
TEST_F(Scheduling, CancelAtRandomMomentsOfABatch) {
  constexpr uint32_t kSequences = 6;
  Scheduler scheduler(model_, pool_);
  std::vector<Transcript> alone(kSequences);
  for (uint32_t i = 0; i < kSequences; ++i) alone[i] = live(scheduler, i);
  std::atomic<int> n_living{int(kSequences)}, n_cancelled{0};
  std::vector<std::unique_ptr<Sequence>> victims;
  for (int i = 0; i < 3; ++i) victims.push_back(std::make_unique<Sequence>(scheduler, options()));
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kSequences; ++i)
    threads.emplace_back([&, i] {
      expect_same(alone[i], live(scheduler, i), i);
      --n_living;
    });
  for (auto& victim : victims)
    threads.emplace_back([&] {
      std::mt19937 random(7);
      Sampler sampler(7);
      const Rows prompt = random_rows(random, 40, 0);
      Transcript first;
      while (n_living > 0) {
        Transcript said;
        try {
          victim->prefill(prompt);
          victim->cursor().next = 40;
          say(*victim, sampler, {}, 8, said);
          if (first.empty()) first = said;
          EXPECT_EQ(first, said);
        } catch (const Error& e) {
          EXPECT_EQ(e.code(), ErrorCode::cancelled);
          EXPECT_THROW(victim->prefill(prompt), Error) << "until it is cleared";
          ++n_cancelled;
        }
        victim->clear();
      }
    });
  threads.emplace_back([&] {
    std::mt19937 random(8);
    while (n_living > 0) {
      victims[random() % victims.size()]->cancel();
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    }
  });
  for (std::thread& t : threads) t.join();
  EXPECT_GT(n_cancelled, 0);
  victims.clear();
  EXPECT_EQ(scheduler.counts().pages, 0);
}

TEST_F(Scheduling, ATokenThatWasNotDrawn) {
  std::mt19937 random(4);
  const Rows prompt = random_rows(random, 30, 0);
  Scheduler scheduler(model_, pool_);
  Sequence drawn(scheduler, options()), told(scheduler, options());
  Sampler sampler(1);
  for (Sequence* s : {&drawn, &told}) {
    s->prefill(prompt);
    s->cursor().next = 30;
  }
  for (int i = 0; i < 5; ++i) {
    const int32_t id = drawn.choose(sampler, {}, nullptr, false).id;
    EXPECT_EQ(drawn.choose(sampler, {}, nullptr, false).id, id) << "asked again";
    drawn.decode(id + 1);
    told.decode(id + 1);
    EXPECT_EQ(drawn.logits(), told.logits());
  }
}

// What is drawn for two at once is computed before either thread says what it writes.
TEST_F(Scheduling, ATokenThatWasComputedButNotDrawn) {
  std::mt19937 random(13);
  const Rows prompt = random_rows(random, 30, 0);
  Scheduler scheduler(model_, pool_);
  Sequence told(scheduler, options());
  told.prefill(prompt);
  told.cursor().next = 30;
  const auto other = scheduler.open(Scheduler::Priority::file, false),
             drawn = scheduler.open(Scheduler::Priority::file, false);
  for (auto& entry : {other, drawn}) scheduler.wait(scheduler.prefill(*entry, prompt, nullptr));
  Sampler first(1), second(1);
  const SamplingOptions how;
  for (int32_t at = 30; at < 35; ++at) {
    Scheduler::Draw draw{.sampler = &first,
                         .options = &how,
                         .mask = nullptr,
                         .history = {},
                         .with_probability = false,
                         .next = {at, at, at},
                         .is_stop = [](int32_t) { return false; }};
    auto of_other = scheduler.draw(*other, draw);
    draw.sampler = &second;
    auto of_drawn = scheduler.draw(*drawn, draw);
    scheduler.start();
    scheduler.decode(*other, of_other.get().id, {at, at, at});
    const int32_t id = of_drawn.get().id + 1;
    scheduler.decode(*drawn, id, {at, at, at});
    told.decode(id);
    EXPECT_EQ(scheduler.wait(scheduler.logits(*drawn)), told.logits());
  }
  for (auto& entry : {other, drawn}) scheduler.wait(scheduler.close(entry));
}

// A sequence that is alone computes on the thread that waits, and does so again after another
// thread did.
TEST_F(Scheduling, ALoneSequenceNeedsNoOtherThread) {
  std::mt19937 random(11);
  Scheduler scheduler(model_, pool_);
  std::vector<std::thread::id> computed_by;
  Sequence s(scheduler, {.is_stop = [&](int32_t) {
               computed_by.push_back(std::this_thread::get_id());
               return false;
             }});
  Sampler sampler(1);
  Transcript out;
  s.prefill(random_rows(random, 20, 0));
  const Sequence::Mark mark = s.mark();
  const std::vector<std::thread::id> here(8, std::this_thread::get_id());
  for (int i = 0; i < 20; ++i) {
    say(s, sampler, {}, 8, out);
    EXPECT_EQ(computed_by, here);
    s.back_to(mark);  // which the scheduler's thread does
    s.prefill(random_rows(random, 5, 20));
    s.decode(s.choose(sampler, {}, nullptr, false).id);  // on either
    computed_by.clear();
  }
}

// Whoever has its result leaves what others asked for to the scheduler's thread.
TEST_F(Scheduling, WhatIsLeftIsComputed) {
  std::mt19937 random(12);
  Scheduler scheduler(model_, pool_);
  const auto file = scheduler.open(Scheduler::Priority::file, true),
             live = scheduler.open(Scheduler::Priority::live, true);
  const Rows prompt = random_rows(random, 3 * Scheduler::kMostPromptRows, 0);
  auto later = scheduler.prefill(*file, prompt, nullptr);
  scheduler.wait(scheduler.prefill(*live, random_rows(random, 1, 0), nullptr));
  int64_t n_kept = 0;
  for (const KeptRows& piece : later.get()) n_kept += piece.values.numel();
  EXPECT_EQ(n_kept, int64_t(prompt.size()) * model_.hidden());
  for (auto& entry : {file, live}) scheduler.wait(scheduler.close(entry));
}

// The likeliest token behind the last row; `then` is called on the thread that computes when it is
// drawn.
class Probe {
 public:
  Probe(Scheduler& scheduler, Scheduler::Entry& entry, std::function<void()> then)
      : then_(std::move(then)),
        drawn_(scheduler.draw(entry, {.sampler = &sampler_,
                                      .options = &options_,
                                      .mask = nullptr,
                                      .history = {},
                                      .with_probability = false,
                                      .next = {},
                                      .is_stop = [this](int32_t) { return then_(), true; }})) {
    scheduler.start();
  }
  void wait() { drawn_.get(); }

 private:
  Sampler sampler_{0};
  SamplingOptions options_;
  std::function<void()> then_;
  std::future<Scheduler::Choice> drawn_;
};

// All is asked for while the scheduler's thread is held inside a draw, so that the turns that
// follow are always the same.
TEST_F(Scheduling, NobodyStarves) {
  constexpr int64_t kLive = 4, kPrompts = 12, kTokens = 9;
  Scheduler scheduler(model_, pool_);
  std::mt19937 random(5);
  const auto holder = scheduler.open(Scheduler::Priority::file, false),
             file = scheduler.open(Scheduler::Priority::file, false),
             speaker = scheduler.open(Scheduler::Priority::file, false);
  std::vector<std::shared_ptr<Scheduler::Entry>> live;
  for (int64_t i = 0; i < kLive; ++i)
    live.push_back(scheduler.open(Scheduler::Priority::live, false));
  std::promise<void> inside, go_on;
  scheduler.prefill(*holder, random_rows(random, 1, 0), nullptr);
  Probe held(scheduler, *holder, [&] {
    inside.set_value();
    go_on.get_future().wait();
  });
  inside.get_future().wait();

  const int64_t before = scheduler.counts().turns;
  int64_t of_file = 0, of_tokens = 0;
  std::vector<std::future<Scheduler::Kept>> prompts;
  for (int64_t i = 0; i < kPrompts; ++i)
    for (auto& entry : live)
      prompts.push_back(
          scheduler.prefill(*entry, random_rows(random, 300, int32_t(300 * i)), nullptr));
  scheduler.prefill(*file, random_rows(random, 600, 0), nullptr);
  for (int32_t i = 0; i < kTokens; ++i) scheduler.decode(*speaker, i, {i, i, i});
  Probe file_done(scheduler, *file, [&] { of_file = scheduler.counts().turns - before; }),
      tokens_done(scheduler, *speaker, [&] { of_tokens = scheduler.counts().turns - before; });
  go_on.set_value();
  file_done.wait();
  tokens_done.wait();
  held.wait();
  for (auto& prompt : prompts) prompt.get();
  EXPECT_EQ(of_tokens, kTokens) << "a token in every turn, whatever prompts wait";
  EXPECT_LE(of_file, 2 * (Scheduler::kMostTurnsPassedOver + kLive + 1)) << "two pieces";
  EXPECT_EQ(scheduler.counts().turns - before, kLive * kPrompts + 1);
  for (auto& entry : live) scheduler.wait(scheduler.close(entry));
  for (auto& entry : {holder, file, speaker}) scheduler.wait(scheduler.close(entry));
  EXPECT_EQ(scheduler.counts().pages, 0);
}

// Of sixteen that want the same none is ahead of another by more than a turn of tokens, and a round
// of prompts.
TEST_F(Scheduling, SixteenAreServedAlike) {
  constexpr size_t kSequences = 16;
  constexpr int32_t kPrompts = 5, kRows = Scheduler::kMostPromptRows / 2 + 1, kTokens = 20;
  Scheduler scheduler(model_, pool_);
  std::mt19937 random(14);
  const auto holder = scheduler.open(Scheduler::Priority::file, false);
  std::vector<std::shared_ptr<Scheduler::Entry>> readers, speakers;
  for (size_t i = 0; i < kSequences; ++i) {
    readers.push_back(scheduler.open(Scheduler::Priority::file, false));
    speakers.push_back(scheduler.open(Scheduler::Priority::file, false));
  }
  std::promise<void> inside, go_on;
  scheduler.prefill(*holder, random_rows(random, 1, 0), nullptr);
  Probe held(scheduler, *holder, [&] {
    inside.set_value();
    go_on.get_future().wait();
  });
  inside.get_future().wait();

  const int64_t before = scheduler.counts().turns;
  std::vector<int64_t> read(kSequences), spoken(kSequences);  // turns until all was computed
  std::vector<std::unique_ptr<Probe>> probes;
  const auto note = [&](Scheduler::Entry& entry, int64_t& turns) {
    probes.push_back(std::make_unique<Probe>(scheduler, entry,
                                             [&] { turns = scheduler.counts().turns - before; }));
  };
  for (size_t i = 0; i < kSequences; ++i) {
    for (int32_t k = 0; k < kPrompts; ++k)
      scheduler.prefill(*readers[i], random_rows(random, kRows, kRows * k), nullptr);
    note(*readers[i], read[i]);
    for (int32_t k = 0; k < kTokens; ++k) scheduler.decode(*speakers[i], k, {k, k, k});
    note(*speakers[i], spoken[i]);
  }
  go_on.set_value();
  held.wait();
  for (auto& probe : probes) probe->wait();
  const auto [first, last] = std::minmax_element(read.begin(), read.end());
  EXPECT_EQ(*last, int64_t(kSequences * kPrompts)) << "a prompt a turn";
  EXPECT_GE(*first, *last - int64_t(kSequences) + 1) << "the last ones one after the other";
  EXPECT_GE(double(*first), 0.8 * double(*last));
  EXPECT_EQ(spoken, std::vector<int64_t>(kSequences, kTokens)) << "a token in every turn";
  for (auto* entries : {&readers, &speakers})
    for (auto& entry : *entries) scheduler.wait(scheduler.close(entry));
  scheduler.wait(scheduler.close(holder));
}

// On a device: what is drawn together there, and what has to come to the host, is what each would
// have drawn alone.
class SchedulingOn : public Scheduling, public testing::WithParamInterface<const char*> {};

TEST_P(SchedulingOn, DrawnTogetherIsDrawnAlone) {
  const Device* device = open_test_device(GetParam());
  const Family family = load_family(
      {OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint", Precision::float32, device},
      {});
  Scheduler scheduler(*family.text, pool_);
  const SamplingOptions hows[] = {{},
                                  {.temperature = 1, .top_k = 20, .repetition_penalty = 1.3},
                                  {.repetition_penalty = 2},
                                  {.temperature = 1, .top_k = 0},
                                  {.temperature = 2, .top_p = 0.9, .top_k = 1000}};
  constexpr size_t kSequences = std::size(hows);
  constexpr int32_t kPrompt = 2, kTokens = 3;
  std::vector<std::shared_ptr<Scheduler::Entry>> entries;
  std::vector<Sampler> samplers;
  std::vector<std::vector<int32_t>> alone, together;
  const auto begin = [&] {
    samplers.clear(), entries.clear();
    std::mt19937 random(3);
    for (size_t i = 0; i < kSequences; ++i) {
      samplers.emplace_back(i + 1);
      entries.push_back(scheduler.open(Scheduler::Priority::file, false));
      scheduler.wait(scheduler.prefill(*entries[i], random_rows(random, kPrompt, 0), nullptr));
    }
    return std::vector<std::vector<int32_t>>(kSequences, std::vector<int32_t>{1, 2, 3});
  };
  const auto ask = [&](size_t i, int32_t at, std::span<const int32_t> history) {
    return scheduler.draw(*entries[i], {.sampler = &samplers[i],
                                        .options = &hows[i],
                                        .mask = nullptr,
                                        .history = history,
                                        .with_probability = true,
                                        .next = {at, at, at},
                                        .is_stop = [](int32_t) { return false; }});
  };
  const auto end = [&] {
    for (auto& entry : entries) scheduler.wait(scheduler.close(entry));
  };

  alone = begin();
  for (size_t i = 0; i < kSequences; ++i)
    for (int32_t at = kPrompt; at < kPrompt + kTokens; ++at) {
      alone[i].push_back(scheduler.wait(ask(i, at, alone[i])).id);
      scheduler.wait(scheduler.decode(*entries[i], alone[i].back(), {at, at, at}));
    }
  end();
  together = begin();
  for (int32_t at = kPrompt; at < kPrompt + kTokens; ++at) {
    std::vector<std::future<Scheduler::Choice>> drawn;
    for (size_t i = 0; i < kSequences; ++i) drawn.push_back(ask(i, at, together[i]));
    for (size_t i = 0; i < kSequences; ++i) {
      const Scheduler::Choice choice = scheduler.wait(std::move(drawn[i]));
      EXPECT_GT(choice.probability, 0);
      together[i].push_back(choice.id);
      scheduler.wait(scheduler.decode(*entries[i], choice.id, {at, at, at}));
    }
  }
  end();
  EXPECT_EQ(alone, together);
}
INSTANTIATE_TEST_SUITE_P(Devices, SchedulingOn, testing::ValuesIn(test_devices()),
                         [](const auto& p) { return std::string(p.param); });

TEST_F(Scheduling, OutOfPagesIsOneSequencesError) {
  const size_t page = model_.kv_layout(DType::f32).page_bytes();
  std::mt19937 random(6);
  // a slab for each lane that is used, and some
  Scheduler scheduler(model_, pool_,
                      {.most_kv_bytes = std::max<size_t>(12 * page, size_t{2} << 20)});
  Sequence small(scheduler, options()), greedy(scheduler, options());
  const Rows prompt = random_rows(random, 50, 0);
  small.prefill(prompt);
  const std::vector<float> before = small.logits();
  int64_t n = 0;
  try {
    for (;; n += 400) greedy.prefill(random_rows(random, 400, int32_t(n)));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::out_of_memory);
    EXPECT_NE(std::string(e.what()).find("context"), std::string::npos) << e.what();
  }
  EXPECT_EQ(greedy.length(), n) << "none of the rows that found no room";
  EXPECT_EQ(small.logits(), before);
  small.decode(5);
  EXPECT_EQ(small.logits().size(), before.size());
  greedy.clear();
  greedy.prefill(prompt);
  EXPECT_EQ(greedy.logits(), before);
}

TEST_F(Scheduling, WhatIsNoNumberIsOneSequencesError) {
  std::mt19937 random(7);
  Scheduler scheduler(model_, pool_);
  Sequence sound(scheduler, options()), damaged(scheduler, options());
  sound.prefill(random_rows(random, 20, 0));
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> values(size_t(4 * model_.hidden()), 0.1f);
    values[7] = bad;
    damaged.prefill(random_rows(random, 4, 0, Lane::vision), values.data());
    Sampler sampler(1);
    try {
      damaged.choose(sampler, {}, nullptr, false);
      ADD_FAILURE() << "chose a token";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::corrupt_file) << e.what();
    }
    EXPECT_GE(sound.choose(sampler, {}, nullptr, false).id, 0);
    damaged.clear();
  }
}

TEST_F(Scheduling, PagesOfBFloat16) {
  std::mt19937 random(9);
  const Rows prompt = random_rows(random, 400, 0);
  Scheduler exact(model_, pool_), rounded(model_, pool_, {.kv_type = DType::bf16});
  Sequence a(exact), b(rounded);
  a.prefill(prompt);
  b.prefill(prompt);
  const std::vector<float> x = a.logits(), y = b.logits();
  double worst = 0, scale = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    worst = std::max(worst, double(std::abs(x[i] - y[i])));
    scale = std::max(scale, double(std::abs(x[i])));
  }
  EXPECT_LT(worst / scale, 0.03);
  EXPECT_GT(worst / scale, 0);
}

TEST_F(Scheduling, AWrongQuestionIsAnError) {
  Scheduler scheduler(model_, pool_);
  Sequence s(scheduler);
  EXPECT_THROW(s.logits(), Error) << "behind nothing";
  s.clear();
  std::mt19937 random(10);
  s.prefill(random_rows(random, 5, 0));
  EXPECT_FALSE(s.logits().empty());
}

}  // namespace
}  // namespace omni
