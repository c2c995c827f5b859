// Products on oneDNN. W is cut into tiles of output columns, each packed once in the layout that
// oneDNN prefers; x into tiles of 64, 32 … 1 rows. A tile is one single-threaded oneDNN call, so
// that our pool shares the work out dynamically and nothing waits at an OpenMP barrier. oneDNN's
// fast kernels write dense tiles only (with a row stride it falls back to its reference): a tile of
// several rows is copied into place.
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "core/free_list.h"
#include "core/large_pages.h"
#include "cpu/gemv_avx512bf16.h"
#include "cpu/kernels.h"
#include "cpu/packed_matrix.h"
#include "cpu/scratch.h"

namespace omni::ops::cpu {
namespace {

using dnnl::memory;

constexpr int64_t kRowTile = 64;
// one thread, float32 and bfloat16: only to judge whether a wake-up pays
constexpr double kFlopPerNs[] = {80, 180};
constexpr double kBytesPerNs = 15;  // and the reading of weights
// oneDNN 3 sums a lone row in shorter pieces than several, as soon as it is longer than 1024.
constexpr bool kLoneRowDiffers = DNNL_VERSION_MAJOR >= 3;

const dnnl::engine& engine() {
  static const dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

dnnl::stream& stream() {
  thread_local dnnl::stream s(engine());
  return s;
}

// oneDNN asks OpenMP how many threads to use: one, for as long as this object lives.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }

 private:
  int before_;
};

struct Key {  // of one matmul primitive
  int64_t m, n, k;
  bool bf16, bias;
  auto operator<=>(const Key&) const = default;
};

memory::desc weights_any(const Key& key) {
  return {{key.k, key.n},
          key.bf16 ? memory::data_type::bf16 : memory::data_type::f32,
          memory::format_tag::any};
}

dnnl::matmul::primitive_desc describe(const Key& key, const memory::desc& weights) {
  const auto x_type = key.bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const memory::desc x({key.m, key.k}, x_type, memory::dims{key.k, 1});
  const memory::desc y({key.m, key.n}, memory::data_type::f32, memory::dims{key.n, 1});
  const memory::desc b({1, key.n}, memory::data_type::f32, memory::dims{key.n, 1});
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
  return key.bias ? dnnl::matmul::primitive_desc(engine(), x, weights, b, y, attr)
                  : dnnl::matmul::primitive_desc(engine(), x, weights, y, attr);
#else
  return key.bias ? dnnl::matmul::primitive_desc({x, weights, b, y}, attr, engine())
                  : dnnl::matmul::primitive_desc({x, weights, y}, attr, engine());
#endif
}

// The layout of a [k, n] tile: what oneDNN prefers at 64 rows, whatever the number of rows it is
// used with later.
memory::desc packed_layout(int64_t n, int64_t k, bool bf16) {
  static std::mutex lock;
  static std::map<std::tuple<int64_t, int64_t, bool>, memory::desc> known;
  std::lock_guard guard(lock);
  auto [it, is_new] = known.try_emplace({n, k, bf16});
  if (is_new) {
    const Key key{kRowTile, n, k, bf16, true};
    it->second = describe(key, weights_any(key)).weights_desc();
  }
  return it->second;
}

bool is_ba16a64b2a(const memory::desc& desc) {
  const memory::dims block{16, 64, 2}, axis{0, 1, 0};
#if DNNL_VERSION_MAJOR >= 3
  return desc.get_format_kind() == memory::format_kind::blocked && desc.get_inner_blks() == block &&
         desc.get_inner_idxs() == axis &&
         desc.get_strides() == memory::dims{16 * 64 * 2, desc.get_padded_dims()[0] * 64};
#else
  const auto& d = desc.data;
  const auto& b = d.format_desc.blocking;
  return d.format_kind == dnnl_blocked && b.inner_nblks == 3 &&
         std::equal(block.begin(), block.end(), b.inner_blks) &&
         std::equal(axis.begin(), axis.end(), b.inner_idxs) && b.strides[0] == 16 * 64 * 2 &&
         b.strides[1] == d.padded_dims[0] * 64;
#endif
}

// A matmul primitive of the process and the memory objects that its calls use: their pointers are
// exchanged for each call, so that a call allocates nothing, and there are as many as calls at one
// time. Primitives are not one a thread: descriptions take 20 KB each.
class Product {
 public:
  explicit Product(const Key& key)
      : bias_(key.bias),
        desc_(describe(key, packed_layout(key.n, key.k, key.bf16))),
        matmul_(desc_) {}

  void run(const void* px, const void* pw, const float* pb, float* py) {
    Loan<std::unique_ptr<Operands>> loan(free_);
    std::unique_ptr<Operands>& o = *loan;
    if (!o) o = make_operands();
    o->x.set_data_handle(const_cast<void*>(px));
    o->w.set_data_handle(const_cast<void*>(pw));
    o->y.set_data_handle(py);
    if (bias_) o->b.set_data_handle(const_cast<float*>(pb));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, o->x.get()},
                                    {DNNL_ARG_WEIGHTS, o->w.get()},
                                    {DNNL_ARG_DST, o->y.get()},
                                    {DNNL_ARG_SCRATCHPAD, o->scratchpad.get()},
                                    {DNNL_ARG_BIAS, o->b.get(true)}};
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(matmul_.get(), stream().get(), bias_ ? 5 : 4, args),
        "oneDNN could not run a product");
  }

 private:
  struct Operands {
    memory x, w, y, scratchpad, b;
  };

  std::unique_ptr<Operands> make_operands() const {
    return std::make_unique<Operands>(Operands{
        memory(desc_.src_desc(), engine(), nullptr),
        memory(desc_.weights_desc(), engine(), nullptr),
        memory(desc_.dst_desc(), engine(), nullptr), memory(desc_.scratchpad_desc(), engine()),
        bias_ ? memory(desc_.bias_desc(), engine(), nullptr) : memory()});
  }

  const bool bias_;
  const dnnl::matmul::primitive_desc desc_;
  const dnnl::matmul matmul_;
  FreeList<std::unique_ptr<Operands>> free_;
};

struct KeyHash {
  size_t operator()(const Key& k) const {
    size_t h = 0;
    for (int64_t v : {k.m, k.n, k.k, int64_t{k.bf16}, int64_t{k.bias}})
      h = (h ^ size_t(v)) * 0x9e3779b97f4a7c15u;
    return h;
  }
};

Product& product_of_process(const Key& key) {
  static std::mutex lock;
  static std::unordered_map<Key, std::unique_ptr<Product>, KeyHash> known;
  std::lock_guard guard(lock);
  auto& p = known[key];
  if (!p) p = std::make_unique<Product>(key);
  return *p;
}

// A thread asks the others once for each.
Product& product(const Key& key) {
  thread_local std::unordered_map<Key, Product*, KeyHash> known;
  Product*& p = known[key];
  if (!p) p = &product_of_process(key);
  return *p;
}

constexpr int64_t kMostColumns = 512;

;

// Columns a tile: small enough that its packed form stays in the cache while rows pass by, and
// enough tiles to share out.
int64_t column_tile(int64_t n_out, int64_t n_in) {
  const int64_t cached = std::max<int64_t>(64, (int64_t{512} << 10) / (n_in * 2) / 64 * 64);
  const int64_t shared = (n_out / 4 + 63) / 64 * 64;
  return std::clamp<int64_t>(std::min(cached, shared), 64, kMostColumns);
}

class OneDnnWeight final : public CpuMatrix {
 public:
  OneDnnWeight(std::span<const Matrix> parts, bool bf16)
      : CpuMatrix(parts),
        bf16_(bf16),
        tile_(std::min(n_out(), column_tile(n_out(), n_in()))),
        n_tiles_((n_out() + tile_ - 1) / tile_) {
    OneThread one;
    const int64_t last = n_out() - (n_tiles_ - 1) * tile_;
    own_gemv_ = bf16 && is_ba16a64b2a(packed_layout(tile_, n_in(), true)) &&
                is_ba16a64b2a(packed_layout(last, n_in(), true));
    tile_bytes_ = (packed_layout(tile_, n_in(), bf16).get_size() + 63) / 64 * 64;
    const size_t bytes =
        tile_bytes_ * size_t(n_tiles_ - 1) + packed_layout(last, n_in(), bf16).get_size();
    data_ = zeros_in_large_pages(DType::u8, {int64_t(bytes)});
    for (int64_t t = 0; t < n_tiles_; ++t) pack_tile(parts, t);
  }

  Rounding rounding() const override { return bf16_ ? Rounding::bf16 : Rounding::none; }

  void run(Context& cx, const float* x, int64_t n, const float* bias, float* y) const override {
    if (!bf16_) return run_operand(cx, x, n, bias, y);
    constexpr int64_t kRows = 16;
    const int64_t width = n_in();
    Tensor rounded = cx.arena.tensor(DType::bf16, {n, width});
    auto* r = static_cast<BFloat16*>(rounded.raw());
    cx.pool.parallel_for((n + kRows - 1) / kRows, 0.4 * double(n * width), [&](int64_t tile) {
      const int64_t first = tile * kRows, rows = std::min(kRows, n - first);
      kernels().round_bf16(x + first * width, rows * width, r + first * width);
    });
    run_operand(cx, r, n, bias, y);
  }

 private:
  // The second of two rows that are both x.
  const void* behind_itself(Context& cx, const void* x) const {
    const size_t bytes = size_t(n_in()) * (bf16_ ? 2 : 4);
    auto* two = static_cast<char*>(cx.arena.allocate(2 * bytes));
    for (int i = 0; i < 2; ++i) std::memcpy(two + size_t(i) * bytes, x, bytes);
    return two + bytes;
  }

  // x: float32 or bfloat16, as the primitives want it.
  void run_operand(Context& cx, const void* x, int64_t n, const float* bias, float* y) const {
    if (n == 1 && kLoneRowDiffers && !own_gemv_) x = behind_itself(cx, x);
    const int64_t row_tiles = n / kRowTile + (n % kRowTile != 0);
    const double flop = 2.0 * double(n) * double(n_out() * n_in());
    const double work = std::max(flop / kFlopPerNs[bf16_], double(data_.nbytes()) / kBytesPerNs);
    cx.pool.share(n_tiles_ * row_tiles, work, [&](ThreadPool::Tiles& tiles) {
      OneThread one;
      Scratch buffer;  // a tile, before its rows go where they lie apart
      for (int64_t tile; tiles.take(tile);) {
        const int64_t column = tile / row_tiles, row = tile % row_tiles * kRowTile;
        run_rows(column, x, row, std::min(n, row + kRowTile), bias, y, buffer);
      }
    });
  }

  // Rows [begin, end) of one column tile, in pieces whose sizes are powers of two: few primitives
  // serve every n. A lone row that differs goes with the one before it.
  void run_rows(int64_t column, const void* x, int64_t begin, int64_t end, const float* bias,
                float* y, Scratch& buffer) const {
    const int64_t n = std::min(tile_, n_out() - column * tile_), element = bf16_ ? 2 : 4;
    const void* w = static_cast<const char*>(data_.raw()) + tile_bytes_ * size_t(column);
    const float* b = bias ? bias + column * tile_ : nullptr;
    while (begin < end) {
      int64_t m = kRowTile;
      while (m > end - begin) m /= 2;
      float* out = y + begin * n_out() + column * tile_;
      if (m == 1 && own_gemv_) {
        gemv_bf16(static_cast<const BFloat16*>(x) + begin * n_in(), static_cast<const BFloat16*>(w),
                  b, n_in(), n, out);
        begin += m;
        continue;
      }
      const int64_t before = m == 1 && kLoneRowDiffers, rows = before + m;
      float* dense =
          rows == 1 || (n == n_out() && !before) ? out : buffer.f32(kRowTile * kMostColumns);
      product({rows, n, n_in(), bf16_, b != nullptr})
          .run(static_cast<const char*>(x) + (begin - before) * n_in() * element, w, b, dense);
      if (dense != out)
        for (int64_t i = 0; i < m; ++i)
          std::memcpy(out + i * n_out(), dense + (before + i) * n, size_t(n) * sizeof(float));
      begin += m;
    }
  }

  void pack_tile(std::span<const Matrix> parts, int64_t t) {
    const int64_t begin = t * tile_, n = std::min(tile_, n_out() - begin), k = n_in();
    // Gather the rows of this tile (they may span two parts) as they are in the file, then let
    // oneDNN convert and reorder them.
    const DType type = parts[0].format == WeightFormat::bf16 ? DType::bf16 : DType::f32;
    Tensor rows = Tensor::zeros(type, {n, k});
    int64_t first = 0, filled = 0;
    for (const Matrix& part : parts) {
      const Tensor& p = part.values;
      const int64_t from = std::max(begin, first), to = std::min(begin + n, first + p.dim(0));
      if (from < to) {
        const Tensor piece = p.dtype() == type ? p.rows(from - first, to - first)
                                               : to_f32(p.rows(from - first, to - first));
        std::memcpy(static_cast<char*>(rows.raw()) + size_t(filled * k) * size_of(type),
                    piece.raw(), piece.nbytes());
        filled += to - from;
      }
      first += p.dim(0);
    }
    const auto plain = type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
    memory from({{k, n}, plain, memory::dims{1, k}}, engine(), rows.raw());
    memory to(packed_layout(n, k, bf16_), engine(),
              static_cast<char*>(data_.raw()) + tile_bytes_ * size_t(t));
    dnnl::reorder(from, to).execute(stream(), from, to);
    stream().wait();
  }

  bool bf16_;
  int64_t tile_, n_tiles_;
  bool own_gemv_;  // the tiles lie as gemv_bf16 reads them
  size_t tile_bytes_ = 0;
  Tensor data_;  // the packed tiles, one after the other
};

}  // namespace

std::shared_ptr<const CpuMatrix> pack_onednn(std::span<const Matrix> parts,
                                             MatmulPrecision precision) try {
  return std::make_shared<OneDnnWeight>(parts, precision == MatmulPrecision::bf16);
} catch (const dnnl::error& e) {
  throw Error(ErrorCode::internal, std::string("oneDNN could not pack a weight: ") + e.what());
}

}  // namespace omni::ops::cpu
