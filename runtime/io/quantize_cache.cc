#include "io/quantize_cache.h"

#include <cctype>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "core/log.h"
#include "io/quantize.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"

namespace omni {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kMaker = 1;  // counts with every change of what quantize() makes

// FNV-1a by words of 8 bytes, in four strands so that it is as fast as memory.
class Hash {
 public:
  void add(const void* data, size_t n) {
    const auto* p = static_cast<const char*>(data);
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
      for (size_t k = 0; k < 4; ++k) mix(strand_[k], p + i + 8 * k, 8);
    for (; i < n; i += 8) mix(strand_[0], p + i, std::min<size_t>(8, n - i));
    mix(strand_[1], &n, sizeof n);
  }
  void add(const Tensor& t) { add(t.raw(), t.nbytes()); }
  int64_t value() const {
    Hash all;
    all.add(strand_, sizeof strand_);
    return int64_t(all.strand_[0] ^ all.strand_[1] * 3 ^ all.strand_[2] * 5 ^ all.strand_[3] * 7);
  }

 private:
  static void mix(uint64_t& h, const void* p, size_t n) {
    uint64_t word = 0;
    std::memcpy(&word, p, n);
    h = (h ^ word) * 0x100000001b3u;
    h ^= h >> 29;
  }
  uint64_t strand_[4] = {0xcbf29ce484222325u, 1, 2, 3};
};

// What a matrix is made of: name, shape, format and, for one read of eight places, the weights.
int64_t source_of(const std::string& name, const Tensor& dense, WeightFormat format) {
  Hash h;
  h.add(name.data(), name.size());
  const int64_t shape[] = {int64_t(kMaker), int64_t(format), int64_t(dense.dtype()), dense.dim(0),
                           dense.dim(1)};
  h.add(shape, sizeof shape);
  const size_t size = dense.nbytes(), step = std::max<size_t>(64, size / 8);
  for (size_t at = 0; at < size; at += step)
    h.add(static_cast<const char*>(dense.raw()) + at, std::min<size_t>(64, size - at));
  return h.value();
}

int64_t checksum(const Matrix& w) {
  Hash h;
  for (const Tensor* t : {&w.values, &w.scales, &w.zeros})
    if (t->defined()) h.add(*t);
  return h.value();
}

// The name of a tensor as that of a file: it comes from a checkpoint.
std::string file_name(std::string name, WeightFormat format) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-') c = '_';
  return name + "." + name_of(format) + ".safetensors";
}

bool is(const Tensor& t, DType type, const Shape& shape) {
  return t.dtype() == type && t.shape() == shape;
}

// Empty unless the file is whole and of this source.
std::optional<Matrix> read(const fs::path& path, const Tensor& dense, int64_t source) {
  const auto file = Safetensors::open(path);
  const Tensor stamp = file->get("stamp");
  if (!is(stamp, DType::i64, {2}) || stamp.i64()[0] != source) return std::nullopt;
  Matrix w;
  w.n_out = dense.dim(0);
  w.n_in = dense.dim(1);
  w.values = file->get("values");
  w.scales = file->get("scales");
  const bool int8 = w.values.dtype() == DType::i8;
  w.format = int8 ? WeightFormat::int8 : WeightFormat::int4;
  w.group = int8 ? w.n_in : int4_group(w.n_in);
  if (w.group == 0) return std::nullopt;
  const Shape groups{w.n_out, w.n_in / w.group};
  if (!int8) w.zeros = file->get("zeros");
  const bool good =
      is(w.values, int8 ? DType::i8 : DType::u8, {w.n_out, int8 ? w.n_in : w.n_in / 2}) &&
      is(w.scales, DType::f32, groups) && (int8 || is(w.zeros, DType::u8, groups)) &&
      stamp.i64()[1] == checksum(w);
  return good ? std::optional(w) : std::nullopt;
}

std::optional<Matrix> read_if_there(const fs::path& path, const Tensor& dense, int64_t source) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  try {
    if (auto w = read(path, dense, source)) return w;
    log(LogLevel::info, path.string() + " is damaged or of another tensor: made anew");
  } catch (const Error& e) {
    log(LogLevel::info, std::string(e.what()) + ": made anew");
  }
  return std::nullopt;
}

}  // namespace

fs::path QuantizeCache::folder_of(const std::string& fingerprint) {
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  if (cache && *cache == '/')
    return fs::path(cache) / "gst-omni" / fingerprint;  // a relative one is to be ignored
  return home && *home ? fs::path(home) / ".cache" / "gst-omni" / fingerprint : fs::path();
}

Matrix QuantizeCache::get(const std::string& name, const Tensor& dense, WeightFormat format,
                          const std::function<Matrix()>& make) {
  const fs::path file = folder_ / file_name(name, format);
  const int64_t source = folder_.empty() ? 0 : source_of(name, dense, format);
  if (!folder_.empty())
    if (auto w = read_if_there(file, dense, source)) {
      ++n_found_;
      return *std::move(w);
    }
  ++n_made_;
  Matrix made = make();
  if (folder_.empty() || cannot_write_ || !keep(file, made, source)) return made;
  made = Matrix();  // before it is mapped: never in memory twice
  const auto mapped = read_if_there(file, dense, source);
  return mapped ? *mapped : make();
}

bool QuantizeCache::keep(const fs::path& file, const Matrix& w, int64_t source) {
  Tensor stamp = Tensor::zeros(DType::i64, {2});
  stamp.i64()[0] = source;
  stamp.i64()[1] = checksum(w);
  std::map<std::string, Tensor> tensors = {
      {"stamp", stamp}, {"values", w.values}, {"scales", w.scales}};
  if (w.zeros.defined()) tensors["zeros"] = w.zeros;
  try {
    std::error_code ignored;  // the writer says why there is no folder
    fs::create_directories(file.parent_path(), ignored);
    write_safetensors(file, tensors);
    return true;
  } catch (const Error& e) {
    cannot_write_ = true;
    log(LogLevel::info,
        std::string("quantized weights are not kept for the next start: ") + e.what());
    return false;
  }
}

}  // namespace omni
