#include "io/safetensors_writer.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "io/json.h"

namespace omni {

namespace {

std::string header_of(const std::map<std::string, Tensor>& tensors) {
  std::string header = "{";
  size_t at = 0;
  for (const auto& [name, t] : tensors) {
    const std::string shape = t.shape().str();  // "[3, 4]": JSON as it is
    if (header.size() > 1) header += ',';
    header += json_string(name) + ":{\"dtype\":\"" + name_of(t.dtype()) + "\",\"shape\":" + shape +
              ",\"data_offsets\":[" + std::to_string(at) + "," + std::to_string(at + t.nbytes()) +
              "]}";
    at += t.nbytes();
  }
  header += "}";
  header.resize((header.size() + 8 + 63) / 64 * 64 - 8,
                ' ');  // with the 8 bytes before it: data begins on a cache line
  return header;
}

// A temporary name that no other thread or process uses.
std::filesystem::path beside(const std::filesystem::path& path) {
  static std::atomic<int> n{0};
  return path.string() + "." + std::to_string(::getpid()) + "." + std::to_string(n++) + ".tmp";
}

}  // namespace

void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, Tensor>& tensors) {
  const std::filesystem::path temporary = beside(path);
  const std::string header = header_of(tensors);
  const uint64_t header_size = header.size();
  std::remove(temporary.c_str());  // of a process that had the same number
  std::FILE* file = std::fopen(temporary.c_str(), "wbxe");
  bool good = file && std::fwrite(&header_size, 8, 1, file) == 1 &&
              std::fwrite(header.data(), header.size(), 1, file) == 1;
  for (const auto& [name, t] : tensors)
    good = good && std::fwrite(t.raw(), 1, t.nbytes(), file) == t.nbytes();
  int reason = errno;
  if (file && std::fclose(file) != 0) good = false, reason = errno;
  if (good && std::rename(temporary.c_str(), path.c_str()) == 0) return;
  if (good) reason = errno;
  if (file) std::remove(temporary.c_str());
  throw Error(ErrorCode::not_found, path.string() + " cannot be written: " + std::strerror(reason));
}

}  // namespace omni
