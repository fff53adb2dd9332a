#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "base/dtype.h"
#include "checkpoint/config.h"
#include "compute/kernels/attention.h"

namespace zaya {

class Adapter;

/// Where everything that a sequence carries lies in memory. Two kinds of state:
///
/// - K and V of every position, in pages of `kPageTokens` positions of one layer: layers can then
///   differ in format, let go of what their window has passed, and be shared one by one. A page
///   holds [kv head], a KvBlock each (compute/kernels/attention.h), and is all zeros before its
///   first position is written.
/// - The CCA tail, fp32: per layer the last rows of [q ; k] before the convolutions and the delayed
///   value projection of the last token.
class StateLayout {
 public:
  static constexpr std::size_t kPageTokens = KvBlock::kPositions;

  /// kv_type: f32 or bf16.
  StateLayout(const ModelConfig& config, DType kv_type);

  DType kv_type() const { return kv_type_; }
  /// Bytes of one page of a layer.
  std::size_t page_bytes(std::size_t layer) const;
  /// Bytes of one page of every layer.
  std::size_t page_bytes() const;
  /// Byte offset of a kv head's KvBlock inside a page of the layer.
  std::size_t page_offset(std::size_t layer, std::size_t kv_head) const;
  /// KvBlock::dim of the model's heads.
  std::size_t kv_dim() const { return kv_dim_; }

  std::size_t layers() const { return layers_; }
  std::size_t conv_rows() const { return conv_rows_; }
  std::size_t conv_width() const { return conv_width_; }
  std::size_t delayed_width() const { return delayed_width_; }
  /// Floats of the CCA tail of one layer: conv_rows rows of conv_width, oldest first, then the
  /// delayed value.
  std::size_t tail_floats() const { return conv_rows_ * conv_width_ + delayed_width_; }
  /// Tokens to run again so that every layer's CCA tail is exact: each layer reaches conv_rows
  /// back, and the delayed value is the last token's even when nothing does.
  std::size_t replay_tokens() const { return std::max<std::size_t>(conv_rows_ * layers(), 1); }

  /// Bytes of K and V that one token adds.
  std::size_t bytes_per_token() const { return page_bytes() / kPageTokens; }
  /// Bytes of the CCA tail of one sequence.
  std::size_t bytes_per_sequence() const { return layers() * tail_floats() * sizeof(float); }

 private:
  DType kv_type_;
  std::size_t layers_;
  std::size_t kv_heads_;
  std::size_t kv_dim_;
  std::size_t conv_rows_;
  std::size_t conv_width_;
  std::size_t delayed_width_;
};

/// A sequence's state as one forward step sees it: borrowed, and large enough for the new tokens.
struct SequenceView {
  std::size_t position = 0;                            ///< of the first new token
  std::span<const std::span<std::byte* const>> pages;  ///< of each layer
  float* tail = nullptr;                               ///< [layers][tail_floats], read and replaced
  const Adapter* adapter = nullptr;  ///< that all its tokens pass through; null: none
  /// False while tokens are run again only to rebuild the CCA tail: K and V are read, not written.
  bool writes_kv = true;
};

}  // namespace zaya
