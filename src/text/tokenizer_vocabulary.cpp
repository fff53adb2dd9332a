#include "text/tokenizer_vocabulary.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "text/tokenizer_table.h"

namespace zaya {

std::uint64_t Vocabulary::hash(std::string_view text) {
  std::uint64_t result = text.size();
  const char* p = text.data();
  std::size_t left = text.size();
  for (; left >= 8; p += 8, left -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, p, 8);
    result = mix_bits(result ^ word);
  }
  std::uint64_t word = 0;
  if (left >= 4) {  // two loads that may overlap; the length is already in the hash
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::memcpy(&first, p, 4);
    std::memcpy(&last, p + left - 4, 4);
    word = first | (static_cast<std::uint64_t>(last) << 32);
  } else {
    for (std::size_t i = 0; i < left; ++i) {
      word |= static_cast<std::uint64_t>(static_cast<unsigned char>(p[i])) << (8 * i);
    }
  }
  return mix_bits(result ^ word);
}

void Vocabulary::reserve(std::size_t tokens, std::size_t bytes) {
  bytes_.reserve(bytes);
  places_.reserve(tokens);
  std::size_t wanted = slots_.size();
  while (wanted < 2 * tokens) wanted *= 2;
  if (wanted > slots_.size()) rehash(wanted);
}

Vocabulary::Added Vocabulary::add(std::string_view text, TokenId id) {
  if (contains(id)) return Added::id_taken;
  if (2 * (count_ + 1) > slots_.size()) rehash(2 * slots_.size());
  const std::uint64_t h = hash(text);
  Slot& slot = slot_of(text, h);
  if (slot.id != kNone) return Added::text_taken;
  const Place place{static_cast<std::uint32_t>(bytes_.size()),
                    static_cast<std::uint32_t>(text.size())};
  if (id >= size()) places_.resize(static_cast<std::size_t>(id) + 1);
  places_[id] = place;
  bytes_.append(text);
  slot = {tag_of(h), id, place};
  ++count_;
  return Added::done;
}

TokenId Vocabulary::find(std::string_view text, std::uint64_t hash) const {
  const std::uint32_t tag = tag_of(hash);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = hash & mask; slots_[i].id != kNone; i = (i + 1) & mask) {
    if (slots_[i].tag == tag && at(slots_[i].place) == text) return slots_[i].id;
  }
  return kNone;
}

void Vocabulary::find_all(std::span<const std::string_view> texts, std::span<TokenId> ids) const {
  constexpr std::size_t kAhead = 32;
  std::array<std::uint64_t, kAhead> hashes{};
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t begin = 0; begin < texts.size(); begin += kAhead) {
    const std::size_t count = std::min(kAhead, texts.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      hashes[i] = hash(texts[begin + i]);
      __builtin_prefetch(&slots_[hashes[i] & mask]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      __builtin_prefetch(bytes_.data() + slots_[hashes[i] & mask].place.offset);
    }
    for (std::size_t i = 0; i < count; ++i) ids[begin + i] = find(texts[begin + i], hashes[i]);
  }
}

Vocabulary::Slot& Vocabulary::slot_of(std::string_view text, std::uint64_t hash) {
  const std::uint32_t tag = tag_of(hash);
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash & mask;
  for (std::size_t probes = 0; slots_[i].id != kNone; ++probes) {
    if (slots_[i].tag == tag && at(slots_[i].place) == text) break;
    if (probes == kMaxProbes) fail_collisions();
    i = (i + 1) & mask;
  }
  return slots_[i];
}

void Vocabulary::rehash(std::size_t slots) {
  slots_.assign(slots, {});
  for (TokenId id = 0; id < size(); ++id) {
    if (!contains(id)) continue;
    const std::uint64_t h = hash(text(id));
    slot_of(text(id), h) = {tag_of(h), id, places_[id]};
  }
}

}  // namespace zaya
