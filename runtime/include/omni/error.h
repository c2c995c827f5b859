// The one exception type of the runtime. Elements turn it into one GStreamer message
// (elements/common/gstomniguard.h).
#pragma once

#include <stdexcept>
#include <string>

#if defined(__GNUC__)
#define OMNI_API __attribute__((visibility("default")))
#else
#define OMNI_API
#endif

namespace omni {

enum class ErrorCode {
  not_found,         // a file, folder or named thing is not there, or may not be read
  corrupt_file,      // a file contradicts itself or its format
  unsupported,       // well-formed, but nothing here can run it
  invalid_argument,  // a caller's value is out of range
  out_of_memory,
  device,     // the accelerator failed
  internal,   // a bug of ours
  cancelled,  // the caller asked to stop; never shown to a user
};

class OMNI_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace omni
