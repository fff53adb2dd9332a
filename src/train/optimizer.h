#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "compute/gemm.h"
#include "train/ops/ops.h"
#include "train/tensors.h"

namespace zaya::train {

struct OptimizerOptions {
  bool muon = true;  ///< matrices by Muon; else everything by AdamW
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;  ///< of matrices; vectors, convolutions and embedding have none
  double momentum = 0.95;     ///< of Muon, Nesterov's
  double clip = 1.0;          ///< largest norm of all gradients together; 0: any
};

/// Muon (Jordan et al. 2024) for matrices, each slice of a stack of experts by itself, with updates
/// scaled to the size of AdamW's (0.2 sqrt(max(rows, columns)), arXiv:2502.16982), so that both
/// take one learning rate; AdamW for vectors, convolutions, embedding and head.
class Optimizer {
 public:
  Optimizer(OptimizerOptions options, std::vector<TensorInfo> layout, const Kernels& kernels,
            GemmKind kind, ThreadPool& pool);

  /// One step with the gradients as they are; returns their norm before clipping. Does nothing when
  /// that is no finite number. Balancing biases are left alone.
  double step(std::vector<float>& parameters, const std::vector<float>& gradients, double rate);

  /// What a checkpoint keeps: steps taken, and moments in the order of the arena. `second` has no
  /// numbers for tensors that Muon takes.
  struct State {
    std::uint64_t steps = 0;
    std::vector<float> first;
    std::vector<float> second;
  };
  State& state() { return state_; }

  /// Whether Muon takes this tensor: linear layers and experts.
  static bool is_matrix(const TensorInfo& tensor);

 private:
  /// Numbers that one task updates.
  struct Piece {
    std::size_t at;      ///< in the arena
    std::size_t second;  ///< in the second moments
    std::size_t rows;    ///< of a matrix for Muon
    std::size_t cols;
    bool muon;
    double decay;
  };

  void muon(const Piece& piece, float* p, const float* g, float scale, float rate);

  OptimizerOptions options_;
  const Ops<float>& ops_;
  GemmRunner gemm_;
  ThreadPool& pool_;
  std::vector<Piece> pieces_;
  State state_;
};

/// Five steps of the Newton-Schulz iteration X = a X + (b A + c A A) X, A = X X^T, that brings all
/// singular values near 1; coefficients of Jordan et al. x [rows, cols] is replaced; rows <= cols.
/// scratch: rows (2 rows + cols) numbers.
void newton_schulz(const GemmRunner& gemm, const Ops<float>& ops, float* x, std::size_t rows,
                   std::size_t cols, float* scratch);

}  // namespace zaya::train
