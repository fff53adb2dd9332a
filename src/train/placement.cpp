#include "train/placement.h"

#include <algorithm>
#include <cstring>

#include "zaya/error.h"

namespace zaya::train {

void append_segment(Placement& placement, const Segment& segment) {
  if (segment.count == 0) return;
  if (!placement.empty()) {
    Segment& last = placement.back();
    if (last.rank == segment.rank && last.whole + last.count == segment.whole &&
        last.local + last.count == segment.local) {
      last.count += segment.count;
      return;
    }
  }
  placement.push_back(segment);
}

std::size_t local_size(const Placement& placement, std::size_t rank) {
  std::size_t size = 0;
  for (const Segment& s : placement) size += s.is_on(rank) ? s.count : 0;
  return size;
}

void collect(Communicator& ranks, const Placement& placement, std::span<const float> own,
             std::size_t begin, std::size_t end,
             const std::function<void(std::span<const float>)>& sink) {
  constexpr std::size_t kPart = std::size_t{1} << 20;  // numbers: 4 MB
  std::vector<float> part;
  for (const Segment& s : placement) {
    const std::size_t from = std::max(begin, s.whole);
    const std::size_t to = std::min(end, s.whole + s.count);
    for (std::size_t at = from; at < to; at += kPart) {
      const std::size_t n = std::min(kPart, to - at);
      const std::size_t local = s.local + (at - s.whole);
      if (s.is_on(0)) {
        if (ranks.rank() == 0) sink(own.subspan(local, n));
        continue;
      }
      part.resize(n);
      if (ranks.rank() == s.rank)
        std::copy_n(own.begin() + static_cast<long>(local), n, part.begin());
      ranks.move(s.rank, 0, std::as_writable_bytes(std::span(part)));
      if (ranks.rank() == 0) sink(part);
    }
  }
}

void take_part(const TensorView& whole, const Placement& placement, std::size_t rank,
               std::span<float> own) {
  if (whole.dtype != DType::f32) {
    throw Error({.where = "training state", .what = "wrong type of a tensor", .expected = "F32"});
  }
  for (const Segment& s : placement) {
    if (!s.is_on(rank)) continue;
    std::memcpy(own.data() + s.local, whole.data + s.whole * sizeof(float),
                s.count * sizeof(float));
  }
}

}  // namespace zaya::train
