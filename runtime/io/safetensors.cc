#include "io/safetensors.h"

#include <algorithm>
#include <cstring>

#include "core/mapped_file.h"
#include "io/foreign_weights.h"
#include "io/json.h"

namespace omni {

namespace {

constexpr uint64_t kMostHeader = uint64_t{100} << 20;
constexpr const char* kFloat8 = "F8_E4M3";

std::optional<DType> parse_dtype(const std::string& name) {
  for (const DType t :
       {DType::f32, DType::bf16, DType::f16, DType::i64, DType::i32, DType::i8, DType::u8})
    if (name == name_of(t)) return t;
  if (name == kFloat8) return DType::u8;  // its bytes
  return std::nullopt;
}

Shape parse_shape(const Json& entry) {
  const auto dims = entry.at("shape").integers(0, int64_t{1} << 48);
  if (dims.size() > size_t{Shape::kMaxRank}) entry.fail("has more than 5 dimensions");
  uint64_t numel = 1;
  for (int64_t d : dims)
    if (__builtin_mul_overflow(numel, uint64_t(d), &numel) || numel > (uint64_t{1} << 48))
      entry.fail("has an impossible shape");
  return {dims.data(), int(dims.size())};
}

}  // namespace

std::shared_ptr<const Safetensors> Safetensors::open(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  const std::span bytes(file->data(), file->size());
  refuse_lfs_pointer(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return std::shared_ptr<const Safetensors>(new Safetensors(path, bytes, std::move(file)));
}

std::shared_ptr<const Safetensors> Safetensors::of(std::span<const std::byte> bytes,
                                                   const std::filesystem::path& path) {
  return std::shared_ptr<const Safetensors>(new Safetensors(path, bytes, nullptr));
}

Safetensors::Safetensors(const std::filesystem::path& path, std::span<const std::byte> bytes,
                         std::shared_ptr<const MappedFile> file)
    : path_(path), bytes_(bytes), file_(std::move(file)) {
  uint64_t header_size = 0;
  if (bytes.size() < 8)
    throw Error(ErrorCode::corrupt_file, path_.string() + ": " + std::to_string(bytes.size()) +
                                             " bytes are no safetensors file");
  std::memcpy(&header_size, bytes.data(), 8);
  if (header_size > kMostHeader || header_size > bytes.size() - 8)
    throw Error(ErrorCode::corrupt_file, path_.string() + ": the header claims " +
                                             std::to_string(header_size) + " bytes of a file of " +
                                             std::to_string(bytes.size()));
  const size_t data = 8 + size_t(header_size), data_size = bytes.size() - data;
  const Json header = Json::parse(
      {reinterpret_cast<const char*>(bytes.data()) + 8, size_t(header_size)}, path_.string());
  if (!header.is_object()) header.fail("has a header that is no object");
  for (const std::string& name : header.keys()) {
    if (name == "__metadata__") continue;
    const Json entry = header.at(name);
    const std::string type = entry.at("dtype").string();
    const auto dtype = parse_dtype(type);
    entries_[name].type = type;
    if (!dtype) continue;
    const Shape shape = parse_shape(entry);
    const auto offsets = entry.at("data_offsets").integers(0, INT64_MAX);
    if (offsets.size() != 2 || offsets[1] < offsets[0] || uint64_t(offsets[1]) > data_size)
      entry.fail("lies outside the file (is it truncated?)");
    if (uint64_t(shape.numel()) * size_of(*dtype) != uint64_t(offsets[1] - offsets[0]))
      entry.fail("has " + std::to_string(offsets[1] - offsets[0]) + " bytes for " + shape.str() +
                 " " + type);
    entries_[name] = {type, dtype, shape, data + size_t(offsets[0]), data + size_t(offsets[1])};
  }
}

std::vector<std::string> Safetensors::names() const {
  std::vector<std::string> out;
  for (const auto& [name, entry] : entries_) out.push_back(name);
  return out;
}

const Safetensors::Entry& Safetensors::entry(const std::string& name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end())
    throw Error(ErrorCode::not_found, path_.string() + ": no tensor " + name);
  return it->second;
}

Tensor Safetensors::get_float8(const std::string& name) const {
  const Entry& e = entry(name);
  if (e.type != kFloat8)
    throw Error(ErrorCode::corrupt_file,
                path_.string() + ": tensor " + name + " is of type " + e.type + ", not " + kFloat8);
  return view(e);
}

Tensor Safetensors::get(const std::string& name) const {
  const Entry& e = entry(name);
  if (!e.dtype || e.type == kFloat8)
    throw Error(ErrorCode::unsupported, path_.string() + ": tensor " + name + " is of type " +
                                            e.type + ", which is not computed with here");
  return view(e);
}

Tensor Safetensors::view(const Entry& e) const {
  auto* bytes = const_cast<std::byte*>(bytes_.data() + e.begin);
  if (reinterpret_cast<uintptr_t>(bytes) % size_of(*e.dtype) == 0)
    return Tensor::view(bytes, *e.dtype, e.shape, file_);
  Tensor copy =
      // a misaligned tensor: legal in the format, not for the processor
      Tensor::zeros(*e.dtype, e.shape);
  std::memcpy(copy.raw(), bytes, e.end - e.begin);
  return copy;
}

void Safetensors::release(const std::string& name) const {
  if (const auto it = entries_.find(name); file_ && it != entries_.end())
    MappedFile::release_pages(bytes_.data() + it->second.begin, it->second.end - it->second.begin);
}

void Safetensors::release(const std::string& name, int64_t begin, int64_t end) const {
  const auto it = entries_.find(name);
  if (!file_ || it == entries_.end() || !it->second.dtype) return;
  const Entry& e = it->second;
  const size_t row = (e.end - e.begin) / size_t(std::max<int64_t>(1, e.shape[0]));
  MappedFile::release_pages(bytes_.data() + e.begin + size_t(begin) * row,
                            size_t(end - begin) * row);
}

}  // namespace omni
