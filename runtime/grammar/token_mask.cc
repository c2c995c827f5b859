#include "grammar/token_mask.h"

#include <algorithm>
#include <limits>

#include "omni/error.h"

namespace omni {

namespace {

constexpr uint16_t kForbidden = 0xFFFF;
constexpr size_t kMostKnown = 256;  // states whose masks are kept: 300 KB each for a vocabulary of 152 k

std::string key_of(const Grammar::State& state) {
  std::string key;
  for (const Grammar::Stack& s : state) {
    key.append(reinterpret_cast<const char*>(s.data()), s.size() * sizeof(uint32_t));
    key.append(4, '\xFF');
  }
  return key;
}

}  // namespace

TokenTable::TokenTable(int32_t n_tokens, const std::function<std::string(int32_t)>& bytes_of) : n_tokens_(n_tokens) {
  for (int32_t id = 0; id < n_tokens; ++id)
    if (std::string bytes = bytes_of(id); !bytes.empty()) entries_.push_back({std::move(bytes), id, 0});
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.bytes < b.bytes; });
  for (size_t i = 1; i < entries_.size(); ++i) {
    const std::string &a = entries_[i - 1].bytes, &b = entries_[i].bytes;
    entries_[i].common = uint32_t(std::mismatch(a.begin(), a.begin() + std::ptrdiff_t(std::min(a.size(), b.size())), b.begin()).first - a.begin());
  }
}

TokenMask::TokenMask(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTable> table, std::vector<int32_t> stops)
    : grammar_(std::move(grammar)), table_(std::move(table)), stops_(std::move(stops)) {}

void TokenMask::begin(int budget) {
  state_ = grammar_->start();
  left_ = budget;
  // Byte by byte is the worst case: a vocabulary has a token for every byte.
  if (const int shortest = grammar_->shortest(state_) + 1; shortest > budget)
    throw Error(ErrorCode::invalid_argument, "max-tokens " + std::to_string(budget) + " is too few for json-schema: its shortest document may take " + std::to_string(shortest));
}

const TokenMask::Needs& TokenMask::needs() {
  const std::string key = key_of(state_);
  if (const auto there = known_.find(key); there != known_.end()) return there->second;
  if (known_.size() >= kMostKnown) known_.clear();
  Needs out(size_t(table_->n_tokens()), kForbidden);
  std::vector<Grammar::State> path = {state_};  // path[d]: behind d bytes of the current entry
  size_t refused = std::numeric_limits<size_t>::max();  // depth at which the last entry was refused
  for (const TokenTable::Entry& e : table_->entries()) {
    if (e.common > refused) continue;  // it shares the refused byte
    refused = std::numeric_limits<size_t>::max();
    path.resize(std::min(path.size(), size_t{e.common} + 1));
    for (size_t d = path.size() - 1; d < e.bytes.size(); ++d) {
      Grammar::State next = grammar_->next(path[d], static_cast<uint8_t>(e.bytes[d]));
      if (next.empty()) {
        refused = d;
        break;
      }
      path.push_back(std::move(next));
    }
    if (refused == std::numeric_limits<size_t>::max()) out[size_t(e.id)] = uint16_t(std::min(grammar_->shortest(path.back()), kForbidden - 1));
  }
  return known_.emplace(key, std::move(out)).first->second;
}

void TokenMask::apply(std::span<float> logits) {
  const Needs& n = needs();
  bool any = false;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (id < n.size() && int(n[id]) + 2 <= left_) any = true;
    else if (!(Grammar::is_complete(state_) && std::find(stops_.begin(), stops_.end(), int32_t(id)) != stops_.end())) logits[id] = -std::numeric_limits<float>::infinity();
    else any = true;
  }
  if (!any) throw Error(ErrorCode::unsupported, "the checkpoint's vocabulary cannot write what json-schema asks for");
}

void TokenMask::accept(int32_t id, std::string_view bytes) {
  --left_;
  if (std::find(stops_.begin(), stops_.end(), id) != stops_.end()) return;
  for (const char c : bytes) state_ = grammar_->next(state_, static_cast<uint8_t>(c));
}

}  // namespace omni
