#include "text/grammar/program.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya::grammar {
namespace {

constexpr std::uint32_t kNoPc = 0xffffffff;

// The classes of bytes that all sets of the program treat alike.
void classify_bytes(Program& program) {
  std::vector<std::string> memberships(256);
  for (const ByteSet& set : program.sets) {
    for (std::size_t b = 0; b < 256; ++b) memberships[b].push_back(set[b] ? '1' : '0');
  }
  std::unordered_map<std::string, std::uint8_t> classes;
  for (std::size_t b = 0; b < 256; ++b) {
    const auto [it, added] =
        classes.emplace(memberships[b], static_cast<std::uint8_t>(classes.size()));
    program.byte_class[b] = it->second;
  }
  program.classes = classes.size();
}

// Where an instruction hands on to inside its rule, and through which call.
template <class See>
void successors(const Program& program, Pc pc, See&& see) {
  const Instruction& i = program.code[pc];
  switch (i.op) {
    case Op::bytes:
    case Op::token:
    case Op::call:
      see(pc + 1);
      break;
    case Op::jump:
      see(i.a);
      break;
    case Op::split:
      for (std::uint32_t t = 0; t < i.b; ++t) see(program.targets[i.a + t]);
      break;
    case Op::loop:
      see(pc + 1);
      see(program.loops[i.a].body);
      break;
    case Op::enter:
    case Op::ret:
    case Op::fail:
      break;
  }
}

// A call that its rule ends with leaves nothing to come back to: a list of a thousand elements, or
// a value that is one of several kinds, then takes no room on the stack.
void find_tail_calls(Program& program) {
  for (Pc pc = 0; pc < program.code.size(); ++pc) {
    if (program.code[pc].op != Op::call) continue;
    Pc next = pc + 1;
    for (int hops = 0; program.code[next].op == Op::jump && hops < 64; ++hops) {
      next = program.code[next].a;
    }
    if (program.code[next].op == Op::ret) program.code[pc].op = Op::enter;
  }
}

// height[pc], a least fixed point: an instruction is looked at again when one that it hands on to,
// or the rule that it calls, has become lower.
void measure_heights(Program& program) {
  const std::size_t size = program.code.size();
  std::vector<std::uint32_t>& height = program.height;
  height.assign(size, Program::kNever);
  std::vector<std::uint32_t> first(size + 1, 0);  // who depends on an instruction, in one array
  const auto each_dependence = [&](auto&& see) {
    for (Pc pc = 0; pc < size; ++pc) {
      successors(program, pc, [&](Pc next) { see(next, pc); });
      const Op op = program.code[pc].op;
      if (op == Op::call || op == Op::enter) see(program.code[pc].a, pc);
    }
  };
  each_dependence([&](Pc on, Pc) { ++first[on + 1]; });
  for (std::size_t i = 0; i < size; ++i) first[i + 1] += first[i];
  std::vector<Pc> dependents(first[size]);
  std::vector<std::uint32_t> fill(first.begin(), first.end() - 1);
  each_dependence([&](Pc on, Pc who) { dependents[fill[on]++] = who; });

  // Each round settles the instructions whose height is exactly `round`: those of height zero
  // need no calls, and only a call can need one more than what it reaches.
  const auto value = [&](Pc pc) {
    const Instruction& i = program.code[pc];
    if (i.op == Op::ret) return 0U;
    if (i.op == Op::enter) return height[i.a];
    std::uint32_t best = Program::kNever;
    successors(program, pc, [&](Pc next) { best = std::min(best, height[next]); });
    if (i.op == Op::call) {
      const std::uint32_t inner = height[i.a];
      if (inner == Program::kNever || best == Program::kNever) return Program::kNever;
      best = std::max(best, inner + 1);
    }
    return best;
  };
  std::vector<std::vector<Pc>> rounds(1);
  for (Pc pc = 0; pc < size; ++pc) {
    if (program.code[pc].op == Op::ret) rounds[0].push_back(pc);
  }
  for (std::size_t round = 0; round < rounds.size(); ++round) {
    std::vector<Pc> queue = std::move(rounds[round]);
    while (!queue.empty()) {
      const Pc pc = queue.back();
      queue.pop_back();
      const std::uint32_t now = value(pc);
      if (now >= height[pc]) continue;
      if (now > round) {
        if (rounds.size() <= now) rounds.resize(now + 1);
        rounds[now].push_back(pc);
        continue;
      }
      height[pc] = now;
      for (std::uint32_t d = first[pc]; d < first[pc + 1]; ++d) queue.push_back(dependents[d]);
    }
  }
}

}  // namespace

ByteSet plain_bytes(PlainText kind) {
  ByteSet set;
  if (kind == PlainText::none) return set;
  set.set();
  if (kind == PlainText::tag) return set.reset('<');
  for (std::size_t b = 0; b < ' '; ++b) set.reset(b);
  return set.reset('"').reset('\\');
}

std::size_t Program::bytes() const {
  return code.size() * (sizeof(Instruction) + sizeof(std::uint32_t)) + targets.size() * sizeof(Pc) +
         sets.size() * sizeof(ByteSet) + loops.size() * sizeof(Loop);
}

Builder::Builder() : single_(256, kNoPc) {}

Builder::Rule Builder::declare() {
  entries_.push_back(kNoPc);
  return static_cast<Rule>(entries_.size() - 1);
}

void Builder::begin(Rule rule) {
  entries_[rule] = here();
}

void Builder::end() {
  emit(Op::ret);
}

Pc Builder::emit(Op op, std::uint32_t a, std::uint32_t b) {
  if (program_.code.size() >= kMostInstructions) {
    throw Error({.where = "grammar",
                 .what = "too large",
                 .expected = fmt::format("at most {} instructions", kMostInstructions)});
  }
  program_.code.push_back({op, a, b});
  return here() - 1;
}

std::uint32_t Builder::set(const ByteSet& set) {
  std::vector<std::uint64_t> key(4);
  for (std::size_t b = 0; b < 256; ++b) key[b / 64] |= static_cast<std::uint64_t>(set[b]) << b % 64;
  const auto [it, added] =
      known_sets_.emplace(std::move(key), static_cast<std::uint32_t>(program_.sets.size()));
  if (added) program_.sets.push_back(set);
  return it->second;
}

void Builder::byte(char c) {
  const auto value = static_cast<unsigned char>(c);
  if (single_[value] == kNoPc) single_[value] = set(ByteSet().set(value));
  emit(Op::bytes, single_[value]);
}

void Builder::bytes(const ByteSet& allowed) {
  emit(Op::bytes, set(allowed));
}

void Builder::literal(std::string_view text) {
  for (const char c : text) byte(c);
}

void Builder::token(TokenId id) {
  emit(Op::token, static_cast<std::uint32_t>(id));
}

void Builder::call(Rule rule) {
  emit(Op::call, rule);
}  // finish() puts its place in

Pc Builder::emit_split(std::size_t count) {
  if (program_.targets.size() + count > kMostInstructions) {
    throw Error({.where = "grammar", .what = "too many alternatives"});
  }
  const auto first = static_cast<std::uint32_t>(program_.targets.size());
  program_.targets.resize(first + count);
  return emit(Op::split, first, static_cast<std::uint32_t>(count));
}

void Builder::aim_split(Pc split, std::size_t index, Pc target) {
  program_.targets[program_.code[split].a + index] = target;
}

std::size_t Builder::add_loop(std::uint32_t min, std::uint32_t max, PlainText plain) {
  program_.loops.push_back({.min = min, .max = max, .plain = plain});
  return program_.loops.size() - 1;
}

void Builder::begin_loop_body(Pc at) {
  program_.loops[program_.code[at].a].body = here();
}

void Builder::end_loop(Pc at) {
  emit(Op::jump, at);
  program_.loops[program_.code[at].a].body_end = here();
}

void Builder::land(std::span<const Pc> jumps) {
  for (const Pc jump : jumps) aim(jump, here());
}

Program Builder::finish(Rule start, std::uint32_t most_depth) {
  for (Instruction& i : program_.code) {
    if (i.op == Op::call) i.a = entries_[i.a];
  }
  program_.start = entries_[start];
  find_tail_calls(program_);
  measure_heights(program_);
  const std::uint32_t height = program_.height[program_.start];
  if (height == Program::kNever) {
    throw Error({.where = "grammar",
                 .what = "nothing can ever satisfy it: it contradicts itself, or asks for itself "
                         "without an end"});
  }
  if (height > most_depth) {
    throw Error({.where = "grammar",
                 .what = "nested too deep",
                 .expected = fmt::format("at most {} levels", most_depth),
                 .found = fmt::format("{}", height)});
  }
  classify_bytes(program_);
  program_.in_plain_loop.assign(program_.code.size(), false);
  for (const Loop& loop : program_.loops) {
    if (loop.plain == PlainText::none) continue;
    std::fill(program_.in_plain_loop.begin() + loop.body,
              program_.in_plain_loop.begin() + loop.body_end, true);
  }
  return std::move(program_);
}

}  // namespace zaya::grammar
