#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace zaya {

/// XXH3 of 128 bits over bytes that come in pieces: finds damage and tells contents apart, as fast
/// as memory is read. It does not withstand somebody who means to deceive.
class Hash {
 public:
  Hash();
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;
  ~Hash();

  void add(std::span<const std::byte> bytes);
  /// Its length first, so that two texts in a row are not a third.
  void add(std::string_view text);

  /// 32 hexadecimal digits, in xxHash's canonical (big-endian) order.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace zaya
