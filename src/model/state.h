#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "checkpoint/config.h"
#include "compute/kernels/attention.h"

namespace zaya {

class Adapter;

/// How a layer's keys and values are stored.
struct KvLayer {
  KvFormat keys = KvFormat::bf16;
  KvFormat values = KvFormat::bf16;

  bool operator==(const KvLayer&) const = default;
};

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

  /// `kv`: of each layer; throws Error where it lacks some or f32 meets another format.
  StateLayout(const ModelConfig& config, std::vector<KvLayer> kv);
  StateLayout(const ModelConfig& config, KvFormat kv)
      : StateLayout(config, std::vector<KvLayer>(config.layers, {kv, kv})) {}

  const KvLayer& kv(std::size_t layer) const { return kv_[layer]; }
  /// Bytes of one page of a layer.
  std::size_t page_bytes(std::size_t layer) const;
  /// Bytes of one page of every layer.
  std::size_t page_bytes() const;
  /// Byte offset of a kv head's keys and values inside a page of the layer.
  std::size_t keys_offset(std::size_t layer, std::size_t kv_head) const;
  std::size_t values_offset(std::size_t layer, std::size_t kv_head) const;
  /// KvBlock::dim of the model's heads.
  std::size_t kv_dim() const { return kv_dim_; }

  std::size_t layers() const { return kv_.size(); }
  std::size_t conv_rows() const { return conv_rows_; }
  std::size_t conv_width() const { return conv_width_; }
  std::size_t delayed_width() const { return delayed_width_; }
  /// Floats of the CCA tail of one layer: conv_rows rows of conv_width, oldest first, then the
  /// delayed value.
  std::size_t tail_floats() const { return conv_rows_ * conv_width_ + delayed_width_; }
  /// Tokens to run again so that every layer's CCA tail is exact: each layer reaches conv_rows
  /// back, and the delayed value is the last token's even when nothing does.
  std::size_t replay_tokens() const { return std::max<std::size_t>(conv_rows_ * layers(), 1); }

  /// Positions that a token of the layer sees, its own included; 0: all.
  std::size_t window(std::size_t layer) const { return windows_[layer]; }
  bool has_windows() const;
  /// Positions below this are read neither by tokens from `length` on, nor when a sequence is
  /// rolled back by up to kKept tokens.
  std::size_t first_needed(std::size_t layer, std::size_t length) const;
  static constexpr std::size_t kKept = 64;  ///< ours: a stop string, a draft, the end of a turn

  /// Most bytes of pages that a sequence of so many tokens holds at a time, when it grows by up to
  /// `step` tokens in a step: layers with a sliding window let go of what it has passed.
  std::size_t bytes_held(std::size_t tokens, std::size_t step) const;
  /// Bytes of K and V that one token adds.
  std::size_t bytes_per_token() const { return page_bytes() / kPageTokens; }
  /// Bytes of the CCA tail of one sequence.
  std::size_t bytes_per_sequence() const { return layers() * tail_floats() * sizeof(float); }

 private:
  std::vector<KvLayer> kv_;
  std::vector<std::size_t> windows_;
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
  /// Of each layer: how many positions from the begin have their K and V already. They are read,
  /// not written: while tokens are run again to rebuild the CCA tail, and where another sequence
  /// shares what it computed.
  std::span<const std::size_t> known;

  bool writes(std::size_t layer, std::size_t at) const { return at >= known[layer]; }
  /// The last of the new tokens are a draft of so many tokens, fewer than there are new ones: any
  /// number of them may be taken back.
  std::size_t drafts = 0;
  /// [drafts][layers][tail_floats], written: the tail without the last token, without the last two
  /// and so on.
  float* draft_tails = nullptr;
};

}  // namespace zaya
