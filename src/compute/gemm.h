#pragma once

#include <cstddef>
#include <span>

#include "compute/kernels/kernels.h"
#include "compute/linear.h"
#include "compute/thread_pool.h"

namespace zaya {

/// Products of the given kind; holds the memory for packed operands. Results do not depend on
/// threads, nor on which products run together.
class GemmRunner {
 public:
  GemmRunner(const Kernels& kernels, GemmKind kind)
      : kernels_(kind == GemmKind::f32 ? kernels.gemm_f32 : kernels.gemm_bf16) {}

  /// All products, which must not write what another one reads or writes, shared out to the pool's
  /// threads.
  void run(ThreadPool& pool, std::span<const Gemm<float>> products);
  /// One product by the calling thread; any number of threads may do so at once.
  void run(const Gemm<float>& product) const;

 private:
  struct Plan {
    std::size_t a;  ///< offset of the packed operand
    std::size_t b;
  };

  const GemmKernels& kernels_;
  AlignedBuffer memory_;
};

/// The definition, for types that no kernel knows.
template <class T>
void plain_gemm(const Gemm<T>& g) {
  for (std::size_t i = 0; i < g.m; ++i) {
    for (std::size_t j = 0; j < g.n; ++j) {
      T sum = g.add ? g.c[i * g.c_stride + j] : T{0};
      for (std::size_t l = 0; l < g.k; ++l) {
        sum += g.a.data[i * g.a.row + l * g.a.col] * g.b.data[l * g.b.row + j * g.b.col];
      }
      g.c[i * g.c_stride + j] = sum;
    }
  }
}

}  // namespace zaya
