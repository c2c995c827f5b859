#include "text/utf8_stream.h"

#include <utility>

namespace omni {

namespace {
constexpr const char* kReplacement = "\xef\xbf\xbd";
}

std::string Utf8Stream::push(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto b = static_cast<uint8_t>(bytes[i]);
    if (missing_ == 0) {
      if (b < 0x80) {
        out += char(b);
        continue;
      }
      if (b >= 0xc2 && b <= 0xdf)
        missing_ = 1;
      else if (b >= 0xe0 && b <= 0xef)
        missing_ = 2;
      else if (b >= 0xf0 && b <= 0xf4)
        missing_ = 3;
      else {
        out += kReplacement;
        continue;
      }
      lower_ = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
      upper_ = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
      pending_ = char(b);
      continue;
    }
    if (b < lower_ || b > upper_) {
      out += finish();
      --i;  // the byte may begin a character of its own
      continue;
    }
    lower_ = 0x80, upper_ = 0xbf;
    pending_ += char(b);
    if (--missing_ == 0) out += std::exchange(pending_, {});
  }
  return out;
}

std::string Utf8Stream::finish() {
  const bool broken = missing_ > 0;
  pending_.clear();
  missing_ = 0;
  return broken ? kReplacement : "";
}

std::string valid_utf8(std::string_view text) {
  Utf8Stream stream;
  std::string out = stream.push(text);
  return out + stream.finish();
}

}  // namespace omni
