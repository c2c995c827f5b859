#include "io/weights.h"

#include <algorithm>
#include <mutex>

#include "core/parallel.h"
#include "io/json.h"
#include "io/quantize.h"
#include "io/quantize_cache.h"
#include "io/quantized/format.h"
#include "io/safetensors.h"

namespace omni {

namespace fs = std::filesystem;

struct Weights::Files {
  fs::path folder;
  std::map<std::string, std::string> file_of;     // tensor → file name
  std::unique_ptr<const QuantizedFormat> format;  // nullptr: dense
  std::mutex lock;
  std::map<std::string, std::shared_ptr<const Safetensors>> open;  // under lock

  const Safetensors& file(const std::string& name) {
    std::lock_guard guard(lock);
    auto& f = open[name];
    if (!f) f = Safetensors::open(folder / name);
    return *f;
  }
};

Weights Weights::open(const fs::path& folder) {
  Weights w;
  w.files_ = std::make_shared<Files>();
  w.files_->folder = folder;
  w.files_->format = find_quantized_format(folder);
  const auto index = folder / "model.safetensors.index.json";
  std::error_code ignored;
  if (!fs::exists(index, ignored)) {
    for (const std::string& name : w.files_->file("model.safetensors").names())
      w.files_->file_of[name] = "model.safetensors";
    return w;
  }
  const Json map = Json::parse_file(index).at("weight_map");
  for (const std::string& name : map.keys()) {
    const std::string file = map.at(name).string();
    if (file.empty() || file.find('/') != std::string::npos || file.find('\0') != std::string::npos)
      map.at(name).fail("names a file outside the folder: " + file);
    w.files_->file_of[name] = file;
  }
  return w;
}

Weights Weights::of(std::shared_ptr<const Safetensors> file) {
  static const std::string kName = "model.safetensors";
  Weights w;
  w.files_ = std::make_shared<Files>();
  for (const std::string& name : file->names()) w.files_->file_of[name] = kName;
  w.files_->open[kName] = std::move(file);
  return w;
}

Weights Weights::scope(const std::string& name) const {
  Weights w = *this;
  w.prefix_ += name + ".";
  return w;
}

Weights Weights::on(const Device* device) const {
  Weights w = *this;
  w.device_ = device;
  return w;
}

Weights Weights::with(Precision precision) const {
  Weights w = *this;
  w.precision_ = precision;
  return w;
}

Weights Weights::allow_tf32() const {
  Weights w = *this;
  w.allows_tf32_ = true;
  return w;
}

Weights Weights::with(Precision precision, const Quantizing& how) const {
  Weights w = with(precision);
  w.quantizing_ = how;
  return w;
}

std::string Weights::quantization() const {
  return files_->format ? files_->format->describe() : std::string();
}

void Weights::fail(const std::string& name, ErrorCode code, const std::string& reason) const {
  const auto file = files_->file_of.find(prefix_ + name);
  const fs::path path =
      file == files_->file_of.end() ? files_->folder : files_->folder / file->second;
  throw Error(code, path.string() + ": tensor " + prefix_ + name + " " + reason);
}

bool Weights::has(const std::string& name) const {
  return files_->file_of.count(prefix_ + name) != 0;
}

const Safetensors& Weights::file_of(const std::string& full) const {
  const auto it = files_->file_of.find(full);
  if (it == files_->file_of.end())
    throw Error(ErrorCode::not_found,
                files_->folder.string() + ": the checkpoint has no tensor " + full);
  return files_->file(it->second);
}

Tensor Weights::get(const std::string& name) const {
  const std::string full = prefix_ + name;
  return file_of(full).get(full);
}

Tensor Weights::get(const std::string& name, const Shape& shape) const {
  Tensor t = get(name);
  // a convolution used as a product
  if (t.numel() == shape.numel() && t.rank() != shape.rank()) return t.reshape(shape);
  require_shape(name, t, shape);
  return t;
}

Tensor Weights::get_float8(const std::string& name) const {
  const std::string full = prefix_ + name;
  return file_of(full).get_float8(full);
}

Tensor Weights::get_float8(const std::string& name, const Shape& shape) const {
  const Tensor t = get_float8(name);
  require_shape(name, t, shape);
  return t;
}

void Weights::require_shape(const std::string& name, const Tensor& t, const Shape& shape) const {
  if (t.shape() == shape) return;
  const std::string full = prefix_ + name;
  throw Error(ErrorCode::corrupt_file, (files_->folder / files_->file_of.at(full)).string() +
                                           ": tensor " + full + " is " + t.shape().str() +
                                           ", config.json asks for " + shape.str());
}

Tensor Weights::get_f32(const std::string& name, const Shape& shape) const {
  const Tensor t = get(name, shape);
  if (!is_floating(t.dtype()))
    fail(name, ErrorCode::unsupported,
         std::string("is of type ") + name_of(t.dtype()) + ", which is not read here");
  return to_f32(t);
}

Matrix Weights::matrix(const std::string& name, int64_t n_out, int64_t n_in) const {
  const Weights module = scope(name);
  if (files_->format && files_->format->stores(module)) {
    Matrix w = files_->format->read(module, n_out, n_in, quantizing_.pool);
    w.read_once = is_quantized(w.format);
    return w;
  }
  const Tensor dense = module.get("weight", {n_out, n_in});
  module.require_floating("weight", dense);
  const auto format = wanted();
  return format ? module.quantized(dense, *format) : Matrix(dense);
}

std::optional<WeightFormat> Weights::wanted() const {
  if (files_->format) return std::nullopt;
  if (precision_ == Precision::int8) return WeightFormat::int8;
  if (precision_ == Precision::int4) return WeightFormat::int4;
  return std::nullopt;
}

void Weights::require_floating(const std::string& name, const Tensor& t) const {
  if (!is_floating(t.dtype()))
    fail(name, ErrorCode::unsupported,
         std::string("is of type ") + name_of(t.dtype()) +
             ", and no quantization_config of config.json says what it means");
}

namespace {

// x [n, rows, columns] → [n · columns, rows], in memory of its own.
template <class T>
void transpose(const Tensor& x, ThreadPool* pool, Tensor& y) {
  constexpr int64_t kTile = 64;  // rows and columns whose lines stay in the first cache
  const int64_t n = x.dim(0), rows = x.dim(1), columns = x.dim(2),
                bands = (columns + kTile - 1) / kTile;
  const auto* from = static_cast<const T*>(x.raw());
  auto* to = static_cast<T*>(y.raw());
  parallel_for(pool, n * bands, double(x.numel()), [&](int64_t i) {
    const int64_t at = i / bands * rows * columns, left = i % bands * kTile,
                  right = std::min(columns, left + kTile);
    for (int64_t top = 0; top < rows; top += kTile)
      for (int64_t c = left; c < right; ++c)
        for (int64_t r = top; r < std::min(rows, top + kTile); ++r)
          to[at + c * rows + r] = from[at + r * columns + c];
  });
}

}  // namespace

Matrix Weights::stack(const std::string& name, int64_t n, int64_t n_out, int64_t n_in) const {
  const bool is_quantized = files_->format && files_->format->stores_stack(*this, name);
  const Tensor stored =
      is_quantized ? files_->format->read_stack(*this, name, quantizing_.pool) : get(name);
  const bool is_transposed = stored.shape() != Shape{n, n_out, n_in};
  if (is_transposed) require_shape(name, stored, {n, n_in, n_out});
  require_floating(name, stored);
  const Shape joined{n * n_out, n_in};
  const auto dense = [&] {
    if (!is_transposed) return stored.reshape(joined);
    Tensor y = Tensor::zeros(stored.dtype(), joined);
    size_of(stored.dtype()) == 2 ? transpose<uint16_t>(stored, quantizing_.pool, y)
                                 : transpose<uint32_t>(stored, quantizing_.pool, y);
    release(name);
    return y;
  };
  const auto format = wanted();
  if (!format) return Matrix(dense());
  const auto make = [&] {
    return quantize(Matrix(dense()), *format, full_name(name), {quantizing_.pool, {}});
  };
  const std::string kept = full_name(name) + (is_transposed ? ".transposed" : "");
  Matrix w = quantizing_.cache ? quantizing_.cache->get(kept, stored.reshape(joined), *format, make)
                               : make();
  w.read_once = true;
  return w;
}

// "weight" of this scope.
Matrix Weights::quantized(const Tensor& dense, WeightFormat format) const {
  const auto make = [&] {
    const auto read = [&](int64_t begin, int64_t end) { release("weight", begin, end); };
    return quantize(Matrix(dense), format, full_name("weight"), {quantizing_.pool, read});
  };
  Matrix w =
      quantizing_.cache ? quantizing_.cache->get(full_name("weight"), dense, format, make) : make();
  w.read_once = true;
  return w;
}

void Weights::release(const std::string& name) const {
  const auto it = files_->file_of.find(prefix_ + name);
  if (it != files_->file_of.end()) files_->file(it->second).release(it->first);
}

void Weights::release(const std::string& name, int64_t begin, int64_t end) const {
  const auto it = files_->file_of.find(prefix_ + name);
  if (it != files_->file_of.end()) files_->file(it->second).release(it->first, begin, end);
}

void Weights::for_each(const std::function<void(const std::string&, const Tensor&)>& body) const {
  for (const auto& [name, file] : files_->file_of) try {
      const Safetensors& f = files_->file(file);
      body(name, f.has(name) && f.type(name) == "F8_E4M3" ? f.get_float8(name) : f.get(name));
    } catch (const Error& e) {
      if (e.code() != ErrorCode::unsupported) throw;
    }
}

DType Weights::stored_dtype() const {
  for (const auto& [name, file] : files_->file_of) {
    if (!files_->file(file).has(name)) continue;
    const std::string& type = files_->file(file).type(name);
    for (const DType t : {DType::f32, DType::bf16, DType::f16})
      if (type == name_of(t)) return t;
  }
  return DType::f32;
}

}  // namespace omni
