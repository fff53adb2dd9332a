#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/adapter.h"
#include "model/ops.h"
#include "model/state.h"

namespace zaya {

/// Rows of one sequence inside a step's batch.
struct Segment {
  std::size_t first_row;
  std::size_t rows;
  SequenceView* sequence;
};

/// cos and sin of every row's rotary angles for one kind of layer: [rows][rotary / 2].
struct RopeTable {
  std::size_t half = 0;
  std::vector<float> cosine;
  std::vector<float> sine;

  /// Angles as the reference takes them: position times frequency, both fp32.
  void fill(const RopeConfig& rope, std::size_t head_dim, std::span<const Segment> segments,
            std::size_t rows);
};

/// Work space of Compressed Convolutional Attention for up to `rows` rows.
/// d = head_dim, C = (heads + kv_heads) d, G = heads / kv_heads.
struct AttentionBuffers {
  std::vector<float> qk;       ///< [rows, C]: q and k before the convolutions
  std::vector<float> current;  ///< [rows, kv_heads * d / 2]: first half of the value
  std::vector<float> delayed;  ///< [rows, kv_heads * d / 2]: second half of the next token's value
  std::vector<float> mixed;    ///< [rows, C]: q and k before their norm; only for a Trace
  std::vector<float> query;    ///< [kv_heads, rows, G, KvBlock::dim(d)]: normed and rotated
  std::vector<float> partial;  ///< of attention whose keys are spread over tasks
  std::vector<float> output;   ///< [rows, heads * d]

  void resize(const ModelConfig& config, std::size_t rows);
};

/// Called with named intermediates by tests: [rows, width], rows `stride` apart.
struct Trace {
  virtual ~Trace() = default;
  virtual void values(std::string_view name, std::size_t layer, Rows<const float> data,
                      std::size_t rows, std::size_t width) = 0;
};

/// Attention(RMSNorm(x)) of one layer for every segment, without the residual:
/// `normed` [rows, H] -> `out` [rows, H]. Reads and extends each sequence's K, V and CCA tail.
/// The rows of `adapted` pass through their adapter's projections.
/// Equations: arXiv:2510.04476, eqs. 7-11.
void attention(const ComputeContext& context, const ModelConfig& config,
               const AttentionWeights& weights, const StateLayout& layout, std::size_t layer,
               std::span<const Segment> segments, std::span<const AdaptedRows> adapted,
               const RopeTable& rope, Rows<const float> normed, std::size_t rows,
               AttentionBuffers& buffers, Rows<float> out, Trace* trace);

}  // namespace zaya
