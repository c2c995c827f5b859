#include "decoding/token_mask.h"

#include <algorithm>
#include <limits>

#include "omni/error.h"

namespace omni {

namespace {

constexpr uint16_t kForbidden = 0xFFFF;
// states whose masks are kept: 300 KB each for a vocabulary of 152 k
constexpr size_t kMostKnown = 256;
constexpr size_t kMostStates = 20000;  // of the automaton: 1 KB each

}  // namespace

TokenTable::TokenTable(int32_t n_tokens, const std::function<std::string(int32_t)>& bytes_of)
    : n_tokens_(n_tokens) {
  for (int32_t id = 0; id < n_tokens; ++id)
    if (std::string bytes = bytes_of(id); !bytes.empty())
      entries_.push_back({std::move(bytes), id, 0});
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.bytes < b.bytes; });
  for (size_t i = 1; i < entries_.size(); ++i) {
    const std::string &a = entries_[i - 1].bytes, &b = entries_[i].bytes;
    entries_[i].common =
        uint32_t(std::mismatch(a.begin(), a.begin() + std::ptrdiff_t(std::min(a.size(), b.size())),
                               b.begin())
                     .first -
                 a.begin());
  }
}

TokenMask::TokenMask(std::shared_ptr<const Grammar> grammar,
                     std::shared_ptr<const TokenTable> table, std::vector<int32_t> stops)
    : grammar_(std::move(grammar)),
      table_(std::move(table)),
      stops_(std::move(stops)),
      automaton_(*grammar_) {}

// Byte by byte is the worst case: a vocabulary has a token for every byte.
int TokenMask::needed() { return automaton_.shortest(automaton_.start()) + 1; }

void TokenMask::begin(int budget, std::optional<int32_t> instead) {
  if (automaton_.size() > kMostStates) {
    automaton_ = Automaton(*grammar_);
    known_.clear();
  }
  state_ = automaton_.start();
  left_ = budget;
  instead_ = instead;
  if (needed() > budget)
    throw Error(ErrorCode::invalid_argument,
                "max-tokens " + std::to_string(budget) +
                    " is too few for json-schema: its shortest document may take " +
                    std::to_string(needed()));
}

const TokenMask::Needs& TokenMask::needs() {
  if (const auto there = known_.find(state_); there != known_.end()) return there->second;
  if (known_.size() >= kMostKnown) known_.clear();
  Needs out(size_t(table_->n_tokens()), kForbidden);
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  std::vector<int> path = {state_};  // path[d]: behind d bytes of the current entry
  size_t refused = kNone;            // depth at which the last entry was refused
  for (const TokenTable::Entry& e : table_->entries()) {
    if (refused != kNone && e.common > refused) continue;  // it shares the refused byte
    refused = kNone;
    path.resize(std::min(path.size(), size_t{e.common} + 1));
    for (size_t d = path.size() - 1; d < e.bytes.size(); ++d) {
      const int next = automaton_.next(path[d], static_cast<uint8_t>(e.bytes[d]));
      if (next == Automaton::kRefused) {
        refused = d;
        break;
      }
      path.push_back(next);
    }
    if (refused == kNone)
      out[size_t(e.id)] = uint16_t(std::min(automaton_.shortest(path.back()), kForbidden - 1));
  }
  return known_.emplace(state_, std::move(out)).first->second;
}

std::vector<uint32_t> TokenMask::allowed(size_t vocabulary) {
  const Needs& n = needs();
  // bytes that may be needed behind the next token: the stop token comes too
  const int most = left_ - 2;
  std::vector<uint32_t> bits((vocabulary + 31) / 32);
  bool any = false;
  const auto allow = [&](size_t id) { bits[id / 32] |= uint32_t{1} << id % 32, any = true; };
  for (size_t id = 0; id < std::min(vocabulary, n.size()); ++id)
    if (int(n[id]) <= most) allow(id);
  if (automaton_.is_complete(state_))
    for (const int32_t id : stops_)
      if (size_t(id) < vocabulary) allow(size_t(id));
  if (instead_ && size_t(*instead_) < vocabulary) allow(size_t(*instead_));
  if (!any)
    throw Error(ErrorCode::unsupported,
                "the checkpoint's vocabulary cannot write what json-schema asks for");
  return bits;
}

void TokenMask::apply(std::span<float> logits) {
  const std::vector<uint32_t> bits = allowed(logits.size());
  for (size_t id = 0; id < logits.size(); ++id)
    if (!(bits[id / 32] >> id % 32 & 1)) logits[id] = -std::numeric_limits<float>::infinity();
}

void TokenMask::accept(int32_t id, std::string_view bytes) {
  --left_;
  instead_.reset();
  if (std::find(stops_.begin(), stops_.end(), id) != stops_.end()) return;
  for (const char c : bytes) state_ = automaton_.next(state_, static_cast<uint8_t>(c));
}

}  // namespace omni
