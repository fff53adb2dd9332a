#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "compute/kernels/kernels.h"
#include "compute/thread_pool.h"

namespace zaya {

constexpr std::size_t kInputKinds = 5;

/// Memory aligned to cache lines that grows and never shrinks. Its content is lost when it grows.
class AlignedBuffer {
 public:
  std::byte* resize(std::size_t bytes);
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_ = 0;
};

/// Rows of inputs, packed for the matrices that read them as `kind`.
class PackedInput {
 public:
  /// Packs with every thread of the pool.
  void pack(const Kernels& kernels, ThreadPool& pool, InputKind kind, Rows<const float> x,
            std::size_t rows, std::size_t depth);
  /// Packs by the calling thread. Row i is x.row(index[i]), or x.row(i) when index is null.
  void pack(const Kernels& kernels, InputKind kind, Rows<const float> x, std::size_t rows,
            std::size_t depth, const std::uint32_t* index = nullptr);

  /// y[r][n - first] = sum over k of x[r][k] w[n][k], for n in [first, last), by the calling
  /// thread. Any number of threads may do so at once.
  void multiply(const Kernels& kernels, const WeightView& w, std::size_t first, std::size_t last,
                Rows<float> y) const;

 private:
  AlignedBuffer buffer_;
  InputKind kind_ = InputKind::f32;
  std::size_t rows_ = 0;
};

/// The product of one matrix with inputs that `packed` holds, by the calling thread.
void multiply_packed(const Kernels& kernels, const WeightView& w, std::size_t first,
                     std::size_t last, InputKind kind, const std::byte* packed, std::size_t rows,
                     Rows<float> y);

/// How `w` takes its inputs in the fast mode: as 16-bit integers where its rows are integers times
/// one scale, else rounded to bf16; `wide` asks for inputs that are not rounded to bf16.
InputKind fast_input(const WeightView& w, bool wide);

}  // namespace zaya
