// Bytes in pieces make the text that they make as a whole, and it is UTF-8.
#include "fuzz/target.h"
#include "io/json.h"
#include "omni/error.h"
#include "text/utf8_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = omni::fuzz::text_of(data, size);
  const std::string whole = omni::valid_utf8(bytes);
  omni::Utf8Stream stream;
  std::string pieces;
  for (size_t at = 0, n = 1; at < bytes.size(); at += n, n = n % 5 + 1)
    pieces += stream.push(bytes.substr(at, n));
  pieces += stream.finish();
  omni::fuzz::require(pieces == whole, "pieces make the whole");
  omni::fuzz::require(omni::valid_utf8(whole) == whole, "what is valid stays");
  omni::fuzz::require(omni::Json::parse(omni::json_string(whole), "utf8").string() == whole,
                      "JSON keeps it");
  return 0;
}
