#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "zaya/token.h"

namespace zaya::grammar {

using ByteSet = std::bitset<256>;
using Pc = std::uint32_t;  ///< index of an instruction

/// What a text may consist of without any state of the automaton changing but a loop's counter.
/// The tokens of each kind are known beforehand, so that most of the vocabulary is let through at
/// once (TokenTrie::Slice).
enum class PlainText : std::uint8_t {
  none,
  json,  ///< characters that stand for themselves in a JSON string
  tag,   ///< characters that begin no closing tag: all but '<'
};
constexpr std::size_t kPlainKinds = 3;
/// The bytes that plain text is made of.
ByteSet plain_bytes(PlainText kind);

enum class Op : std::uint8_t {
  bytes,  ///< one byte of the set `a`, then the next instruction
  token,  ///< the token `a`, which is no text, then the next instruction
  call,   ///< the rule that begins at `a`, then the next instruction
  enter,  ///< the rule that begins at `a`, in place of the rest of this one
  jump,   ///< to `a`
  split,  ///< to each of targets [a, a + b)
  loop,   ///< loop `a`: to its body, counting, or to the next instruction
  ret,    ///< the rule ends
  fail,   ///< nothing comes of it
};

struct Instruction {
  Op op = Op::fail;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
};

/// A counted repetition. All loops of a rule share the rule's counter, which is zero again after a
/// loop: they may follow each other, or count the same thing, but not stand in one another.
struct Loop {
  static constexpr std::uint32_t kUnbounded = 0xffffffff;
  Pc body = 0;
  Pc body_end = 0;
  std::uint32_t min = 0;
  std::uint32_t max = kUnbounded;
  PlainText plain = PlainText::none;  ///< a character of this kind is a turn of the loop
};

/// A grammar over bytes: rules that call each other (a recursive transition network), as
/// instructions. Checked and pruned, never changed after it was made.
struct Program {
  std::vector<Instruction> code;
  std::vector<Pc> targets;
  std::vector<ByteSet> sets;
  std::vector<Loop> loops;
  Pc start = 0;

  /// Bytes that no instruction tells apart share a class.
  std::array<std::uint8_t, 256> byte_class{};
  std::size_t classes = 0;
  /// By pc: how many calls deep the shortest-stacked way to the rule's end goes; kNever if the end
  /// cannot be reached.
  std::vector<std::uint32_t> height;
  /// By pc: whether it is part of a turn of a loop over plain text.
  std::vector<bool> in_plain_loop;
  static constexpr std::uint32_t kNever = 0xffffffff;

  std::size_t bytes() const;
};

/// Writes a Program. Rules are declared, then written one after the other:
///
///   const Rule r = builder.declare();
///   builder.begin(r);
///   builder.literal("a");
///   builder.call(r);
///   builder.end();
class Builder {
 public:
  using Rule = std::uint32_t;
  /// A grammar longer than this is refused.
  static constexpr std::size_t kMostInstructions = std::size_t{1} << 20;

  Builder();

  Rule declare();
  void begin(Rule rule);
  /// Writes the rule's end and leaves it.
  void end();

  void byte(char c);
  void bytes(const ByteSet& set);
  void literal(std::string_view text);
  void token(TokenId id);
  void call(Rule rule);
  /// One of the alternatives; each is a function that writes it.
  template <class... Alternative>
  void either(Alternative&&... alternatives) {
    const Pc at = open_either(sizeof...(alternatives));
    std::vector<Pc> ends;
    std::size_t i = 0;
    ((alternative(at, i++), alternatives(), ends.push_back(emit(Op::jump))), ...);
    land(ends);
  }
  template <class Write>
  void either_of(std::size_t count, Write&& write) {
    const Pc at = open_either(count);
    std::vector<Pc> ends;
    for (std::size_t i = 0; i < count; ++i) {
      alternative(at, i);
      write(i);
      ends.push_back(emit(Op::jump));
    }
    land(ends);
  }
  template <class Write>
  void optional(Write&& write) {
    either(std::forward<Write>(write), [] {});
  }
  /// `write` min to max times, by the rule's counter.
  template <class Write>
  void repeat(std::uint32_t min, std::uint32_t max, PlainText plain, Write&& write) {
    // The first turns are written out, so that a grammar can be checked without counting: a turn
    // that is needed, but can never end, shows.
    if (min > 0 && plain == PlainText::none) {
      write();
      --min;
      if (max != Loop::kUnbounded) --max;
    }
    if (max == 0) return;
    const Pc at = here();
    emit(Op::loop, static_cast<std::uint32_t>(add_loop(min, max, plain)));
    const Pc over = emit(Op::jump);
    begin_loop_body(at);
    write();
    end_loop(at);
    land({&over, 1});
  }
  void fail() { emit(Op::fail); }

  // For graphs that are no tree of the above.
  Pc here() const { return static_cast<Pc>(program_.code.size()); }
  Pc emit(Op op, std::uint32_t a = 0, std::uint32_t b = 0);
  /// Fills in where a jump goes.
  void aim(Pc jump, Pc target) { program_.code[jump].a = target; }
  /// A split to `count` places that aim_split() names.
  Pc emit_split(std::size_t count);
  void aim_split(Pc split, std::size_t index, Pc target);
  std::uint32_t set(const ByteSet& set);
  std::size_t add_loop(std::uint32_t min, std::uint32_t max, PlainText plain);
  /// The body of the loop instruction at `at` begins here.
  void begin_loop_body(Pc at);
  /// The body ends here and goes back to the loop.
  void end_loop(Pc at);

  /// Checks and prunes. Throws Error when nothing at all can be written by `start`'s rule, or only
  /// with more than `most_depth` calls inside each other.
  Program finish(Rule start, std::uint32_t most_depth);

 private:
  Pc open_either(std::size_t count) { return emit_split(count); }
  void alternative(Pc split, std::size_t index) { aim_split(split, index, here()); }
  void land(std::span<const Pc> jumps);

  Program program_;
  std::vector<Pc> entries_;  // of the rules
  std::map<std::vector<std::uint64_t>, std::uint32_t> known_sets_;
  std::vector<std::uint32_t> single_;  // by byte: the set of it alone
};

}  // namespace zaya::grammar
