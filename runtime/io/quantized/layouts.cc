#include "io/quantized/layouts.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/parallel.h"

namespace omni {

// --- reading

std::string module_name(const Weights& module) {
  std::string name = module.full_name("");
  if (!name.empty()) name.pop_back();
  return name;
}

int64_t require_bits(const Json& config, int64_t bits, std::initializer_list<int64_t> allowed) {
  std::string known;
  for (const int64_t b : allowed) {
    if (bits == b) return bits;
    known += (known.empty() ? "" : " or ") + std::to_string(b);
  }
  throw Error(ErrorCode::unsupported, config.where() + " says " + std::to_string(bits) +
                                          " bits a weight; " + known + " are read here");
}

int64_t group_columns(const Weights& module, int64_t group_size, int64_t n_in) {
  const int64_t group = group_size == -1 ? n_in : group_size;
  const auto says = [&] {
    return module_name(module) + ": groups of " + std::to_string(group_size) + " weights";
  };
  if (group < 1) throw Error(ErrorCode::corrupt_file, says());
  if (n_in % group != 0)
    throw Error(ErrorCode::unsupported,
                says() + " in a row of " + std::to_string(n_in) + ", which they do not divide");
  return group;
}

namespace {
Tensor get_there(const Weights& module, const std::string& name, const Shape& shape) {
  if (!module.has(name))
    throw Error(ErrorCode::corrupt_file, module_name(module) + " is quantized, but has no " + name);
  return module.get(name, shape);
}
}  // namespace

Tensor get_exactly(const Weights& module, const std::string& name, DType type, const Shape& shape) {
  const Tensor t = get_there(module, name, shape);
  if (t.dtype() != type)
    module.fail(name, ErrorCode::corrupt_file,
                std::string("is of type ") + name_of(t.dtype()) + ", not " + name_of(type));
  return t;
}

Tensor get_scales(const Weights& module, const std::string& name, const Shape& shape) {
  const Tensor stored = get_there(module, name, shape);
  if (!is_floating(stored.dtype()))
    module.fail(
        name, ErrorCode::corrupt_file,
        std::string("is of type ") + name_of(stored.dtype()) + ", scales are floating-point");
  const Tensor scales = to_f32(stored);
  if (!std::all_of(scales.f32(), scales.f32() + scales.numel(),
                   [](float x) { return std::isfinite(x); }))
    module.fail(name, ErrorCode::corrupt_file, "has a scale that is NaN or infinite");
  return scales;
}

Tensor inputs_by_group(const Weights& module, const std::string& name, const Tensor& group_of,
                       int64_t group) {
  const int64_t n_in = group_of.numel(), n_groups = n_in / group;
  const auto of = [&](int64_t i) -> int64_t {
    return group_of.dtype() == DType::i64 ? group_of.i64()[i]
                                          : static_cast<const int32_t*>(group_of.raw())[i];
  };
  Tensor inputs = Tensor::zeros(DType::i32, {n_in});
  auto* const order = static_cast<int32_t*>(inputs.raw());
  std::vector<int64_t> filled(static_cast<size_t>(n_groups));
  bool moved = false;
  for (int64_t i = 0; i < n_in; ++i) {
    const int64_t g = of(i);
    if (g < 0 || g >= n_groups)
      module.fail(name, ErrorCode::corrupt_file,
                  "puts column " + std::to_string(i) + " into group " + std::to_string(g) + " of " +
                      std::to_string(n_groups));
    int64_t& n = filled[static_cast<size_t>(g)];
    if (n == group)
      module.fail(
          name, ErrorCode::corrupt_file,
          "puts more than " + std::to_string(group) + " columns into group " + std::to_string(g));
    order[g * group + n++] = int32_t(i);
    moved |= g != i / group;
  }
  return moved ? inputs : Tensor();
}

// --- unpacking

Tensor transpose(const Tensor& x, ThreadPool* pool) {
  constexpr int64_t kTile = 16;  // a cache line
  const int64_t n = x.dim(0), m = x.dim(1);
  Tensor y = Tensor::zeros(x.dtype(), {m, n});
  const auto* from = static_cast<const uint32_t*>(x.raw());
  auto* to = static_cast<uint32_t*>(y.raw());
  parallel_for(pool, (m + kTile - 1) / kTile, double(n * m), [&](int64_t tile) {
    const int64_t c0 = tile * kTile, c1 = std::min(m, c0 + kTile);
    for (int64_t r0 = 0; r0 < n; r0 += kTile)
      for (int64_t c = c0; c < c1; ++c)
        for (int64_t r = r0; r < std::min(n, r0 + kTile); ++r) to[c * n + r] = from[r * m + c];
  });
  return y;
}

namespace {

// The same bytes under another type and shape.
Tensor as(const Tensor& x, DType type, Shape shape) {
  return Tensor::view(const_cast<void*>(x.raw()), type, shape, std::make_shared<Tensor>(x));
}

bool all_equal(const Tensor& bytes, uint8_t value) {
  const auto* p = static_cast<const uint8_t*>(bytes.raw());
  return std::all_of(p, p + bytes.numel(), [&](uint8_t x) { return x == value; });
}

// body(row, its words), rows shared out.
template <class Body>
void for_rows(const Tensor& words, int64_t n_in, ThreadPool* pool, const Body& body) {
  const int64_t n_out = words.dim(0), width = words.dim(1);
  const auto* all = static_cast<const uint32_t*>(words.raw());
  parallel_for(pool, n_out, double(n_out * n_in), [&](int64_t o) { body(o, all + o * width); });
}

}  // namespace

Matrix unpack_rows(const Tensor& words, int bits, const Tensor& scales, const Tensor& zeros,
                   const Tensor& inputs, int64_t n_in, ThreadPool* pool) {
  const int64_t n_out = words.dim(0), n_groups = scales.dim(1), group = n_in / n_groups;
  const auto* order = static_cast<const int32_t*>(inputs.raw());
  const auto column = [order](int64_t i) { return order ? order[i] : i; };
  Matrix w;
  w.n_out = n_out;
  w.n_in = n_in;
  w.group = group;
  w.scales = scales;
  w.inputs = inputs;
  if (bits == 4) {
    w.format = WeightFormat::int4;
    w.zeros = zeros;
    if (!order) {
      w.values = as(words, DType::u8, {n_out, n_in / 2});
      return w;
    }
    w.values = Tensor::zeros(DType::u8, {n_out, n_in / 2});
    for_rows(words, n_in, pool, [&](int64_t o, const uint32_t* row) {
      auto* out = static_cast<uint8_t*>(w.values.raw()) + o * n_in / 2;
      for (int64_t i = 0; i < n_in; i += 2)
        out[i / 2] = uint8_t(unpacked(row, column(i), 4) | unpacked(row, column(i + 1), 4) << 4);
    });
    return w;
  }
  if (!zeros.defined() || all_equal(zeros, 128)) {
    w.format = WeightFormat::int8;
    w.values = Tensor::zeros(DType::i8, {n_out, n_in});
    for_rows(words, n_in, pool, [&](int64_t o, const uint32_t* row) {
      auto* out = static_cast<int8_t*>(w.values.raw()) + o * n_in;
      for (int64_t i = 0; i < n_in; ++i) out[i] = int8_t(unpacked(row, column(i), 8) - 128);
    });
    return w;
  }
  Tensor dense = Tensor::zeros(DType::f32, {n_out, n_in});
  for_rows(words, n_in, pool, [&](int64_t o, const uint32_t* row) {
    const float* s = scales.f32() + o * n_groups;
    const auto* z = static_cast<const uint8_t*>(zeros.raw()) + o * n_groups;
    for (int64_t i = 0; i < n_in; ++i)
      dense.f32()[o * n_in + column(i)] =
          float(unpacked(row, column(i), 8) - z[i / group]) * s[i / group];
  });
  return Matrix(dense);
}

}  // namespace omni
