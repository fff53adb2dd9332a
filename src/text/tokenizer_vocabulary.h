#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zaya/token.h"

namespace zaya {

/// Token strings and their ids, both ways. All strings lie in one block of memory, so that hundreds
/// of thousands of them cost neither an allocation each nor a pointer chase.
class Vocabulary {
 public:
  /// Ids end here: tables are as long as the largest id, and no known vocabulary has a third of it.
  static constexpr TokenId kIdLimit = 1 << 21;
  static constexpr TokenId kNone = -1;

  enum class Added { done, text_taken, id_taken };

  void reserve(std::size_t tokens, std::size_t bytes);
  /// Adds a string that is not empty under an id below kIdLimit; changes nothing when either is
  /// taken.
  Added add(std::string_view text, TokenId id);

  /// Asks the memory for what find() and add() will read.
  void prefetch(std::string_view text) const {
    __builtin_prefetch(&slots_[hash(text) & (slots_.size() - 1)]);
  }

  /// kNone when no token is spelt so.
  TokenId find(std::string_view text) const { return find(text, hash(text)); }
  /// find() for many strings, several times as fast: the memory is asked for ahead.
  void find_all(std::span<const std::string_view> texts, std::span<TokenId> ids) const;
  bool contains(TokenId id) const { return id >= 0 && id < size() && places_[id].length != 0; }
  /// Empty for an id without a token. Valid until the next add().
  std::string_view text(TokenId id) const { return contains(id) ? at(places_[id]) : ""; }
  /// Largest id + 1.
  TokenId size() const { return static_cast<TokenId>(places_.size()); }

 private:
  struct Place {
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
  };
  // A part of the hash next to the id: most strings that differ are told apart without reading
  // them.
  struct Slot {
    std::uint32_t tag = 0;
    TokenId id = kNone;
    Place place;
  };

  static std::uint64_t hash(std::string_view text);
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
  std::string_view at(Place place) const { return {bytes_.data() + place.offset, place.length}; }
  TokenId find(std::string_view text, std::uint64_t hash) const;
  Slot& slot_of(std::string_view text, std::uint64_t hash);
  void rehash(std::size_t slots);

  std::string bytes_;
  std::vector<Place> places_;
  std::vector<Slot> slots_ = std::vector<Slot>(16);
  std::size_t count_ = 0;
};

}  // namespace zaya
