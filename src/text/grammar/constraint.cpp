#include "text/grammar/constraint.h"

#include <algorithm>
#include <array>
#include <utility>

#include "zaya/error.h"

namespace zaya::grammar {

Grammar::Grammar(Program program, std::shared_ptr<const TokenTrie> trie)
    : automaton_(std::move(program)), trie_(std::move(trie)) {}

std::size_t Grammar::bytes() const {
  const std::lock_guard lock(lock_);
  return automaton_.bytes();
}

void Grammar::keep_small() {
  if (automaton_.bytes() > kMostBytes) automaton_.forget();
}

bool Grammar::only_loops_take(PlainText kind, const State& state) const {
  const Program& program = automaton_.program();
  return std::none_of(state.places.begin(), state.places.end(), [&](const Place& place) {
    const Instruction& i = program.code[place.pc];
    return i.op == Op::bytes && !program.in_plain_loop[place.pc] &&
           (program.sets[i.a] & plain_bytes(kind)).any();
  });
}

// All tokens of a tree that the automaton takes from `state`.
void Grammar::walk(State& state, std::span<const TokenTrie::Node> nodes,
                   std::vector<TokenId>& allowed) {
  std::array<State*, 256> path{&state};
  const std::size_t most = automaton_.work() + kMostWork;
  for (std::size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    State* next = automaton_.step(*path[node.depth - 1U], node.byte);
    if (next == nullptr) {
      i = node.skip;
      continue;
    }
    path[node.depth] = next;
    if (node.token >= 0) allowed.push_back(node.token);
    if (automaton_.work() > most) {
      throw Error({.where = "grammar", .what = "too ambiguous: it takes too long to follow"});
    }
    ++i;
  }
}

std::shared_ptr<const TokenMask> Grammar::mask(State& state) {
  const std::lock_guard lock(lock_);
  if (state.mask) return state.mask;
  keep_small();
  automaton_.take_overflow();
  const auto mask = std::make_shared<TokenMask>(trie_->vocab());
  std::vector<TokenId> allowed;
  for (const Place& place : state.places) {
    const Instruction& i = automaton_.program().code[place.pc];
    if (i.op == Op::token) allowed.push_back(static_cast<TokenId>(i.a));
  }
  std::span<const TokenTrie::Node> nodes = trie_->nodes();
  for (const PlainText kind : {PlainText::json, PlainText::tag}) {
    const std::uint32_t characters = state.plain[static_cast<std::size_t>(kind)];
    if (characters == 0) continue;
    const TokenTrie::Slice& slice = trie_->slice(kind);
    mask->add(slice.up_to[std::min(characters, TokenTrie::Slice::kLongest)]);
    // Longer tokens of the slice are not allowed, unless something else than the loop takes them.
    const bool complete = characters >= TokenTrie::Slice::kLongest || only_loops_take(kind, state);
    if (complete && slice.others.size() < nodes.size()) nodes = slice.others;
  }
  walk(state, nodes, allowed);
  mask->add(allowed);
  allowed.clear();
  for (const auto& [token, twin] : trie_->twins()) {
    if (mask->contains(token)) allowed.push_back(twin);
  }
  mask->add(allowed);
  if (mask->empty() && !state.accepting) {
    throw Error({.where = "grammar",
                 .what = automaton_.take_overflow()
                             ? "too ambiguous: too many ways to read the same text"
                             : "no token of the vocabulary can follow"});
  }
  state.mask = mask;
  automaton_.count_bytes(mask->bytes());
  return mask;
}

std::shared_ptr<State> Grammar::after(State& state, TokenId token) {
  const std::lock_guard lock(lock_);
  keep_small();
  const std::string_view bytes = trie_->bytes(token);
  State* next = bytes.empty() ? automaton_.step_token(state, token) : &state;
  for (std::size_t i = 0; i < bytes.size() && next != nullptr; ++i) {
    next = automaton_.step(*next, static_cast<unsigned char>(bytes[i]));
  }
  return next == nullptr ? nullptr : next->shared_from_this();
}

bool Constraint::accept(TokenId token) {
  std::shared_ptr<State> next = grammar_->after(*state_, token);
  if (!next) return false;
  state_ = std::move(next);
  return true;
}

}  // namespace zaya::grammar
