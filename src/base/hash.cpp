#include "base/hash.h"

#include <array>
#include <cstdint>
#include <new>

#include <fmt/format.h>
#include <xxhash.h>

namespace zaya {

struct Hash::State {
  XXH3_state_t* xxh = XXH3_createState();

  State() {
    if (xxh == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(xxh);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { XXH3_freeState(xxh); }
};

Hash::Hash() : state_(std::make_unique<State>()) {}

Hash::~Hash() = default;

void Hash::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

void Hash::add(std::string_view text) {
  std::array<std::byte, sizeof(std::uint64_t)> length;
  for (std::size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<std::byte>(std::uint64_t{text.size()} >> (8 * i));
  }
  add(length);
  add(std::as_bytes(std::span(text)));
}

std::string Hash::hex() const {
  const XXH128_hash_t value = XXH3_128bits_digest(state_->xxh);
  return fmt::format("{:016x}{:016x}", value.high64, value.low64);
}

}  // namespace zaya
