#include "text/grammar/automaton.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace zaya::grammar {
namespace {

std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = (a ^ (b + 0x9e3779b97f4a7c15ULL + (a << 6))) * 0xbf58476d1ce4e5b9ULL;
  return z ^ (z >> 29);
}

std::uint64_t hash_of(const Place& place) {
  return mixed(mixed(place.pc, place.count), place.stack);
}

std::uint64_t hash_of(const State& state) {
  std::uint64_t h = state.accepting ? 1 : 0;
  for (const Place& place : state.places) h = mixed(h, hash_of(place));
  return h;
}

}  // namespace

Automaton::Automaton(Program program)
    : program_(std::move(program)), frames_{{0, 0, 0, 0}}, seen_(256, {0, Place{}}) {
  ++step_;
  add({program_.start, 0, 0});
  State state;
  expand(state);
  start_ = intern(std::move(state))->shared_from_this();
}

void Automaton::add(Place place) {
  const std::uint32_t height = program_.height[place.pc];
  if (height == Program::kNever || frames_[place.stack].depth + height > kMostDepth) return;
  if (2 * (seen_count_ + 1) > seen_.size()) {
    const auto old = std::move(seen_);
    seen_.assign(2 * old.size(), {0, Place{}});
    for (const auto& entry : old) {
      if (entry.first != step_) continue;
      std::size_t at = hash_of(entry.second) & (seen_.size() - 1);
      while (seen_[at].first == step_) at = (at + 1) & (seen_.size() - 1);
      seen_[at] = entry;
    }
  }
  std::size_t at = hash_of(place) & (seen_.size() - 1);
  for (; seen_[at].first == step_; at = (at + 1) & (seen_.size() - 1)) {
    if (seen_[at].second == place) return;
  }
  seen_[at] = {step_, place};
  ++seen_count_;
  pending_.push_back(place);
}

std::uint32_t Automaton::push(const Place& place) {
  const Frame frame{place.stack, place.pc + 1, place.count, frames_[place.stack].depth + 1};
  const std::uint64_t hash = mixed(mixed(frame.parent, frame.back), frame.count);
  const auto [first, last] = frame_ids_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const Frame& known = frames_[it->second];
    if (known.parent == frame.parent && known.back == frame.back && known.count == frame.count) {
      return it->second;
    }
  }
  std::uint32_t id = 0;
  if (free_frames_.empty()) {
    id = static_cast<std::uint32_t>(frames_.size());
    frames_.push_back(frame);
  } else {
    id = free_frames_.back();
    free_frames_.pop_back();
    frames_[id] = frame;
  }
  frame_ids_.emplace(hash, id);
  bytes_ += sizeof(Frame) + 48;  // with the entry of the table
  return id;
}

void Automaton::expand_loop(const Place& place, State& state) {
  const Loop& loop = program_.loops[program_.code[place.pc].a];
  const bool bounded = loop.max != Loop::kUnbounded;
  const auto kind = static_cast<std::size_t>(loop.plain);
  if (!bounded || place.count < loop.max) {
    const std::uint32_t left = bounded ? loop.max - place.count : Loop::kUnbounded;
    state.plain[kind] = std::max(state.plain[kind], left);
    const std::uint32_t count = bounded ? place.count + 1 : std::min(place.count + 1, loop.min);
    add({loop.body, count, place.stack});
  }
  if (place.count >= loop.min) add({place.pc + 1, 0, place.stack});
}

// Follows everything that takes no byte.
void Automaton::expand(State& state) {
  while (!pending_.empty()) {
    const Place place = pending_.back();
    pending_.pop_back();
    ++work_;
    if (seen_count_ > 4 * kMostPlaces || state.places.size() > kMostPlaces) {
      overflow_ = true;
      pending_.clear();
      state = State();
      return;
    }
    const Instruction& i = program_.code[place.pc];
    switch (i.op) {
      case Op::bytes:
      case Op::token:
        state.places.push_back(place);
        break;
      case Op::call:
        add({i.a, 0, push(place)});
        break;
      case Op::enter:
        add({i.a, 0, place.stack});
        break;
      case Op::jump:
        add({i.a, place.count, place.stack});
        break;
      case Op::split:
        for (std::uint32_t t = 0; t < i.b; ++t) {
          add({program_.targets[i.a + t], place.count, place.stack});
        }
        break;
      case Op::loop:
        expand_loop(place, state);
        break;
      case Op::ret:
        if (place.stack == 0) {
          state.accepting = true;
        } else {
          const Frame& frame = frames_[place.stack];
          add({frame.back, frame.count, frame.parent});
        }
        break;
      case Op::fail:
        break;
    }
  }
  std::sort(state.places.begin(), state.places.end());
}

State* Automaton::intern(State&& state) {
  seen_count_ = 0;
  if (state.places.empty() && !state.accepting) return nullptr;
  const std::uint64_t hash = hash_of(state);
  const auto [first, last] = states_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (it->second->accepting == state.accepting && it->second->places == state.places) {
      return it->second.get();
    }
  }
  state.places.shrink_to_fit();
  state.next.assign(program_.classes, &unknown_);
  bytes_ +=
      sizeof(State) + 64 + state.places.size() * sizeof(Place) + state.next.size() * sizeof(State*);
  return states_.emplace(hash, std::make_shared<State>(std::move(state)))->second.get();
}

State* Automaton::computed_step(const State& state, unsigned char byte) {
  ++step_;
  work_ += state.places.size();
  for (const Place& place : state.places) {
    const Instruction& i = program_.code[place.pc];
    if (i.op == Op::bytes && program_.sets[i.a][byte]) {
      add({place.pc + 1, place.count, place.stack});
    }
  }
  State after;
  expand(after);
  return intern(std::move(after));
}

State* Automaton::step_token(const State& state, TokenId token) {
  ++step_;
  for (const Place& place : state.places) {
    const Instruction& i = program_.code[place.pc];
    if (i.op == Op::token && i.a == static_cast<std::uint32_t>(token)) {
      add({place.pc + 1, place.count, place.stack});
    }
  }
  State after;
  expand(after);
  return intern(std::move(after));
}

void Automaton::forget() {
  std::vector<bool> used(frames_.size(), false);
  used[0] = true;
  bytes_ = 0;
  for (auto it = states_.begin(); it != states_.end();) {
    if (it->second.use_count() == 1) {
      it = states_.erase(it);
      continue;
    }
    State& state = *it->second;
    state.mask.reset();
    std::fill(state.next.begin(), state.next.end(), &unknown_);
    for (const Place& place : state.places) {
      for (std::uint32_t f = place.stack; !used[f]; f = frames_[f].parent) used[f] = true;
    }
    bytes_ += sizeof(State) + 64 + state.places.size() * sizeof(Place) +
              state.next.size() * sizeof(State*);
    ++it;
  }
  for (auto it = frame_ids_.begin(); it != frame_ids_.end();) {
    if (used[it->second]) {
      bytes_ += sizeof(Frame) + 48;
      ++it;
    } else {
      free_frames_.push_back(it->second);
      it = frame_ids_.erase(it);
    }
  }
}

}  // namespace zaya::grammar
