#pragma once

#include <cstddef>

namespace zaya {

/// How one kv head's keys and values of the 32 positions of a page lie in memory:
///   keys   [dim / P][32 positions][P]
///   values [32 / P][dim][P]
/// P elements fill 4 bytes: 1 of f32, 2 of bf16. dim is head_dim rounded up to a multiple of 32;
/// elements past head_dim are 0. Neighbours along the dimension that a product sums over share a
/// word: AMX takes such tiles as they are, and vectors widen them by a shift and a mask.
struct KvBlock {
  static constexpr std::size_t kPositions = 32;

  static constexpr std::size_t dim(std::size_t head_dim) { return (head_dim + 31) / 32 * 32; }
  /// Bytes of the keys; the values follow and take as many.
  static constexpr std::size_t part_bytes(std::size_t dim, std::size_t element_bytes) {
    return kPositions * dim * element_bytes;
  }
};

/// The queries of one kv head of one sequence, and what they have gathered so far. A query's
/// result is merged span by span, in order; within a span the softmax is shifted by the span's own
/// maximum. Spans lie at multiples of kSpan positions, so neither the number of queries nor how
/// spans are spread over calls changes a bit.
struct AttendCall {
  static constexpr std::size_t kSpan = 512;

  const std::byte* const* pages;  ///< of the sequence, from position 0 on
  std::size_t offset;             ///< bytes before the kv head's KvBlock in each page
  std::size_t dim;                ///< KvBlock::dim
  std::size_t heads;              ///< query heads of the kv head
  std::size_t rows;               ///< row r is of query r / heads
  std::size_t position;           ///< of the first query
  std::size_t window;             ///< a query sees this many positions, its own included; 0: all
  float scale;                    ///< what scores are multiplied by
  const float* query;             ///< [rows, dim]
  std::byte* scratch;             ///< scratch_bytes(dim), aligned to 64 bytes

  // The running state: at first -inf, 0 and 0.
  float* highest;  ///< [rows], largest scaled score
  float* total;    ///< [rows], sum of exp(score - highest)
  float* sum;      ///< [rows, dim], sum of exp(score - highest) times the value

  static constexpr std::size_t scratch_bytes(std::size_t dim) {
    return 3 * 32 * (kSpan + 32) * 6 + 32 * dim * 8;
  }
};

/// One head of one row of [q ; k] after the convolutions.
struct HeadCall {
  float* mixed;         ///< [n]: in, the grouped convolution; out, what is normed
  const float* bias;    ///< [n], of the convolution
  const float* q;       ///< [q_heads, n]: before the convolutions, the query heads to average
  std::size_t q_heads;  ///< for a query its own, for a key all of its group
  const float* k;       ///< [n]: before the convolutions, the key of the group
  std::size_t n;        ///< head_dim
  float length;         ///< of the normed vector
  const float* cosine;  ///< [half]
  const float* sine;    ///< [half]
  std::size_t half;     ///< element i < half is rotated with i + half
  float* out;           ///< [n]
};

/// What CCA attention does between its large products.
struct AttentionKernels {
  /// Attention of all rows with the keys of one span, merged into the running state.
  void (*attend_f32)(const AttendCall& call, std::size_t span) = nullptr;
  void (*attend_bf16)(const AttendCall& call, std::size_t span) = nullptr;

  /// Merges the state of `from` (later spans) into that of `into` (earlier ones), for the same
  /// rows.
  void (*merge)(const AttendCall& into, const AttendCall& from) = nullptr;

  /// out[i] = x[i] / by.
  void (*divide)(const float* x, float by, float* out, std::size_t n) = nullptr;

  /// out[c] = bias[c] + sum over j < taps of weight[j][c] x[j][c].
  void (*depthwise)(const float* const* x, const float* const* weight, const float* bias,
                    std::size_t taps, float* out, std::size_t n) = nullptr;

  /// mixed += bias + (mean of the q + k) / 2, then out = rotated(length mixed / |mixed|), where
  /// |x|^2 is the sum of squares + 1e-12: a zero vector stays one.
  void (*mix_head)(const HeadCall& call) = nullptr;

  /// Stores the key and the value [dim] of one position of a page in the kv head's block.
  void (*write_f32)(std::byte* block, std::size_t dim, std::size_t position, const float* key,
                    const float* value) = nullptr;
  void (*write_bf16)(std::byte* block, std::size_t dim, std::size_t position, const float* key,
                     const float* value) = nullptr;
};

}  // namespace zaya
