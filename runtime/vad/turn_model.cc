#include "vad/turn_model.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "audio/log_mel.h"
#include "core/log.h"
#include "io/config_keys.h"
#include "io/json.h"

namespace omni {

namespace {

constexpr double kVarianceEps = 1e-7;
constexpr float kEps = 1e-5f;
constexpr int kMost = 1 << 14;
constexpr int kMostPositions = 1500;  // 30 s
constexpr ConfigKey kKeys[] = {
    {"model_type", ConfigKey::read},
    {"activation_function", ConfigKey::read},
    {"d_model", ConfigKey::read},
    {"encoder_layers", ConfigKey::read},
    {"encoder_attention_heads", ConfigKey::read},
    {"encoder_ffn_dim", ConfigKey::read},
    {"num_mel_bins", ConfigKey::read},
    {"max_source_positions", ConfigKey::read},
    {"pool_size", ConfigKey::read},
    {"classifier_sizes", ConfigKey::read},
};

// What the samples behind zeros for a whole window are with a mean of 0 and a variance of 1.
std::vector<float> normalised(std::span<const float> samples, int64_t window) {
  double sum = 0, squares = 0;
  for (const float x : samples) sum += x;
  const double mean = sum / double(window);
  const auto n_zeros = size_t(window) - samples.size();
  squares = double(n_zeros) * mean * mean;
  for (const float x : samples) squares += (x - mean) * (x - mean);
  const double scale = 1 / std::sqrt(squares / double(window) + kVarianceEps);
  std::vector<float> out(size_t(window), float(-mean * scale));
  std::transform(samples.begin(), samples.end(), out.begin() + std::ptrdiff_t(n_zeros),
                 [&](float x) { return float((x - mean) * scale); });
  return out;
}

void tanh_(Tensor& x) {
  for (float& v : std::span(x.f32(), size_t(x.numel()))) v = std::tanh(v);
}

}  // namespace

struct TurnModel::Config {
  whisper::Config encoder{};
  int64_t pool, hidden, inner;  // of the head

  explicit Config(const Json& j) {
    if (const std::string type = j.at("model_type").string(); type != "smart_turn")
      throw Error(ErrorCode::unsupported,
                  j.where() + ": model_type " + type + " is no model of turns; smart_turn is one");
    if (const std::string f = j.string_or("activation_function", "gelu"); f != "gelu")
      j.at("activation_function").fail("is " + f + "; gelu is computed here");
    const auto size = [&](const char* key) { return int(j.integer(key, 1, kMost)); };
    encoder.d_model = size("d_model");
    encoder.encoder_layers = int(j.integer("encoder_layers", 1, 1024));
    encoder.encoder_attention_heads = size("encoder_attention_heads");
    encoder.encoder_ffn_dim = size("encoder_ffn_dim");
    encoder.num_mel_bins = int(j.integer("num_mel_bins", 1, 1024));
    encoder.max_source_positions = int(j.integer("max_source_positions", 1, kMostPositions));
    if (encoder.d_model % encoder.encoder_attention_heads)
      j.fail("has a d_model that is not a multiple of its heads");
    pool = size("pool_size");
    const auto sizes = j.at("classifier_sizes").integers(1, kMost);
    if (sizes.size() != 2) j.at("classifier_sizes").fail("has not two numbers");
    hidden = sizes[0];
    inner = sizes[1];
  }
};

TurnModel::TurnModel(const std::filesystem::path& folder)
    : TurnModel(Config(Json::parse_file(folder / "config.json")), Weights::open(folder)) {
  for (const std::string& key : check_config_keys(folder))
    log(LogLevel::info, key + " is not known here and passed over");
}

std::vector<std::string> TurnModel::check_config_keys(const std::filesystem::path& folder) {
  const ConfigSection sections[] = {{"", kKeys, kPretrainedConfigKeys}};
  return check_keys(Json::parse_file(folder / "config.json"), sections);
}

TurnModel::TurnModel(const Config& c, const Weights& w)
    : n_mels_(c.encoder.num_mel_bins),
      window_(int64_t{2} * c.encoder.max_source_positions * LogMel::kHop),
      encoder_(w.scope("encoder"), c.encoder),
      pool_attention_0_(w.scope("pool_attention"), {{"0", c.pool}}, c.encoder.d_model, Bias::each),
      pool_attention_2_(w.scope("pool_attention"), {{"2", 1}}, c.pool, Bias::each),
      classifier_0_(w.scope("classifier"), {{"0", c.hidden}}, c.encoder.d_model, Bias::each),
      classifier_4_(w.scope("classifier"), {{"4", c.inner}}, c.hidden, Bias::each),
      classifier_6_(w.scope("classifier"), {{"6", 1}}, c.inner, Bias::each),
      classifier_1_(w.scope("classifier").scope("1"), c.hidden, kEps) {}

Tensor TurnModel::features(ops::Context& cx, std::span<const float> samples) const {
  const int64_t n = window_ / LogMel::kHop;
  LogMel log_mel(n_mels_, {}, LogMel::Tail::reflects);
  std::vector<float> frames;
  frames.reserve(size_t(n * n_mels_));
  log_mel.push(normalised(samples, window_), frames);
  log_mel.finish(frames);
  LogMel::normalise(frames, *std::max_element(frames.begin(), frames.end()));
  Tensor mel = cx.arena.f32({n, n_mels_});
  std::copy(frames.begin(), frames.end(), mel.f32());
  return mel;
}

Tensor TurnModel::pooled(ops::Context& cx, const Tensor& states) const {
  const int64_t n = states.dim(0), d = states.dim(1);
  Tensor h = pool_attention_0_(cx, states);  // [n, pool_size]
  tanh_(h);
  const Tensor scores = pool_attention_2_(cx, h);  // [n, 1]
  const float highest = *std::max_element(scores.f32(), scores.f32() + n);
  std::vector<double> mean(size_t(d), 0.);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double weight = std::exp(double(scores.f32()[i]) - double(highest));
    sum += weight;
    for (int64_t k = 0; k < d; ++k) mean[size_t(k)] += weight * double(states.f32()[i * d + k]);
  }
  Tensor out = cx.arena.f32({1, d});
  for (int64_t k = 0; k < d; ++k) out.f32()[k] = float(mean[size_t(k)] / sum);
  return out;
}

float TurnModel::operator()(ops::Context& cx, std::span<const float> samples) const {
  Arena::Scope scope(cx.arena);
  samples = samples.last(std::min(samples.size(), size_t(window_)));
  const Tensor states = encoder_.forward(cx, features(cx, samples));  // [n, d_model]
  Tensor h = classifier_1_(cx, classifier_0_(cx, pooled(cx, states)));
  ops::gelu_(cx, h);
  h = classifier_4_(cx, h);
  ops::gelu_(cx, h);
  return 1 / (1 + std::exp(-classifier_6_(cx, h).f32()[0]));
}

}  // namespace omni
