// The CUDA module is opened here, by name, when a device is first asked for.
#include "engine/devices.h"

#include <dlfcn.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>

#include "core/log.h"
#include "omni/engine.h"
#include "ops/cuda/open.h"

namespace omni {

namespace {

// OMNI_CUDA=emulated: the CPU emulation of CUDA, which the tests run on.
bool emulated() {
  const char* e = std::getenv("OMNI_CUDA");
  return e && std::string(e) == "emulated";
}

// The CUDA module lies beside this library, or where the linker looks.
void* open_module() {
  const std::string name = emulated() ? "libomni-cuda-emulated.so" : "libomni-cuda.so";
  Dl_info here;
  if (dladdr(reinterpret_cast<const void*>(&open_module), &here) && here.dli_fname) {
    const auto beside = std::filesystem::path(here.dli_fname).parent_path() / name;
    std::error_code ignored;
    if (std::filesystem::exists(beside, ignored))
      return dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  return dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
}

const Device* open_cuda(int index) {
  static std::mutex lock;
  static std::map<int, const Device*> open;
  std::lock_guard guard(lock);
  if (const auto it = open.find(index); it != open.end()) return it->second;
  void* module = open_module();
  if (!module) throw Error(ErrorCode::device, std::string("no CUDA here: ") + dlerror());
  const auto make = reinterpret_cast<decltype(&omni_open_cuda)>(dlsym(module, "omni_open_cuda"));
  if (!make) throw Error(ErrorCode::device, std::string("no CUDA here: ") + dlerror());
  Error* why = nullptr;
  const Device* device = make(index, &why);
  if (!device) {
    const std::unique_ptr<Error> owned(why);
    throw Error(owned->code(), owned->what());
  }
  log(LogLevel::info, "opened " + device->name());
  return open[index] = device;
}

}  // namespace

std::optional<CudaContext> cuda_context(const std::string& name) {
  const Device* device = open_device(name);
  void* context = device ? device->native_context() : nullptr;
  return context ? std::optional(CudaContext{context, device->index()}) : std::nullopt;
}

// The first GPU, where one answers: asked once.
static const Device* automatic_device() {
  static const Device* const device = []() -> const Device* {
    try {
      return open_cuda(0);
    } catch (const Error& e) {
      log(LogLevel::info, std::string("device=auto is the CPU: ") + e.what());
      return nullptr;
    }
  }();
  return device;
}

const Device* open_device(const std::string& name) {
  if (name == "cpu") return nullptr;
  if (name == "auto") return automatic_device();
  int index = 0;
  const bool numbered = name.starts_with("cuda:");
  const char *begin = name.data() + 5, *end = name.data() + name.size();
  if (name != "cuda" &&
      !(numbered && begin < end && std::from_chars(begin, end, index).ptr == end && index >= 0))
    throw Error(ErrorCode::invalid_argument,
                "device=" + name + " is not one of auto, cpu, cuda, cuda:N");
  try {
    return open_cuda(index);
  } catch (const Error& e) {
    throw Error(ErrorCode::device,
                "device=" + name + ": " + e.what() + "; device=auto and device=cpu need none");
  }
}

}  // namespace omni
