#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/attention.h"
#include "model/ops.h"

namespace zaya {

/// Inputs sorted by expert, each expert's rows packed as its matrix reads them.
struct PackedExperts {
  AlignedBuffer buffer;
  std::vector<std::size_t> offset;  ///< [experts]: bytes before each expert's rows
};

/// Work space of the router and the experts for up to `rows` rows. R = router_hidden,
/// I = expert_width, H = hidden.
struct MoeBuffers {
  std::vector<float> state;          ///< [rows, R]: router state, carried over depth
  std::vector<float> hidden;         ///< [rows, R] twice: the router MLP's two alternating rows
  std::vector<float> scores;         ///< [rows, classes]: logits, then probabilities
  std::vector<std::size_t> choice;   ///< [rows]: class; `experts` is the skip class
  std::vector<float> weight;         ///< [rows]: what the chosen output is multiplied by
  std::vector<std::uint32_t> order;  ///< [rows]: rows sorted by expert
  std::vector<std::size_t> begin;    ///< [experts + 1]: each expert's part of `order`
  PackedExperts input;               ///< [rows, H], sorted
  std::vector<float> gate_up;        ///< [rows, 2 I], sorted
  std::vector<float> activation;     ///< [rows, I], sorted
  PackedExperts packed_activation;   ///< the same
  std::vector<float> output;         ///< [rows, H], sorted

  void resize(const ModelConfig& config, std::size_t rows);
};

/// Routes each row of `normed` [rows, H]: fills buffers.state, choice and weight. With EDA the
/// state of the layer before (in buffers.state on entry) is added, scaled per channel. Equations:
/// arXiv:2605.05365, eqs. 1-4.
void route(const ComputeContext& context, const ModelConfig& config, const RouterWeights& weights,
           std::size_t layer, Rows<const float> normed, std::size_t rows, MoeBuffers& buffers,
           Trace* trace);

/// out[row] = weight[row] * Expert_choice[row](normed[row]), SwiGLU experts, rows grouped by
/// expert.
void run_experts(const ComputeContext& context, const ModelConfig& config,
                 const std::vector<ExpertWeights>& experts, Rows<const float> normed,
                 std::size_t rows, MoeBuffers& buffers, Rows<float> out);

}  // namespace zaya
