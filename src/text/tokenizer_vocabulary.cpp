#include "text/tokenizer_vocabulary.h"

#include <cstring>

#include "text/tokenizer_table.h"

namespace zaya {
namespace {

std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = text.size();
  const char* p = text.data();
  std::size_t left = text.size();
  for (; left >= 8; p += 8, left -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, p, 8);
    hash = mix_bits(hash ^ word);
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
  return mix_bits(hash ^ word);
}

std::uint32_t tag_of(std::uint64_t hash) {
  return static_cast<std::uint32_t>(hash >> 32);
}

}  // namespace

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
  const std::uint64_t hash = hash_of(text);
  Slot& slot = slot_of(text, hash);
  if (slot.id != kNone) return Added::text_taken;
  if (id >= size()) places_.resize(static_cast<std::size_t>(id) + 1);
  places_[id] = {static_cast<std::uint32_t>(bytes_.size()),
                 static_cast<std::uint32_t>(text.size())};
  bytes_.append(text);
  slot = {tag_of(hash), id};
  ++count_;
  return Added::done;
}

TokenId Vocabulary::find(std::string_view text) const {
  const std::uint64_t hash = hash_of(text);
  const std::uint32_t tag = tag_of(hash);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = hash & mask; slots_[i].id != kNone; i = (i + 1) & mask) {
    if (slots_[i].tag == tag && this->text(slots_[i].id) == text) return slots_[i].id;
  }
  return kNone;
}

Vocabulary::Slot& Vocabulary::slot_of(std::string_view text, std::uint64_t hash) {
  const std::uint32_t tag = tag_of(hash);
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash & mask;
  for (std::size_t probes = 0; slots_[i].id != kNone; ++probes) {
    if (slots_[i].tag == tag && this->text(slots_[i].id) == text) break;
    if (probes == kMaxProbes) fail_collisions();
    i = (i + 1) & mask;
  }
  return slots_[i];
}

void Vocabulary::rehash(std::size_t slots) {
  slots_.assign(slots, {});
  for (TokenId id = 0; id < size(); ++id) {
    if (!contains(id)) continue;
    const std::uint64_t hash = hash_of(text(id));
    slot_of(text(id), hash) = {tag_of(hash), id};
  }
}

}  // namespace zaya
