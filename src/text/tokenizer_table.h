#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "zaya/error.h"

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

/// Hash map from pairs of 21-bit numbers (token ids, code points) to 22-bit numbers, one word an
/// entry, with linear probing: the half a million merges of a large vocabulary take 8 MB, and a
/// search mostly touches one cache line. Nothing is ever removed.
class PairMap {
 public:
  static constexpr int kKeyBits = 21;  ///< of each half
  static constexpr int kValueBits = 22;
  static constexpr std::uint32_t kMissing = (1U << kValueBits) - 1;  ///< above all values

  /// kMissing when the pair is not there.
  std::uint32_t find(std::uint32_t a, std::uint32_t b) const {
    const std::uint64_t key = key_of(a, b);
    for (std::size_t i = mix_bits(key) & mask_;; i = (i + 1) & mask_) {
      if (slots_[i] >> kValueBits == key || slots_[i] == kFree) return slots_[i] & kMissing;
    }
  }
  bool contains(std::uint32_t a, std::uint32_t b) const { return find(a, b) != kMissing; }

  /// Inserts or overwrites. `value` is less than kMissing.
  void set(std::uint32_t a, std::uint32_t b, std::uint32_t value) {
    const std::uint64_t key = key_of(a, b);
    std::uint64_t* slot = &place(key);
    if (*slot == kFree && 2 * (++size_) > slots_.size()) {
      rehash(2 * slots_.size());
      slot = &place(key);
    }
    *slot = (key << kValueBits) | value;
  }

  void reserve(std::size_t count) {
    std::size_t wanted = slots_.size();
    while (wanted < 2 * count) wanted *= 2;
    if (wanted > slots_.size()) rehash(wanted);
  }

  /// Asks the memory for what find() and set() will read.
  void prefetch(std::uint32_t a, std::uint32_t b) const {
    __builtin_prefetch(&slots_[mix_bits(key_of(a, b)) & mask_]);
  }

 private:
  static constexpr std::uint64_t kFree = ~0ULL;  // its value is kMissing

  static std::uint64_t key_of(std::uint32_t a, std::uint32_t b) {
    return (static_cast<std::uint64_t>(a) << kKeyBits) | b;
  }

  std::uint64_t& place(std::uint64_t key) {
    std::size_t i = mix_bits(key) & mask_;
    for (std::size_t probes = 0; slots_[i] != kFree && slots_[i] >> kValueBits != key; ++probes) {
      if (probes == kMaxProbes) fail_collisions();
      i = (i + 1) & mask_;
    }
    return slots_[i];
  }

  void rehash(std::size_t slots) {
    std::vector<std::uint64_t> old(slots, kFree);
    old.swap(slots_);
    mask_ = slots - 1;
    for (const std::uint64_t slot : old) {
      if (slot != kFree) place(slot >> kValueBits) = slot;
    }
  }

  std::vector<std::uint64_t> slots_ = std::vector<std::uint64_t>(16, kFree);
  std::size_t mask_ = 15;
  std::size_t size_ = 0;
};

}  // namespace zaya
