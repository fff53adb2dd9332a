#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace zaya {

/// Who may use the server. Keys are compared by their SHA-256 in constant time, so that neither
/// their length nor a common beginning shows in how long a refusal takes.
class ApiKeys {
 public:
  explicit ApiKeys(const std::vector<std::string>& keys);

  bool required() const { return !hashes_.empty(); }
  bool accepts(std::string_view key) const;

 private:
  using Hash = std::array<unsigned char, 32>;
  static Hash hash(std::string_view key);

  std::vector<Hash> hashes_;
};

/// One key a line; empty lines and lines that begin with # are left out. Throws Error when the file
/// cannot be read or holds no key.
std::vector<std::string> read_key_file(const std::string& path);

}  // namespace zaya
