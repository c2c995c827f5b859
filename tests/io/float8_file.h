// Safetensors files with tensors of type F8_E4M3, which no Tensor is of.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string>

#include "io/safetensors_writer.h"

namespace omni {

// As write_safetensors(), but that tensors of U8 are told to be of F8_E4M3.
inline void write_float8(const std::filesystem::path& file,
                         const std::map<std::string, Tensor>& tensors) {
  write_safetensors(file, tensors);
  std::stringstream s;
  s << std::ifstream(file, std::ios::binary).rdbuf();
  const std::string bytes = s.str();
  uint64_t n = 0;
  std::memcpy(&n, bytes.data(), 8);
  const std::string header =
      std::regex_replace(bytes.substr(8, size_t(n)), std::regex("\"U8\""), "\"F8_E4M3\"");
  const uint64_t longer = header.size();
  std::ofstream(file, std::ios::binary) << std::string(reinterpret_cast<const char*>(&longer), 8)
                                        << header << bytes.substr(8 + size_t(n));
}

}  // namespace omni
