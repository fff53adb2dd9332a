#include "compute/linear.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace zaya {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kPackRows = LinearKernels::kPackRows;
/// Products of bytes, 255 * 128 at most, whose sum fits 32 bits.
constexpr std::size_t kMostDepth = 65536;

}  // namespace

void AlignedBuffer::Free::operator()(std::byte* p) const {
  std::free(p);  // NOLINT(cppcoreguidelines-no-malloc): as aligned_alloc asks
}

std::byte* AlignedBuffer::resize(std::size_t bytes) {
  if (bytes > size_) {
    const std::size_t size = (bytes + kLine - 1) / kLine * kLine;
    data_.reset();
    size_ = 0;
    auto* data = static_cast<std::byte*>(std::aligned_alloc(kLine, size));
    if (data == nullptr) throw std::bad_alloc();
    data_.reset(data);
    size_ = size;
  }
  return data_.get();
}

void PackedInput::pack(const Kernels& kernels, ThreadPool& pool, InputKind kind,
                       Rows<const float> x, std::size_t rows, std::size_t depth) {
  if (rows <= kPackRows) return pack(kernels, kind, x, rows, depth);
  const LinearKernels& linear = kernels.linear(kind);
  kind_ = kind;
  rows_ = rows;
  std::byte* out = buffer_.resize(linear.packed_bytes(kind, rows, depth));
  pool.run_ranges(rows, kPackRows, [&](std::size_t first, std::size_t last) {
    linear.pack(kind, x, nullptr, rows, first, last, depth, out);
  });
}

void PackedInput::pack(const Kernels& kernels, InputKind kind, Rows<const float> x,
                       std::size_t rows, std::size_t depth, const std::uint32_t* index) {
  const LinearKernels& linear = kernels.linear(kind);
  kind_ = kind;
  rows_ = rows;
  std::byte* out = buffer_.resize(linear.packed_bytes(kind, rows, depth));
  linear.pack(kind, x, index, rows, 0, rows, depth, out);
}

void PackedInput::multiply(const Kernels& kernels, const WeightView& w, std::size_t first,
                           std::size_t last, Rows<float> y) const {
  multiply_packed(kernels, w, first, last, kind_, buffer_.data(), rows_, y);
}

void multiply_packed(const Kernels& kernels, const WeightView& w, std::size_t first,
                     std::size_t last, InputKind kind, const std::byte* packed, std::size_t rows,
                     Rows<float> y) {
  static thread_local AlignedBuffer scratch;
  const LinearKernels& linear = kernels.linear(kind);
  // Of many rows, as many at a time as stay in the second-level cache while the columns pass.
  constexpr std::size_t kBlockBytes = std::size_t{1} << 19;
  constexpr std::size_t kStep = 2 * kPackRows;
  const std::size_t step_bytes = linear.packed_bytes(kind, kStep, w.cols);
  const std::size_t block = std::max(kStep, kBlockBytes / step_bytes * kStep);
  std::byte* memory = scratch.resize(linear.scratch_bytes(w, kind, std::min(rows, block)));
  for (std::size_t begin = 0; begin < rows; begin += block) {
    const PackedRows x{packed, rows, begin, std::min(rows, begin + block)};
    linear.multiply(w, first, last, kind, x, y, memory);
  }
}

InputKind fast_input(const WeightView& w, bool wide) {
  const bool row_scale = w.scale_code == ScaleCode::bf16 || w.scale_code == ScaleCode::f32;
  switch (w.code) {
    case WeightCode::f32:
      return InputKind::f32;
    case WeightCode::i8:
    case WeightCode::u8:
      if (row_scale && w.scale_rows == 1 && w.scale_cols >= w.cols && w.cols <= kMostDepth) {
        return InputKind::int16;
      }
      break;
    case WeightCode::u4:
      if (w.stepped && row_scale && w.scale_rows == 1 && w.scale_cols == 32 && w.cols % 32 == 0) {
        return InputKind::int8;
      }
      break;
    case WeightCode::bf16:
    case WeightCode::e4m3:
    case WeightCode::e2m1:
    case WeightCode::nf4:
      break;
  }
  return wide ? InputKind::wide : InputKind::bf16;
}

}  // namespace zaya
