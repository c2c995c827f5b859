// Qwen3-VL with mixtures of experts beyond the boundaries that parity_test compares: how its files
// may store the experts, precisions, rows that do not depend on one another, and files that are
// wrong.
#include <gtest/gtest.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/cpu_level.h"
#include "interface/lone_sequence.h"
#include "io/quantize_cache.h"
#include "io/safetensors.h"
#include "models/checkpoint_copy.h"
#include "models/devices.h"
#include "models/load_error.h"
#include "models/registry.h"
#include "omni/checkpoint.h"
#include "omni/engine.h"
#include "qwen/config.h"

namespace omni {
namespace {

namespace fs = std::filesystem;

// "a" with the matrices of experts [n_out, n_in], as transformers 5 writes them; "b" transposed, as
// published.
const fs::path kFixtures = OMNI_SOURCE_DIR "/tests/fixtures/qwen3_vl_moe",
               kCheckpoint = kFixtures / "a/checkpoint", kPublished = kFixtures / "b/checkpoint";

struct Loaded {
  Loaded(const fs::path& folder, Precision precision, const Device* device = nullptr)
      : arena(device), family(load_family({folder, precision, device, {&pool, nullptr}}, {})) {}

  // [n, vocabulary] behind each of `ids`.
  std::vector<float> logits(std::span<const int32_t> ids) {
    const TextModel& text = *family.text;
    LoneSequence sequence(text);
    std::vector<Position> positions;
    for (int32_t i = 0; i < int32_t(ids.size()); ++i) positions.push_back({i, i, i});
    const Tensor hidden = sequence.forward(text, cx, text.embed(cx, ids), positions);
    std::vector<float> room;
    const auto values = ops::to_host(cx, text.logits(cx, hidden), room);
    return {values.begin(), values.end()};
  }

  ThreadPool pool{2};
  Arena arena;
  ops::Context cx{pool, arena};
  Family family;
};

const std::vector<int32_t> kIds = {5, 91, 300, 7, 7, 250, 12, 33, 399, 1, 64};

// --- how the experts are stored

bool is_stack(const std::string& name) { return name.find(".experts.") != std::string::npos; }

Tensor transposed(const Tensor& x) {
  const int64_t n = x.dim(0), rows = x.dim(1), columns = x.dim(2);
  Tensor y = Tensor::zeros(x.dtype(), {n, columns, rows});
  const auto* from = static_cast<const uint16_t*>(x.raw());
  auto* to = static_cast<uint16_t*>(y.raw());
  for (int64_t e = 0; e < n; ++e)
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c)
        to[(e * columns + c) * rows + r] = from[(e * rows + r) * columns + c];
  return y;
}

// One by one, as Qwen3-MoE stores them.
void put_each(const std::string& name, const Tensor& all, Tensors& tensors) {
  const std::string scope = name.substr(0, name.find(".experts.") + 9);
  const bool is_down = name.ends_with("down_proj");
  for (int64_t e = 0; e < all.dim(0); ++e) {
    const Tensor one = all.rows(e, e + 1).reshape({all.dim(1), all.dim(2)});
    const std::string expert = scope + std::to_string(e) + ".";
    const int64_t half = one.dim(0) / 2;
    if (is_down) {
      tensors[expert + "down_proj.weight"] = one;
    } else {
      tensors[expert + "gate_proj.weight"] = one.rows(0, half);
      tensors[expert + "up_proj.weight"] = one.rows(half, 2 * half);
    }
  }
}

TEST(Experts, EveryLayoutIsTheSameModel) {
  for (const Precision precision : {Precision::float32, Precision::int8, Precision::int4}) {
    const auto want = Loaded(kCheckpoint, precision).logits(kIds);
    CheckpointCopy copy(kCheckpoint, "experts_layouts");
    copy.rewrite([](const std::string& name, const Tensor& t, Tensors& tensors) {
      tensors[name] = is_stack(name) ? transposed(t) : t;
    });
    EXPECT_EQ(Loaded(copy.folder(), precision).logits(kIds), want) << "transposed";
    copy.rewrite([](const std::string& name, const Tensor& t, Tensors& tensors) {
      is_stack(name) ? put_each(name, t, tensors) : void(tensors[name] = t);
    });
    EXPECT_EQ(Loaded(copy.folder(), precision).logits(kIds), want) << "one by one";
  }
}

TEST(Experts, StoredAsFloat32) {
  CheckpointCopy copy(kPublished, "experts_wide");
  copy.rewrite([](const std::string& name, const Tensor& t, Tensors& tensors) {
    tensors[name] = to_f32(t);
  });
  EXPECT_EQ(Loaded(copy.folder(), Precision::int8).logits(kIds),
            Loaded(kPublished, Precision::int8).logits(kIds));
}

// --- what is computed

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i)
    ab += double(a[i]) * b[i], aa += double(a[i]) * a[i], bb += double(b[i]) * b[i];
  return ab / std::sqrt(aa * bb);
}

// A rounded weight may send a row to another expert, which is not close at all: not of these rows.
TEST(Experts, PrecisionsAreCloseToFloat32) {
  const auto ids = std::span(kIds).first(5);
  const auto exact = Loaded(kCheckpoint, Precision::float32).logits(ids);
  for (const char* name : test_devices()) {
    const Device* device = open_test_device(name);
    const auto close = [&](Precision p) {
      return cosine(exact, Loaded(kCheckpoint, p, device).logits(ids));
    };
    EXPECT_GT(close(Precision::bfloat16), 0.9995) << name;
    EXPECT_GT(close(Precision::int8), 0.999) << name;
    EXPECT_GT(close(Precision::int4), 0.9) << name;
    EXPECT_LT(close(Precision::int4), 0.9999) << name << ": it is four bits";
  }
}

TEST(Experts, TheSecondStartFindsWhatTheFirstMade) {
  const fs::path cache = fs::temp_directory_path() / ("omni_experts_" + std::to_string(::getpid()));
  const auto load = [&] {
    ThreadPool pool(2);
    auto kept = std::make_shared<QuantizeCache>(cache);
    load_family({kPublished, Precision::int4, nullptr, {&pool, kept}}, {});
    return std::pair(kept->n_made(), kept->n_found());
  };
  const auto first = load(), second = load();
  EXPECT_EQ(second, std::pair(0, first.first));
  EXPECT_TRUE(fs::exists(cache / ("model.language_model.layers.1.mlp.experts.down_proj.transposed"
                                  ".int4.safetensors")));
  fs::remove_all(cache);
}

// Two sequences in one forward, whichever experts the rows of the other go to.
// oneDNN multiplies many rows of bfloat16 by AMX where there is one and few by AVX-512, which sums
// in another order.
bool has_matrix_units() {
#if defined(__x86_64__)
  constexpr unsigned kAmxBf16 = 1u << 22;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxBf16) != 0;
#else
  return false;
#endif
}

TEST(Experts, RowsTogetherAndAloneHaveTheSameBits) {
  if (cpu_level() == CpuLevel::portable) GTEST_SKIP() << "the reference promises no bits";
  for (const Precision precision : {Precision::bfloat16, Precision::int4}) {
    // routers stay bfloat16
    const bool rounds = cpu_level() == CpuLevel::avx512 && has_matrix_units();
    const auto expect_same = [&](const std::vector<float>& x, const std::vector<float>& y) {
      ASSERT_EQ(x.size(), y.size());
      for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], rounds ? 1e-2 : 0) << i;
    };
    Loaded m(kCheckpoint, precision);
    const TextModel& text = *m.family.text;
    const std::vector<int32_t> others(kIds.rbegin(), kIds.rend());
    KvPages pages(text.kv_layout(text.kv_type()));
    ForwardWorkspace workspace(kLanes);
    // hidden states of the first `n` of both, in pieces
    const auto run = [&](bool first, bool second, size_t piece) {
      PagedState a(pages, kLanes), b(pages, kLanes);
      std::vector<float> of_first;
      for (size_t begin = 0; begin < kIds.size(); begin += piece) {
        const size_t end = std::min(kIds.size(), begin + piece);
        std::vector<int32_t> ids;
        std::vector<Position> positions;
        for (size_t i = begin; i < end; ++i)
          positions.push_back({int32_t(i), int32_t(i), int32_t(i)});
        std::vector<SequenceRows> rows;
        const auto add = [&](SequenceState& state, const std::vector<int32_t>& of) {
          rows.push_back({&state, positions});
          ids.insert(ids.end(), of.begin() + std::ptrdiff_t(begin),
                     of.begin() + std::ptrdiff_t(end));
        };
        if (second) add(b, others);
        if (first) add(a, kIds);
        Arena::Scope scope(m.arena);
        const Tensor y = text.forward(m.cx, text.embed(m.cx, ids), rows, workspace);
        const auto n = int64_t(end - begin);
        const Tensor mine = y.rows(y.dim(0) - n, y.dim(0));
        of_first.insert(of_first.end(), mine.f32(), mine.f32() + mine.numel());
      }
      return of_first;
    };
    const auto alone = run(true, false, kIds.size());
    expect_same(run(true, true, kIds.size()), alone);
    expect_same(run(true, true, 1), run(true, false, 1));
  }
}

// --- what the files say

TEST(Experts, LayersThatHaveAny) {
  qwen::ExpertsConfig c;
  EXPECT_FALSE(c.are_in_layer(0)) << "a model without";
  c.n = 4;
  EXPECT_TRUE(c.are_in_layer(0) && c.are_in_layer(1));
  c.mlp_only_layers = {1, 3};
  EXPECT_TRUE(c.are_in_layer(0) && !c.are_in_layer(1) && c.are_in_layer(2));
  c.decoder_sparse_step = 3;
  EXPECT_TRUE(!c.are_in_layer(0) && !c.are_in_layer(1) && c.are_in_layer(2) && c.are_in_layer(5));
  c.mlp_only_layers = {2};
  EXPECT_FALSE(c.are_in_layer(2));
}

TEST(Experts, EitherNameOfTheirNumber) {
  CheckpointCopy copy(kCheckpoint, "experts_number");
  nlohmann::json j = copy.original("config.json");
  auto& text = j["text_config"];
  text["num_experts"] = text["num_local_experts"];
  text.erase("num_local_experts");
  copy.write("config.json", j.dump());
  EXPECT_EQ(Loaded(copy.folder(), Precision::float32).logits(kIds),
            Loaded(kCheckpoint, Precision::float32).logits(kIds));
}

// Experts count as the text model's matrices.
TEST(Experts, MemoryThatIsNeeded) {
  const CheckpointInfo info = read_checkpoint(kCheckpoint.string());
  EXPECT_EQ(info.family, "qwen3_vl_moe");
  EXPECT_EQ(info.abilities.describe(), "takes video and images and writes text");
  int64_t experts = 0;
  const auto file = Safetensors::open(kCheckpoint / "model.safetensors");
  for (const std::string& name : file->names())
    if (is_stack(name)) experts += file->get(name).numel();
  ASSERT_EQ(info.needs.size(), 4u);
  EXPECT_LT(info.needs[3].bytes, info.needs[2].bytes - int64_t(0.4 * double(experts)));
}

// --- files that are wrong

TEST(ExpertsErrors, Configuration) {
  expect_errors(
      kCheckpoint, "experts_wrong",
      {
          {"config.json", "/text_config/num_local_experts", "0", kCorrupt, "num_local_experts"},
          {"config.json", "/text_config/num_local_experts", "1025", kCorrupt, "num_local_experts"},
          {"config.json", "/text_config/num_local_experts", "9", kCorrupt,
           "mlp.gate.weight is [8, 64]"},
          {"config.json", "/text_config/num_local_experts", "null", kCorrupt, "num_experts"},
          {"config.json", "/text_config/num_experts_per_tok", "9", kCorrupt, "num_experts_per_tok"},
          {"config.json", "/text_config/num_experts_per_tok", "0", kCorrupt, "num_experts_per_tok"},
          {"config.json", "/text_config/moe_intermediate_size", "41", kCorrupt,
           "mlp.experts.gate_up_proj is [8, 80, 64]"},
          {"config.json", "/text_config/moe_intermediate_size", "null", kCorrupt,
           "moe_intermediate_size"},
          {"config.json", "/text_config/decoder_sparse_step", "0", kCorrupt, "decoder_sparse_step"},
          {"config.json", "/text_config/decoder_sparse_step", "2", kMissing,
           "layers.0.mlp.gate_proj.weight"},
          {"config.json", "/text_config/mlp_only_layers", "[]", kMissing,
           "layers.1.mlp.gate.weight"},
          {"config.json", "/text_config/mlp_only_layers", "[-1]", kCorrupt, "mlp_only_layers[0]"},
          {"config.json", "/text_config/mlp_only_layers", "7", kCorrupt, "mlp_only_layers"},
          {"config.json", "/text_config/norm_topk_prob", "false", kUnsupported,
           "norm_topk_prob is false"},
          {"config.json", "/text_config/attention_bias", "true", kUnsupported, "attention_bias"},
          {"config.json", "/text_config/hidden_act", "\"gelu\"", kUnsupported, "hidden_act"},
      });
}

TEST(ExpertsErrors, ThatAreMissingOrOfAnotherShape) {
  CheckpointCopy copy(kCheckpoint, "experts_missing");
  for (const char* end : {"layers.2.mlp.gate.weight", "layers.2.mlp.experts.down_proj"}) {
    copy.lose(end, true);
    std::string said = error_of(copy.folder(), ErrorCode::not_found);
    EXPECT_NE(said.find(end), std::string::npos) << said;
    copy.lose(end, false);
    said = error_of(copy.folder(), ErrorCode::corrupt_file);
    EXPECT_NE(said.find(end), std::string::npos) << said;
  }
  copy.lose("layers.0.mlp.experts.gate_up_proj", true);
  EXPECT_NE(error_of(copy.folder(), ErrorCode::not_found).find("experts.0.gate_proj.weight"),
            std::string::npos);
}

TEST(ExpertsErrors, OneOfThemIsMissing) {
  CheckpointCopy copy(kCheckpoint, "experts_one_missing");
  copy.rewrite([](const std::string& name, const Tensor& t, Tensors& tensors) {
    is_stack(name) ? put_each(name, t, tensors) : void(tensors[name] = t);
    tensors.erase("model.language_model.layers.2.mlp.experts.5.up_proj.weight");
  });
  EXPECT_NE(
      error_of(copy.folder(), ErrorCode::not_found).find("layers.2.mlp.experts.5.up_proj.weight"),
      std::string::npos);
}

TEST(ExpertsErrors, IntegersThatNobodyExplains) {
  CheckpointCopy copy(kCheckpoint, "experts_integers");
  copy.rewrite([](const std::string& name, const Tensor& t, Tensors& tensors) {
    tensors[name] = is_stack(name) ? Tensor::zeros(DType::i8, t.shape()) : t;
  });
  const std::string said = error_of(copy.folder(), ErrorCode::unsupported);
  EXPECT_NE(said.find("experts.gate_up_proj is of type I8"), std::string::npos) << said;
}

}  // namespace
}  // namespace omni
