// Byte-level BPE as tokenizer.json of Hugging Face describes it: added tokens, NFC, a split
// pattern, merges. (openai/gpt-2 encoder.py, huggingface/tokenizers). Text of users is encoded with
// encode_text(), where special tokens are plain text; only templates use token_id().
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace omni {

class BpeTokenizer {
 public:
  // Throws not_found, corrupt_file, or unsupported (another kind of tokenizer; a split pattern that
  // PCRE2 refuses).
  explicit BpeTokenizer(const std::filesystem::path& tokenizer_json);
  ~BpeTokenizer();
  BpeTokenizer(const BpeTokenizer&) = delete;
  BpeTokenizer& operator=(const BpeTokenizer&) = delete;

  // Special tokens in `text` become their ids, as in transformers. Invalid UTF-8 becomes U+FFFD.
  std::vector<int32_t> encode(std::string_view text) const { return encode(text, true); }
  // Special tokens in `text` are ordinary characters: what a user wrote can't end a turn.
  std::vector<int32_t> encode_text(std::string_view text) const { return encode(text, false); }

  std::optional<int32_t> token_id(std::string_view token) const;
  bool is_special(int32_t id) const;
  // The bytes of one token, which may be part of a UTF-8 character; unknown ids give nothing.
  std::string token_bytes(int32_t id) const;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;
  int32_t n_tokens() const { return int32_t(bytes_of_.size()); }

 private:
  struct AddedToken {
    int32_t id;
    bool special;
  };
  struct Regex;
  std::vector<int32_t> encode(std::string_view text, bool special) const;
  void encode_plain(std::string_view text, std::vector<int32_t>& out) const;
  void encode_word(std::string_view bytes, std::vector<int32_t>& out) const;

  std::unordered_map<std::string, int32_t> id_of_;  // by bytes, for the vocabulary
  std::vector<std::string> bytes_of_;               // by id
  // left‖right id → rank, merged id
  std::unordered_map<uint64_t, std::pair<int32_t, int32_t>> merge_of_;
  std::map<std::string, AddedToken, std::greater<>> added_;
  std::vector<bool> special_;  // by id
  int32_t byte_id_[256];
  std::unique_ptr<Regex> split_;
  bool nfc_ = false;
  bool ignore_merges_ = false;
};

}  // namespace omni
