#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <vector>

#include "compute/gemm.h"
#include "train/ops/ops.h"

namespace zaya::train {

/// What every part of the model computes with. Sums over rows are taken in pieces of fixed size, in
/// order, so no result depends on the number of threads. T is float, or double, which takes plain
/// loops: what tests hold against finite differences.
template <class T>
class Context {
 public:
  Context(const Kernels& kernels, GemmKind kind, ThreadPool& threads)
      : ops(ops_of<T>(kernels.isa)), pool(threads), gemm_(kernels, kind) {}

  const Ops<T>& ops;
  ThreadPool& pool;

  /// Products shared out to all threads. Those into null, the gradients of what is not trained, are
  /// left out, and those that add nothing, of no rows.
  void multiply(std::span<const Gemm<T>> products) {
    const auto wanted = [](const Gemm<T>& product) {
      return product.c != nullptr && !(product.add && product.k == 0);
    };
    if (!std::all_of(products.begin(), products.end(), wanted)) {
      std::vector<Gemm<T>> rest;
      std::copy_if(products.begin(), products.end(), std::back_inserter(rest), wanted);
      multiply(rest);
      return;
    }
    if constexpr (std::is_same_v<T, float>) {
      gemm_.run(pool, products);
    } else {
      pool.run(products.size(), [&](std::size_t i) { plain_gemm(products[i]); });
    }
  }
  /// One product by the calling thread.
  void multiply_alone(const Gemm<T>& product) const {
    if constexpr (std::is_same_v<T, float>) {
      gemm_.run(product);
    } else {
      plain_gemm(product);
    }
  }

  /// f(begin, end) for all rows, by all threads.
  template <class F>
  void each_rows(std::size_t rows, F&& f) const {
    pool.run((rows + kPiece - 1) / kPiece,
             [&](std::size_t i) { f(i * kPiece, std::min(rows, (i + 1) * kPiece)); });
  }

  /// out [width] += the sums that f(begin, end, sums) adds up, which start at 0. Where out is null,
  /// f runs for its other results.
  template <class F>
  void sum_rows(std::size_t rows, std::size_t width, T* out, F&& f) {
    const std::size_t pieces = (rows + kPiece - 1) / kPiece;
    partial_.assign(pieces * width, T{0});
    pool.run(pieces, [&](std::size_t i) {
      f(i * kPiece, std::min(rows, (i + 1) * kPiece), partial_.data() + i * width);
    });
    if (out == nullptr) return;
    for (std::size_t i = 0; i < pieces; ++i) ops.add_row(partial_.data() + i * width, out, width);
  }

 private:
  static constexpr std::size_t kPiece = 64;  // rows

  GemmRunner gemm_;
  std::vector<T> partial_;
};

/// Numbers from `at` on, of null too.
template <class T>
T* part_of(T* numbers, std::size_t at) {
  return numbers != nullptr ? numbers + at : nullptr;
}

/// y = x W^T: [rows, in] to [rows, out], w [out, in].
template <class T>
Gemm<T> linear(Rows<const T> x, const T* w, Rows<T> y, std::size_t rows, std::size_t in,
               std::size_t out) {
  return {rows, out, in, {x.data, x.stride, 1}, {w, 1, in}, y.data, y.stride, false};
}

/// dx (+)= dy W.
template <class T>
Gemm<T> linear_input(Rows<const T> dy, const T* w, Rows<T> dx, std::size_t rows, std::size_t in,
                     std::size_t out, bool add) {
  return {rows, in, out, {dy.data, dy.stride, 1}, {w, in, 1}, dx.data, dx.stride, add};
}

/// dW += dy^T x.
template <class T>
Gemm<T> linear_weight(Rows<const T> x, Rows<const T> dy, T* dw, std::size_t rows, std::size_t in,
                      std::size_t out) {
  return {out, in, rows, {dy.data, 1, dy.stride}, {x.data, x.stride, 1}, dw, in, true};
}

}  // namespace zaya::train
