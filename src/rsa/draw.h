#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zaya::rsa {

/// `count` of `from` (all of them when there are no more), drawn uniformly without replacement, in
/// uniformly random order: a pure function of its arguments.
std::vector<std::size_t> draw_subset(std::span<const std::size_t> from, std::size_t count,
                                     std::uint64_t seed, std::uint64_t stream);

/// A number of its own for each place of a run: of (seed, problem) and then stage and slot.
std::uint64_t problem_seed(std::uint64_t seed, std::uint64_t problem);
std::uint64_t stream_of(std::size_t stage, std::size_t slot);

}  // namespace zaya::rsa
