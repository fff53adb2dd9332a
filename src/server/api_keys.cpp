#include "server/api_keys.h"

#include <algorithm>
#include <sstream>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya {

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) hashes_.push_back(hash(key));
}

ApiKeys::Hash ApiKeys::hash(std::string_view key) {
  Hash out;
  ::SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), out.data());
  return out;
}

bool ApiKeys::accepts(std::string_view key) const {
  const Hash given = hash(key);
  bool good = false;
  for (const Hash& h : hashes_) {
    const bool same = ::CRYPTO_memcmp(h.data(), given.data(), given.size()) == 0;
    good = good || same;
  }
  return good;
}

std::vector<std::string> read_key_file(const std::string& path) {
  std::istringstream lines(read_file(path, 1U << 20));
  std::vector<std::string> keys;
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line.front() != '#') keys.push_back(line);
  }
  if (keys.empty()) throw Error({.where = path, .what = "there is no key in the file"});
  return keys;
}

}  // namespace zaya
