// Bytes → whole, valid UTF-8 characters. A broken sequence becomes one U+FFFD for each maximal part
// of it, as in Python's and Rust's lossy decoding. (encoding.spec.whatwg.org, UTF-8 decoder)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace omni {

class Utf8Stream {
 public:
  // The characters that are complete by now; the beginning of another is kept for the next call.
  std::string push(std::string_view bytes);
  // What the end of the stream leaves of an unfinished character.
  std::string finish();

 private:
  std::string pending_;
  int missing_ = 0;
  uint8_t lower_ = 0x80, upper_ = 0xbf;  // range of the next byte
};

std::string valid_utf8(std::string_view text);

}  // namespace omni
