#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/grammar/program.h"

namespace zaya::grammar {

class TokenMask;

/// A place in the grammar: an instruction, the counter of its rule, and who called (a node of
/// Automaton's stacks).
struct Place {
  Pc pc;
  std::uint32_t count;
  std::uint32_t stack;
  friend auto operator<=>(const Place&, const Place&) = default;
};

/// All places where the text so far may have led to. Two texts that may go on in the same ways
/// share one State, which then remembers where each byte leads.
struct State : std::enable_shared_from_this<State> {
  std::vector<Place> places;  ///< sorted; at Op::bytes and Op::token only
  bool accepting = false;     ///< the text may end here
  /// By PlainText: how many characters of that kind lead to a state just like this.
  std::array<std::uint32_t, kPlainKinds> plain{};
  std::vector<State*> next;               ///< by class of byte
  std::shared_ptr<const TokenMask> mask;  ///< what may come next, once somebody has asked
};

/// A pushdown automaton over bytes that is made deterministic as it is walked. Not for several
/// threads at once.
class Automaton {
 public:
  /// How deep rules may call each other: bounds the nesting of the text.
  static constexpr std::uint32_t kMostDepth = 64;
  /// A state of more places is given up: the grammar is too ambiguous.
  static constexpr std::size_t kMostPlaces = 4096;

  explicit Automaton(Program program);
  Automaton(const Automaton&) = delete;
  Automaton& operator=(const Automaton&) = delete;

  const Program& program() const { return program_; }
  std::shared_ptr<State> start() const { return start_; }

  /// The state after a byte; null when the grammar does not allow it.
  State* step(State& state, unsigned char byte) {
    State*& known = state.next[program_.byte_class[byte]];
    return known == &unknown_ ? known = computed_step(state, byte) : known;
  }
  State* step_token(const State& state, TokenId token);
  /// Places looked at since the beginning: a measure of time.
  std::size_t work() const { return work_; }
  /// Whether a state was given up for its size since the last call.
  bool take_overflow() { return std::exchange(overflow_, false); }
  /// Memory of the states and what they remember.
  std::size_t bytes() const { return bytes_; }
  void count_bytes(std::size_t more) { bytes_ += more; }
  /// Drops all states that no shared pointer holds, and what the others remember.
  void forget();

 private:
  struct Frame {
    std::uint32_t parent;
    Pc back;
    std::uint32_t count;
    std::uint32_t depth;
  };

  State* computed_step(const State& state, unsigned char byte);
  void add(Place place);
  void expand(State& state);
  void expand_loop(const Place& place, State& state);
  std::uint32_t push(const Place& place);
  State* intern(State&& state);

  Program program_;
  State unknown_;  // only its address matters

  std::vector<Frame> frames_;  // 0 is the bottom
  std::vector<std::uint32_t> free_frames_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> frame_ids_;
  std::unordered_multimap<std::uint64_t, std::shared_ptr<State>> states_;
  std::shared_ptr<State> start_;
  std::size_t bytes_ = 0;
  std::size_t work_ = 0;
  bool overflow_ = false;

  // Of the step being computed.
  std::vector<Place> pending_;
  std::vector<std::pair<std::uint32_t, Place>> seen_;  // a hash table; the number says which step
  std::uint32_t step_ = 0;
  std::size_t seen_count_ = 0;
};

}  // namespace zaya::grammar
