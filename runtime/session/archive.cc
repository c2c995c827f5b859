#include "session/archive.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "io/safetensors_writer.h"
#include "text/utf8_stream.h"

namespace omni {

namespace {

constexpr const char *kNumbers = "session.numbers", *kTexts = "session.texts";

std::string name_of_tensor(size_t n) { return "session.tensor." + std::to_string(n); }

Tensor copy_of(const void* data, DType type, int64_t n) {
  Tensor t = Tensor::zeros(type, {n});
  std::memcpy(t.raw(), data, t.nbytes());
  return t;
}

}  // namespace

void ArchiveWriter::put(double x) { put(std::bit_cast<int64_t>(x)); }

void ArchiveWriter::put(const std::string& text) {
  put(int64_t(text.size()));
  texts_ += text;
}

void ArchiveWriter::put(const Tensor& tensor) {
  const std::string name = name_of_tensor(tensors_.size());
  put(int64_t(tensor.defined()));
  if (tensor.defined()) tensors_.emplace(name, tensor);
}

void ArchiveWriter::put(std::vector<int64_t> numbers) {
  put(int64_t(numbers.size()));
  if (!numbers.empty()) put(copy_of(numbers.data(), DType::i64, int64_t(numbers.size())));
}

void ArchiveWriter::write(const std::filesystem::path& path) {
  std::map<std::string, Tensor> all = tensors_;
  all.emplace(kNumbers, copy_of(numbers_.data(), DType::i64, int64_t(numbers_.size())));
  if (!texts_.empty())
    all.emplace(kTexts, copy_of(texts_.data(), DType::u8, int64_t(texts_.size())));
  write_safetensors(path, all);
}

ArchiveReader::ArchiveReader(const std::filesystem::path& path)
    : path_(path), file_(Safetensors::open(path)) {
  const Tensor numbers = get(kNumbers);
  require(numbers.dtype() == DType::i64 && numbers.rank() == 1);
  numbers_.resize(size_t(numbers.numel()));
  std::memcpy(numbers_.data(), numbers.raw(), numbers.nbytes());
  if (!file_->has(kTexts)) return;
  const Tensor texts = get(kTexts);
  require(texts.dtype() == DType::u8);
  texts_.assign(static_cast<const char*>(texts.raw()), texts.nbytes());
}

void ArchiveReader::require(bool holds) const {
  if (!holds)
    throw Error(ErrorCode::corrupt_file, path_.string() + ": not a saved session, or damaged");
}

Tensor ArchiveReader::get(const std::string& name) const {
  const auto is_ours = [&](DType type) { return file_->type(name) == name_of(type); };
  require(file_->has(name) && (is_ours(DType::i64) || is_ours(DType::u8) || is_ours(DType::f32) ||
                               is_ours(DType::bf16)));
  return file_->get(name);
}

int64_t ArchiveReader::number(int64_t lowest, int64_t highest) {
  require(at_ < numbers_.size());
  const int64_t x = numbers_[at_++];
  require(x >= lowest && x <= highest);
  return x;
}

double ArchiveReader::real(double lowest, double highest) {
  const auto x = std::bit_cast<double>(number(INT64_MIN, INT64_MAX));
  require(std::isfinite(x) && x >= lowest && x <= highest);
  return x;
}

std::string ArchiveReader::text() {
  const auto n = size_t(number(0, int64_t(texts_.size() - text_at_)));
  std::string text = texts_.substr(text_at_, n);
  text_at_ += n;
  require(valid_utf8(text) == text);
  return text;
}

Tensor ArchiveReader::tensor() {
  if (!flag()) return {};
  Tensor tensor = get(name_of_tensor(n_tensors_++));
  n_bytes_ += tensor.nbytes();
  require(n_bytes_ <= file_->size());
  return tensor;
}

std::vector<int64_t> ArchiveReader::numbers(int64_t lowest, int64_t highest) {
  const int64_t n = number(0, INT64_MAX);
  if (n == 0) return {};
  const Tensor t = tensor();
  require(t.defined() && t.dtype() == DType::i64 && t.rank() == 1 && t.numel() == n);
  std::vector<int64_t> out(static_cast<size_t>(n));
  std::memcpy(out.data(), t.raw(), t.nbytes());
  for (const int64_t x : out) require(x >= lowest && x <= highest);
  return out;
}

}  // namespace omni
