#include "grammar/grammar.h"

#include <algorithm>

namespace omni {

namespace {
constexpr int kNever = 1 << 24;
}

int Grammar::add_rule() {
  rules_.emplace_back();
  return int(rules_.size()) - 1;
}

void Grammar::add_alternative(int rule, const Sequence& sequence) {
  rules_[size_t(rule)].push_back(uint32_t(symbols_.size()));
  symbols_.insert(symbols_.end(), sequence.begin(), sequence.end());
  symbols_.push_back({Symbol::end, 0});
}

Grammar::Symbol Grammar::one_of(const ByteSet& set) {
  const auto there = std::find(sets_.begin(), sets_.end(), set);
  const int index = int(there - sets_.begin());
  if (there == sets_.end()) sets_.push_back(set);
  return {Symbol::bytes, index};
}

Grammar::Sequence Grammar::literal(std::string_view text) {
  Sequence out;
  for (const char c : text) {
    ByteSet set;
    set.set(static_cast<unsigned char>(c));
    out.push_back(one_of(set));
  }
  return out;
}

bool Grammar::finish(int root) {
  root_ = root;
  rest_.assign(symbols_.size(), kNever);
  std::vector<int> of_rule(rules_.size(), kNever);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = symbols_.size(); i-- > 0;) {
      const Symbol& s = symbols_[i];
      rest_[i] =
          s.kind == Symbol::end
              ? 0
              : std::min(kNever,
                         rest_[i + 1] + (s.kind == Symbol::bytes ? 1 : of_rule[size_t(s.index)]));
    }
    for (size_t r = 0; r < rules_.size(); ++r)
      for (const uint32_t first : rules_[r])
        if (rest_[first] < of_rule[r]) of_rule[r] = rest_[first], changed = true;
  }
  return of_rule[size_t(root)] < kNever;
}

// Until a byte set is on top of each stack.
void Grammar::expand(Stack stack, State& out, State& seen) const {
  while (!stack.empty() && symbols_[stack.back()].kind == Symbol::end) stack.pop_back();
  if (std::find(seen.begin(), seen.end(), stack) != seen.end()) return;
  seen.push_back(stack);
  if (stack.empty() || symbols_[stack.back()].kind == Symbol::bytes) {
    out.push_back(std::move(stack));
    return;
  }
  const uint32_t at = stack.back();
  stack.pop_back();
  if (symbols_[at + 1].kind != Symbol::end) stack.push_back(at + 1);
  for (const uint32_t first : rules_[size_t(symbols_[at].index)]) {
    if (rest_[first] >= kNever) continue;
    Stack longer = stack;
    longer.push_back(first);
    expand(std::move(longer), out, seen);
  }
}

Grammar::State Grammar::start() const {
  State out, seen;
  for (const uint32_t first : rules_[size_t(root_)])
    if (rest_[first] < kNever) expand({first}, out, seen);
  return out;
}

Grammar::State Grammar::next(const State& state, uint8_t byte) const {
  State out, seen;
  for (const Stack& stack : state) {
    if (stack.empty() || !sets_[size_t(symbols_[stack.back()].index)].test(byte)) continue;
    Stack moved = stack;
    ++moved.back();
    expand(std::move(moved), out, seen);
  }
  return out;
}

bool Grammar::is_complete(const State& state) {
  return std::any_of(state.begin(), state.end(), [](const Stack& s) { return s.empty(); });
}

int Grammar::shortest(const State& state) const {
  int best = kNever;
  for (const Stack& stack : state) {
    int sum = 0;
    for (const uint32_t at : stack) sum = std::min(kNever, sum + rest_[at]);
    best = std::min(best, sum);
  }
  return best;
}

int Automaton::number_of(Grammar::State state) {
  if (state.empty()) return kRefused;
  std::sort(state.begin(), state.end());
  const auto [there, is_new] = numbers_.try_emplace(std::move(state), int(facts_.size()));
  if (is_new) {
    const Grammar::State& s = there->first;
    facts_.push_back(
        {s, grammar_->shortest(s), Grammar::is_complete(s), s.size() == 1 && s[0].empty(), {}});
    facts_.back().next.fill(kRefused - 1);
  }
  return there->second;
}

int Automaton::next(int state, uint8_t byte) {
  if (const int known = facts_[size_t(state)].next[byte]; known >= kRefused) return known;
  const int to = number_of(grammar_->next(facts_[size_t(state)].state, byte));
  return facts_[size_t(state)].next[byte] = to;
}

}  // namespace omni
