#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "text/grammar/automaton.h"
#include "text/grammar/token_trie.h"
#include "zaya/token.h"

namespace zaya::grammar {

/// A grammar with a vocabulary: which tokens may come next, in each state. Masks are computed when
/// they are first asked for and kept. Several threads may use one at once.
class Grammar {
 public:
  /// States and masks that are kept take at most about this, beside those in use.
  static constexpr std::size_t kMostBytes = std::size_t{24} << 20;
  /// Places (Automaton) looked at for one mask before a grammar is given up as too ambiguous:
  /// about a second.
  static constexpr std::size_t kMostWork = std::size_t{20} << 20;

  Grammar(Program program, std::shared_ptr<const TokenTrie> trie);

  /// Memory of what is remembered of states and masks.
  std::size_t bytes() const;

 private:
  friend class Constraint;

  std::shared_ptr<State> start() const { return automaton_.start(); }
  std::shared_ptr<const TokenMask> mask(State& state);
  std::shared_ptr<State> after(State& state, TokenId token);
  bool only_loops_take(PlainText kind, const State& state) const;
  void walk(State& state, std::span<const TokenTrie::Node> nodes, std::vector<TokenId>& allowed);
  void keep_small();

  mutable std::mutex lock_;
  Automaton automaton_;
  std::shared_ptr<const TokenTrie> trie_;
};

/// How far one output has got in a grammar. A value: a copy goes on as the original does.
class Constraint {
 public:
  explicit Constraint(std::shared_ptr<Grammar> grammar)
      : grammar_(std::move(grammar)), state_(grammar_->start()) {}

  /// The tokens that may come next, besides an end where can_end(). Throws Error when the grammar
  /// is too ambiguous to be followed, or the vocabulary lacks what it needs.
  std::shared_ptr<const TokenMask> mask() const { return grammar_->mask(*state_); }
  /// Takes a token. False, and nothing happens, when it is not allowed here.
  bool accept(TokenId token);
  /// Whether the output may end here.
  bool can_end() const { return state_->accepting; }
  /// Whether it can do nothing else.
  bool finished() const { return state_->accepting && state_->places.empty(); }

 private:
  std::shared_ptr<Grammar> grammar_;
  std::shared_ptr<State> state_;
};

}  // namespace zaya::grammar
