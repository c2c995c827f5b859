// A context-free grammar over bytes and the set of places in it where a text may be: what
// constrained decoding walks. Rules expand to the left-most byte; a tail call leaves no trace on
// the stack, so that lists of any length keep states equal and masks reusable.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

namespace omni {

using ByteSet = std::bitset<256>;

class Grammar {
 public:
  struct Symbol {
    enum Kind : uint8_t { bytes, rule, end } kind;
    int index;  // of a byte set or a rule
  };
  using Sequence = std::vector<Symbol>;
  // Places after which a text may go on: stacks of positions, the next byte's on top; an empty
  // stack is a complete text. No stacks: no such text.
  using Stack = std::vector<uint32_t>;
  using State = std::vector<Stack>;

  int add_rule();
  void add_alternative(int rule, const Sequence& sequence);
  Symbol one_of(const ByteSet& set);
  static Symbol use(int rule) { return {Symbol::rule, rule}; }
  Sequence literal(std::string_view text);
  // Call last. False if no text of finite length follows from `root`.
  bool finish(int root);

  size_t size() const { return symbols_.size() + rules_.size(); }
  State start() const;
  State next(const State& state, uint8_t byte) const;
  static bool is_complete(const State& state);
  // Bytes that a text in this state needs at least to become complete.
  int shortest(const State& state) const;

 private:
  void expand(Stack stack, State& out, State& seen) const;

  std::vector<std::vector<uint32_t>> rules_;  // → first position of each alternative
  // alternatives one after the other, each closed by an end
  std::vector<Symbol> symbols_;
  std::vector<ByteSet> sets_;
  std::vector<int> rest_;  // bytes that the alternative needs from a position on
  int root_ = 0;
};

// The grammar's states as they turn up, numbered, with their transitions: a byte that was seen in a
// state before costs a look-up.
class Automaton {
 public:
  static constexpr int kRefused = -1;

  explicit Automaton(const Grammar& grammar) : grammar_(&grammar) {}
  int start() { return number_of(grammar_->start()); }
  int next(int state, uint8_t byte);
  bool is_complete(int state) const { return facts_[size_t(state)].complete; }
  bool is_finished(int state) const {
    return facts_[size_t(state)].finished;
  }  // nothing may follow
  int shortest(int state) const { return facts_[size_t(state)].shortest; }
  size_t size() const { return facts_.size(); }

 private:
  struct Facts {
    Grammar::State state;
    int shortest;
    bool complete, finished;
    std::array<int32_t, 256> next;
  };
  int number_of(Grammar::State state);

  const Grammar* grammar_;
  std::vector<Facts> facts_;
  std::map<Grammar::State, int> numbers_;
};

}  // namespace omni
