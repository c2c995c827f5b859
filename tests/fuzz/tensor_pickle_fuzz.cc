#include "fuzz/memory_file.h"
#include "io/tensor_pickle.h"
#include "omni/error.h"

namespace {

size_t bytes_of(const omni::PickledValue& v) {
  size_t n = v.values.defined() ? v.values.nbytes() : 0;
  for (const auto& [name, member] : v.members) n += bytes_of(member);
  return n;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const omni::fuzz::MemoryFile in(data, size);
  try {
    const auto value = omni::read_tensor_pickle(in.path());
    omni::fuzz::require(bytes_of(value) <= 4 * size, "tensors are bounded by their file");
  } catch (const omni::Error&) {
  }
  return 0;
}
