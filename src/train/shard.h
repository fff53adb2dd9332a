#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "zaya/token.h"

namespace zaya::train {

/// Tokenised examples, one behind the other.
struct Examples {
  std::vector<TokenId> tokens;
  std::vector<std::uint8_t> loss;       ///< of each token: whether it is a target
  std::vector<std::int64_t> starts{0};  ///< [examples + 1]

  std::size_t count() const { return starts.size() - 1; }
  void add(std::span<const TokenId> example, std::span<const std::uint8_t> targets);
};

/// Writes examples as one safetensors file: `tokens` I32, `loss` U8, `starts` I64. The metadata
/// gets a checksum of all three; the file appears only when it is complete.
void write_shard(const std::filesystem::path& path, const Examples& examples,
                 std::map<std::string, std::string> metadata);

/// A file of examples, mapped.
class Shard {
 public:
  /// Throws Error when the file is none of write_shard()'s, or does not have its checksum.
  explicit Shard(const std::filesystem::path& path);

  std::size_t count() const { return starts_.size() - 1; }
  std::span<const TokenId> tokens(std::size_t example) const {
    return tokens_.subspan(begin(example), begin(example + 1) - begin(example));
  }
  std::span<const std::uint8_t> loss(std::size_t example) const {
    return loss_.subspan(begin(example), begin(example + 1) - begin(example));
  }
  std::size_t total_tokens() const { return tokens_.size(); }
  const std::map<std::string, std::string>& metadata() const { return file_.metadata(); }

 private:
  std::size_t begin(std::size_t example) const {
    return static_cast<std::size_t>(starts_[example]);
  }

  SafetensorsFile file_;
  std::span<const TokenId> tokens_;
  std::span<const std::uint8_t> loss_;
  std::span<const std::int64_t> starts_;
};

/// The shards of a folder, in the order of their names. Throws Error when there are none.
std::vector<std::filesystem::path> shard_files(const std::filesystem::path& folder);

}  // namespace zaya::train
