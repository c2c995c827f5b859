// tokenizer.json; what it takes encodes any text, and every id decodes.
#include "fuzz/memory_file.h"
#include "omni/error.h"
#include "text/bpe.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const omni::fuzz::MemoryFile in(data, size);
  try {
    const omni::BpeTokenizer tokenizer(in.path());
    const std::string text = "Grüße, 3 frames\n<|im_start|> 見る \xFF" +
                             std::string(omni::fuzz::text_of(data, size).substr(0, 64));
    for (const auto& ids : {tokenizer.encode(text), tokenizer.encode_text(text)}) {
      for (const int32_t id : ids)
        omni::fuzz::require(id >= 0 && id < tokenizer.n_tokens(), "ids are of the vocabulary");
      tokenizer.decode(ids, true);
    }
  } catch (const omni::Error&) {
  }
  return 0;
}
