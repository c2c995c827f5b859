// How the layers read their weights: several parts as one product, kernels tap after tap.
#include "layers/layers.h"

#include <cstring>

namespace omni {

namespace {

// Of integers, too, a device takes bfloat16 for x.
ops::MatmulPrecision products_of(const Weights& w) {
  const bool rounds =
      w.device() ? w.precision() != Precision::float32 : w.precision() == Precision::bfloat16;
  if (rounds) return ops::MatmulPrecision::bf16;
  return w.allows_tf32() ? ops::MatmulPrecision::tf32 : ops::MatmulPrecision::f32;
}

}  // namespace

std::shared_ptr<const ops::PackedMatrix> pack(const Weights& like, std::span<const Matrix> parts) {
  return ops::pack_linear(parts, products_of(like), like.device());
}

Linear::Linear(const Weights& w, std::initializer_list<Part> parts, int64_t n_in, Bias bias) {
  std::vector<Matrix> weights;
  int64_t n_out = 0;
  for (const Part& p : parts) {
    weights.push_back(w.matrix(p.name, p.n_out, n_in));
    n_out += p.n_out;
  }
  weight_ = pack(w, weights);
  for (const Part& p : parts) w.release(p.name + ".weight");
  if (bias == Bias::none) return;
  Tensor joined = Tensor::zeros(DType::f32, {n_out});
  int64_t first = 0;
  for (const Part& p : parts) {
    if (bias == Bias::each || w.has(p.name + ".bias")) {
      const Tensor b = w.get_f32(p.name + ".bias", {p.n_out});
      std::memcpy(joined.f32() + first, b.f32(), b.nbytes());
    }
    first += p.n_out;
  }
  bias_ = to_device(joined, w.device());
}

Conv1d::Conv1d(const Weights& w, int64_t c_in, int64_t c_out, const ops::Conv1dOptions& options,
               Bias bias)
    : options_(options) {
  const int kernel = options.kernel;
  const Tensor by_channel = w.get_f32("weight", {c_out, c_in, kernel});
  Tensor by_tap = Tensor::zeros(DType::f32, {c_out, kernel * c_in});
  for (int64_t o = 0; o < c_out; ++o)
    for (int64_t c = 0; c < c_in; ++c)
      for (int64_t t = 0; t < kernel; ++t)
        by_tap.f32()[(o * kernel + t) * c_in + c] = by_channel.f32()[(o * c_in + c) * kernel + t];
  weight_ = pack(w, by_tap);
  w.release("weight");
  if (bias != Bias::none) bias_ = w.load_f32("bias", {c_out});
}

SwiGluMlp::SwiGluMlp(const Weights& w, int64_t hidden, int64_t intermediate, Bias bias)
    : gate_up_proj_(w, {{"gate_proj", intermediate}, {"up_proj", intermediate}}, hidden, bias),
      down_proj_(w, {{"down_proj", hidden}}, intermediate, bias) {}

ops::Heads heads_of(const Tensor& qkv, int64_t offset, int n_heads, int head_dim) {
  return {static_cast<float*>(const_cast<void*>(qkv.raw())) + offset, qkv.dim(1), n_heads,
          head_dim};
}

}  // namespace omni
