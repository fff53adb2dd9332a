#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "checkpoint/tensor.h"
#include "train/communicator.h"

namespace zaya::train {

/// Where the numbers of a whole array, as a checkpoint has it, lie on the ranks.
struct Segment {
  static constexpr std::size_t kEverywhere = ~std::size_t{0};

  std::size_t rank;   ///< whose it is; or kEverywhere
  std::size_t whole;  ///< first number, in the whole array
  std::size_t local;  ///< the same in the rank's own array
  std::size_t count;

  bool is_on(std::size_t r) const { return rank == r || rank == kEverywhere; }
};

/// In the order of the whole array, without gaps.
using Placement = std::vector<Segment>;

/// Adds a segment, to the last one where both lie one behind the other.
void append_segment(Placement& placement, const Segment& segment);

/// Numbers that a rank has.
std::size_t local_size(const Placement& placement, std::size_t rank);

/// Numbers [begin, end) of the whole array, in order, to `sink` of rank 0. Every rank calls it with
/// its own array; rank 0 holds no more than a few MB of others.
void collect(Communicator& ranks, const Placement& placement, std::span<const float> own,
             std::size_t begin, std::size_t end,
             const std::function<void(std::span<const float>)>& sink);

/// What a rank has of the whole array: fp32 values as stored. Throws Error when the array is none
/// of fp32; its size must be that of the placement.
void take_part(const TensorView& whole, const Placement& placement, std::size_t rank,
               std::span<float> own);

}  // namespace zaya::train
