#include "rsa/draw.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/random.h"

namespace zaya::rsa {
namespace {

// Below `bound`, every number with the same chance: draws past the last whole multiple are refused.
std::size_t below(Random& random, std::size_t bound) {
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t limit = most - most % bound;
  for (;;) {
    const std::uint64_t value = random.next();
    if (value < limit) return value % bound;
  }
}

}  // namespace

std::vector<std::size_t> draw_subset(std::span<const std::size_t> from, std::size_t count,
                                     std::uint64_t seed, std::uint64_t stream) {
  std::vector<std::size_t> all(from.begin(), from.end());
  count = std::min(count, all.size());
  Random random(seed, stream);
  // The first steps of a Fisher-Yates shuffle.
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(all[i], all[i + below(random, all.size() - i)]);
  }
  all.resize(count);
  return all;
}

std::uint64_t problem_seed(std::uint64_t seed, std::uint64_t problem) {
  return Random(seed, problem).next();
}

std::uint64_t stream_of(std::size_t stage, std::size_t slot) {
  return (static_cast<std::uint64_t>(stage) << 32) | slot;
}

}  // namespace zaya::rsa
