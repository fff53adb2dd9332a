#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "compute/gemm.h"
#include "train/communicator.h"
#include "train/ops/ops.h"
#include "train/placement.h"
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
///
/// Several ranks share the work and the moments out (ZeRO-1, arXiv:1910.02054): each updates whole
/// matrices and stretches of vectors, about the same count of numbers, and has the moments of these
/// only.
class Optimizer {
 public:
  /// `layout` is that of the whole model, `parameters` where it lies: tensors that are everywhere
  /// are shared out, the others are updated where they are.
  Optimizer(OptimizerOptions options, const std::vector<TensorInfo>& layout,
            const Placement& parameters, const Kernels& kernels, GemmKind kind, ThreadPool& pool,
            Communicator& ranks);
  /// All of it here.
  Optimizer(OptimizerOptions options, const std::vector<TensorInfo>& layout, const Kernels& kernels,
            GemmKind kind, ThreadPool& pool)
      : Optimizer(options, layout, {{Segment::kEverywhere, 0, 0, arena_size(layout)}}, kernels,
                  kind, pool, alone()) {}

  /// One step with the gradients summed over ranks; returns their norm before clipping. Does
  /// nothing when that is no finite number. Balancing biases are left alone. The gradients are of
  /// no use afterwards.
  double step(std::vector<float>& parameters, std::vector<float>& gradients, double rate);

  /// What a checkpoint keeps: steps taken, and this rank's moments in the order of the arena.
  /// `second` has no numbers for tensors that Muon takes.
  struct State {
    std::uint64_t steps = 0;
    std::vector<float> first;
    std::vector<float> second;
  };
  State& state() { return state_; }
  const Placement& first_placement() const { return first_placement_; }
  const Placement& second_placement() const { return second_placement_; }

  /// Whether Muon takes this tensor: linear layers and experts.
  static bool is_matrix(const TensorInfo& tensor);

 private:
  /// Numbers that one task updates.
  struct Piece {
    std::size_t at;      ///< in the arena
    std::size_t first;   ///< in the first moments
    std::size_t second;  ///< in the second moments
    std::size_t rows;    ///< of a matrix for Muon
    std::size_t cols;
    bool muon;
    double decay;
  };
  /// Numbers side by side that one rank updates.
  struct Run {
    std::size_t rank;
    std::size_t at;
    std::size_t count;
    bool shared;  ///< every rank has them
  };

  double squared_norm(const std::vector<float>& gradients) const;
  void muon(const Piece& piece, float* p, const float* g, float scale, float rate);

  OptimizerOptions options_;
  const Ops<float>& ops_;
  GemmRunner gemm_;
  ThreadPool& pool_;
  Communicator& ranks_;
  std::vector<Piece> pieces_;  ///< this rank's
  std::vector<Run> runs_;      ///< of all ranks, but for what only another one has
  Placement first_placement_;
  Placement second_placement_;
  State state_;
};

/// Five steps of the Newton-Schulz iteration X = a X + (b A + c A A) X, A = X X^T, that brings all
/// singular values near 1; coefficients of Jordan et al. x [rows, cols] is replaced; rows <= cols.
/// scratch: rows (2 rows + cols) numbers.
void newton_schulz(const GemmRunner& gemm, const Ops<float>& ops, float* x, std::size_t rows,
                   std::size_t cols, float* scratch);

}  // namespace zaya::train
