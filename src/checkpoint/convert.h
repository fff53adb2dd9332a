#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/progress.h"
#include "checkpoint/checkpoint.h"

namespace zaya {

/// Hugging Face's default shard size.
inline constexpr std::uint64_t kDefaultShardBytes = 5'000'000'000;

/// What people should know of this checkpoint in another layout than its own.
std::vector<std::string> conversion_notes(const Checkpoint& checkpoint, Layout layout);

/// Writes `checkpoint` in `layout` to `folder` (new or empty), with its text files. The tensors
/// keep type and bits, so there and back again gives the same tensors. Data is streamed from map to
/// file. Returns notes for people. Throws Error; Cancelled when progress (in bytes) asks to stop.
/// Either way nothing stays behind.
std::vector<std::string> convert_checkpoint(const Checkpoint& checkpoint, Layout layout,
                                            const std::filesystem::path& folder,
                                            std::uint64_t max_shard_bytes = kDefaultShardBytes,
                                            const Progress& progress = {});

}  // namespace zaya
