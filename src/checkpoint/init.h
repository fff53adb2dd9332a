#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/dtype.h"
#include "base/progress.h"
#include "checkpoint/config.h"
#include "checkpoint/convert.h"

namespace zaya {

/// Draws of N(0, deviation) for the elements [first, first + out.size()) of the tensor `name`: a
/// pure function of seed, name and element, whatever the threads and pieces.
///
/// A full-size model takes 9 billion draws, so they come from a table: the normal distribution's
/// quantile function at 4096 steps of equal probability, linear in between. 32 random bits a draw;
/// the moments are those of the normal distribution to 3 digits, and no draw is beyond 4
/// deviations.
void draw_normal(std::uint64_t seed, std::string_view name, std::uint64_t first, float deviation,
                 std::span<float> out);

struct InitOptions {
  std::uint64_t seed = 0;
  DType dtype = DType::bf16;  ///< f32 or bf16; balancing biases are always f32
  std::uint64_t max_shard_bytes = kDefaultShardBytes;
  std::filesystem::path text_from;  ///< copy tokenizer and the like from here; may be empty
};

/// Writes a randomly initialised checkpoint in the native layout to `folder` (new or empty):
/// matrices and embedding N(0, initializer_range), convolutions N(0, 0.02), norms, scales and key
/// temperatures 1, biases 0, balancing biases 0 and -1 for the skip class. A bf16 checkpoint is the
/// f32 one rounded. Needs memory for a few pieces of 16 MiB, whatever the model's size. Throws
/// Error; Cancelled when progress (in bytes) asks to stop. Either way nothing stays behind.
void init_checkpoint(const ModelConfig& config, const std::filesystem::path& folder,
                     const InitOptions& options, const Progress& progress = {});

}  // namespace zaya
