#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cache/sequence.h"
#include "checkpoint/safetensors.h"

namespace zaya {

/// What a state belongs to; to anything else its numbers mean nothing.
struct SessionOwner {
  std::string checkpoint;  ///< checkpoint_identity()
  std::string compute;     ///< "f32" or "fast"
};

/// Writes the state of a sequence with at least one token. The file is safetensors:
///
///   tokens         I32 [n]
///   tail           F32 [layers, StateLayout::tail_floats]
///   layer.{i}.kv   U8 [pages, StateLayout::page_bytes(i)], as they lie in memory: all pages, or
///                  the last ones where a sliding window has passed the others
///
/// and its metadata say format ("zaya-session"), version, owner, how K and V are stored, and a
/// checksum over all of it. Nothing is copied, and the file has its name only when it is whole.
/// Throws Error for a sequence with an adapter, or when the file cannot be written.
void write_session(const std::filesystem::path& path, const Sequence& sequence,
                   const StateLayout& layout, const SessionOwner& owner);

/// Such a file, read from memory.
class SessionFile {
 public:
  /// Checks everything but the checksum. Throws Error, naming `where`, for a file that is none of
  /// ours, damaged, of another version, checkpoint or numerics. `file` must outlive it.
  SessionFile(std::span<const std::byte> file, std::string where, const StateLayout& layout,
              const SessionOwner& owner);

  /// Throws Error when the data are not what was written.
  void verify() const;

  const std::vector<TokenId>& tokens() const { return tokens_; }
  /// Bytes of its pages.
  std::size_t kv_bytes() const;
  /// Puts the state into an empty sequence of the same layout. Throws Error when there is no room
  /// for its pages.
  void restore(Sequence& sequence) const;

 private:
  std::span<const std::byte> take(const std::string& name, DType type,
                                  const std::vector<std::size_t>& shape);
  std::size_t first_of(const std::string& name) const;

  std::string where_;
  std::span<const std::byte> file_;
  SafetensorsHeader header_;
  std::vector<TokenId> tokens_;
  std::vector<std::span<const std::byte>> data_;  // tokens, tail, K and V of each layer
  std::vector<std::size_t> dropped_;              // pages that are not there, of each layer
};

}  // namespace zaya
