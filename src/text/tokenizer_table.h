#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.h"

namespace zaya {

/// Longest search in a hash table. A table half full of ordinary keys stays far below it; a file
/// written so that all its keys collide is refused instead of taking hours.
constexpr std::size_t kMaxProbes = 4096;

[[noreturn]] inline void fail_collisions() {
  throw Error({.where = "tokenizer", .what = "too many entries collide in a hash table"});
}

/// Finaliser of MurmurHash3: every bit of the key moves every bit of the result.
inline std::uint64_t mix_bits(std::uint64_t key) {
  key = (key ^ (key >> 33)) * 0xff51afd7ed558ccdULL;
  key = (key ^ (key >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return key ^ (key >> 33);
}

/// Value of a FlatMap that is used as a set.
struct NoValue {};

/// Hash map from 64-bit keys (all but ~0) in one array, with linear probing: a search mostly
/// touches one cache line. Nothing is ever removed.
template <typename Value>
class FlatMap {
 public:
  /// nullptr when the key is missing. Valid until the next set().
  const Value* find(std::uint64_t key) const {
    for (std::size_t i = mix_bits(key) & mask_;; i = (i + 1) & mask_) {
      const Slot& slot = slots_[i];
      if (slot.key == key) return &slot.value;
      if (slot.key == kFree) return nullptr;
    }
  }

  bool contains(std::uint64_t key) const { return find(key) != nullptr; }
  std::size_t size() const { return size_; }

  void reserve(std::size_t count) {
    std::size_t wanted = slots_.size();
    while (wanted < 2 * count) wanted *= 2;
    if (wanted > slots_.size()) rehash(wanted);
  }

  /// Inserts or overwrites.
  void set(std::uint64_t key, Value value) {
    Slot& slot = place(key);
    if (slot.key == kFree) {
      if (2 * (size_ + 1) > slots_.size()) {
        rehash(2 * slots_.size());
        return set(key, value);
      }
      slot.key = key;
      ++size_;
    }
    slot.value = value;
  }

 private:
  static constexpr std::uint64_t kFree = ~0ULL;

  struct Slot {
    std::uint64_t key = kFree;
    [[no_unique_address]] Value value{};
  };

  Slot& place(std::uint64_t key) {
    std::size_t i = mix_bits(key) & mask_;
    for (std::size_t probes = 0; slots_[i].key != key && slots_[i].key != kFree; ++probes) {
      if (probes == kMaxProbes) fail_collisions();
      i = (i + 1) & mask_;
    }
    return slots_[i];
  }

  void rehash(std::size_t slots) {
    std::vector<Slot> old(slots);
    old.swap(slots_);
    mask_ = slots - 1;
    for (const Slot& slot : old) {
      if (slot.key != kFree) place(slot.key) = slot;
    }
  }

  std::vector<Slot> slots_ = std::vector<Slot>(16);
  std::size_t mask_ = 15;
  std::size_t size_ = 0;
};

}  // namespace zaya
