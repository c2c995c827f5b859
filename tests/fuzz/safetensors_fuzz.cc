#include "fuzz/memory_file.h"
#include "io/safetensors.h"
#include "omni/error.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const omni::fuzz::MemoryFile in(data, size);
  try {
    const auto file = omni::Safetensors::open(in.path());
    for (const std::string& name : file->names()) try {
        const omni::Tensor t = file->get(name);
        omni::fuzz::require(t.nbytes() <= size, "a tensor is no larger than its file");
        const auto* bytes = static_cast<const uint8_t*>(t.raw());
        uint8_t all = 0;
        for (size_t i = 0; i < t.nbytes(); ++i) all ^= bytes[i];
        static volatile uint8_t seen;
        seen = all;
        file->release(name);
      } catch (const omni::Error&) {
      }
  } catch (const omni::Error&) {
  }
  return 0;
}
