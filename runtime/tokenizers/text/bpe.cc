#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/bpe.h"

#include <pcre2.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <queue>

#include "io/json.h"
#include "omni/error.h"
#include "text/utf8_stream.h"

namespace omni {

struct BpeTokenizer::Regex {
  Regex(const std::string& pattern, const std::string& where) {
    int error = 0;
    PCRE2_SIZE at = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                         PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &error, &at, nullptr);
    if (!code) {
      PCRE2_UCHAR message[128];
      pcre2_get_error_message(error, message, sizeof message);
      throw Error(ErrorCode::unsupported, where + ": split pattern at " + std::to_string(at) +
                                              ": " + reinterpret_cast<const char*>(message));
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  }
  ~Regex() { pcre2_code_free(code); }
  pcre2_code* code;
};

namespace {

constexpr int32_t kMostTokens = 1 << 20;

// The character that stands for each byte in a byte-level vocabulary, and back.
struct ByteAlphabet {
  std::string character[256];  // UTF-8
  std::unordered_map<uint32_t, uint8_t> byte_of;
  ByteAlphabet() {
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      const uint32_t c = printable ? b : next++;
      utf8proc_uint8_t utf8[4];
      character[b].assign(reinterpret_cast<char*>(utf8),
                          size_t(utf8proc_encode_char(utf8proc_int32_t(c), utf8)));
      byte_of[c] = uint8_t(b);
    }
  }
  // The bytes behind a vocabulary word; characters outside the alphabet stay as they are.
  std::string bytes(const std::string& word) const {
    std::string out;
    for (size_t i = 0; i < word.size();) {
      utf8proc_int32_t c = 0;
      const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(word.data()) + i,
                                      utf8proc_ssize_t(word.size() - i), &c);
      if (n <= 0) return word;
      const auto it = byte_of.find(uint32_t(c));
      if (it == byte_of.end())
        out.append(word, i, size_t(n));
      else
        out.push_back(char(it->second));
      i += size_t(n);
    }
    return out;
  }
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet a;
  return a;
}

std::string to_nfc(const std::string& text) {
  utf8proc_uint8_t* result = nullptr;
  const auto n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                              utf8proc_ssize_t(text.size()), &result,
                              utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (n < 0) return text;
  std::string out(reinterpret_cast<char*>(result), size_t(n));
  std::free(result);
  return out;
}

uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t(uint32_t(left)) << 32 | uint32_t(right);
}

// The split pattern among the pre-tokenizers; the others must be ByteLevel.
std::string split_pattern(const Json& pre) {
  const std::string type = pre.at("type").string();
  if (type == "Split") {
    if (pre.string_or("behavior", "") != "Isolated" || pre.boolean_or("invert", false))
      pre.fail("splits in a way that is not supported");
    return pre.at("pattern").has("Regex") ? pre.at("pattern").at("Regex").string() : std::string();
  }
  if (type == "ByteLevel") {
    if (pre.boolean_or("add_prefix_space", false))
      pre.fail("adds a prefix space, which is not supported");
    return pre.boolean_or("use_regex", true)
               ? R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"
               : std::string();
  }
  if (type == "Sequence") {
    std::string pattern;
    const Json list = pre.at("pretokenizers");
    for (size_t i = 0; i < list.size(); ++i)
      if (std::string p = split_pattern(list.at(i)); !p.empty()) pattern = p;
    return pattern;
  }
  throw Error(ErrorCode::unsupported, pre.where() + ": pre-tokenizer " + type);
}

}  // namespace

BpeTokenizer::~BpeTokenizer() = default;

BpeTokenizer::BpeTokenizer(const std::filesystem::path& path) {
  const Json root = Json::parse_file(path);
  const Json model = root.at("model");
  if (model.string_or("type", "BPE") != "BPE")
    throw Error(ErrorCode::unsupported,
                path.string() + ": tokenizer model " + model.at("type").string());
  nfc_ = root.has("normalizer") && root.at("normalizer").string_or("type", "") == "NFC";
  ignore_merges_ = model.boolean_or("ignore_merges", false);

  const Json vocab = model.at("vocab");
  auto put = [&](int64_t id, std::string bytes) {
    if (size_t(id) >= bytes_of_.size())
      bytes_of_.resize(size_t(id) + 1), special_.resize(size_t(id) + 1);
    bytes_of_[size_t(id)] = std::move(bytes);
  };
  for (const std::string& word : vocab.keys()) {
    const int64_t id = vocab.at(word).integer(0, kMostTokens - 1);
    std::string bytes = byte_alphabet().bytes(word);
    put(id, bytes);
    id_of_.emplace(std::move(bytes), int32_t(id));
  }
  for (int b = 0; b < 256; ++b) {
    const auto it = id_of_.find(std::string(1, char(b)));
    byte_id_[b] = it == id_of_.end() ? -1 : it->second;
  }
  const Json merges = model.at("merges");
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const Json m = merges.at(rank);
    std::string left, right;
    if (m.is_string()) {
      const std::string both = m.string();
      const size_t space = both.find(' ');
      if (space == std::string::npos) m.fail("is no pair");
      left = both.substr(0, space), right = both.substr(space + 1);
    } else {
      left = m.at(size_t{0}).string(), right = m.at(1).string();
    }
    left = byte_alphabet().bytes(left), right = byte_alphabet().bytes(right);
    const auto l = id_of_.find(left), r = id_of_.find(right), both = id_of_.find(left + right);
    if (l == id_of_.end() || r == id_of_.end() || both == id_of_.end())
      m.fail("joins words that the vocabulary does not have");
    merge_of_.emplace(pair_key(l->second, r->second), std::pair{int32_t(rank), both->second});
  }
  if (root.has("added_tokens")) {
    const Json list = root.at("added_tokens");
    for (size_t i = 0; i < list.size(); ++i) {
      const Json t = list.at(i);
      const std::string content = t.at("content").string();
      if (content.empty()) continue;
      const int64_t id = t.integer("id", 0, kMostTokens - 1);
      put(id, content);
      const bool special = t.boolean_or("special", false);
      special_[size_t(id)] = special;
      added_[content] = {int32_t(id), special};
    }
  }
  std::string pattern =
      root.has("pre_tokenizer") ? split_pattern(root.at("pre_tokenizer")) : std::string();
  if (pattern.empty()) pattern = "(?s).+";
  split_ = std::make_unique<Regex>(pattern, path.string());
}

std::optional<int32_t> BpeTokenizer::token_id(std::string_view token) const {
  if (const auto it = added_.find(std::string(token)); it != added_.end()) return it->second.id;
  if (const auto it = id_of_.find(std::string(token)); it != id_of_.end()) return it->second;
  return std::nullopt;
}

bool BpeTokenizer::is_special(int32_t id) const {
  return id >= 0 && size_t(id) < special_.size() && special_[size_t(id)];
}

std::string BpeTokenizer::token_bytes(int32_t id) const {
  return id >= 0 && size_t(id) < bytes_of_.size() ? bytes_of_[size_t(id)] : std::string();
}

std::string BpeTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (int32_t id : ids)
    if (!skip_special || !is_special(id)) bytes += token_bytes(id);
  return valid_utf8(bytes);
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, bool special) const {
  std::vector<int32_t> out;
  const std::string clean = valid_utf8(text);
  // Added tokens are cut out first, leftmost and longest; what lies between is normalised and
  // split.
  size_t plain = 0;
  for (size_t i = 0; i < clean.size();) {
    const AddedToken* found = nullptr;
    size_t length = 0;
    for (const auto& [content, token] : added_) {
      if ((special || !token.special) && content.size() > length &&
          clean.compare(i, content.size(), content) == 0)
        found = &token, length = content.size();
    }
    if (!found) {
      ++i;
      continue;
    }
    encode_plain(std::string_view(clean).substr(plain, i - plain), out);
    out.push_back(found->id);
    plain = i += length;
  }
  encode_plain(std::string_view(clean).substr(plain), out);
  return out;
}

void BpeTokenizer::encode_plain(std::string_view text, std::vector<int32_t>& out) const {
  if (text.empty()) return;
  const std::string normal = nfc_ ? to_nfc(std::string(text)) : std::string(text);
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  if (!match) throw Error(ErrorCode::out_of_memory, "no memory to split a text");
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(normal.data());
  size_t at = 0;
  while (at < normal.size()) {
    const int n =
        pcre2_match(split_->code, subject, normal.size(), at, PCRE2_NO_UTF_CHECK, match, nullptr);
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match);
    const size_t begin = n > 0 ? span[0] : normal.size(), end = n > 0 ? span[1] : normal.size();
    if (begin > at) encode_word(std::string_view(normal).substr(at, begin - at), out);
    if (end > begin) encode_word(std::string_view(normal).substr(begin, end - begin), out);
    at = std::max(end, at + (end == at && begin == at ? 1 : 0));
  }
  pcre2_match_data_free(match);
}

void BpeTokenizer::encode_word(std::string_view bytes, std::vector<int32_t>& out) const {
  if (ignore_merges_)
    if (const auto it = id_of_.find(std::string(bytes)); it != id_of_.end())
      return out.push_back(it->second);
  // A linked list of pieces and a queue of possible merges, lowest rank first, then leftmost.
  struct Piece {
    int32_t id, previous, next;
  };
  std::vector<Piece> pieces;
  pieces.reserve(bytes.size());
  for (unsigned char b : bytes)
    if (byte_id_[b] >= 0)
      pieces.push_back({byte_id_[b], int32_t(pieces.size()) - 1, int32_t(pieces.size()) + 1});
  if (pieces.empty()) return;
  pieces.back().next = -1;
  struct Merge {
    int32_t rank, left, left_id, right_id, merged;
    bool operator<(const Merge& o) const { return rank != o.rank ? rank > o.rank : left > o.left; }
  };
  std::priority_queue<Merge> queue;
  auto consider = [&](int32_t left) {
    if (left < 0 || pieces[size_t(left)].next < 0) return;
    const Piece &l = pieces[size_t(left)], &r = pieces[size_t(l.next)];
    if (const auto it = merge_of_.find(pair_key(l.id, r.id)); it != merge_of_.end())
      queue.push({it->second.first, left, l.id, r.id, it->second.second});
  };
  for (size_t i = 0; i + 1 < pieces.size(); ++i) consider(int32_t(i));
  while (!queue.empty()) {
    const Merge m = queue.top();
    queue.pop();
    Piece& l = pieces[size_t(m.left)];
    // one of the two has been merged since
    if (l.id != m.left_id || l.next < 0 || pieces[size_t(l.next)].id != m.right_id) continue;
    Piece& r = pieces[size_t(l.next)];
    l.id = m.merged;
    r.id = -1;
    l.next = r.next;
    if (l.next >= 0) pieces[size_t(l.next)].previous = m.left;
    consider(l.previous);
    consider(m.left);
  }
  for (int32_t i = 0; i >= 0; i = pieces[size_t(i)].next) out.push_back(pieces[size_t(i)].id);
}

}  // namespace omni
