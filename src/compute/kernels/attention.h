#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace zaya {

/// How keys or values are stored.
enum class KvFormat : std::uint8_t {
  f32,
  bf16,
  fp8,   ///< E4M3 as it is, without a scale; larger than 448 is 448
  int8,  ///< value = code * scale of the position; codes from -127 to 127
  int4,  ///< value = (code - 8) * multiple of the position's group of 32 elements * its scale
};
constexpr std::size_t kKvFormats = 5;

/// How one kv head's keys and values of the 32 positions of a page lie in memory:
///   keys   [dim / P][32 positions][P]
///   values [32 / P][dim][P]
/// P is 1 for f32, else 2. dim is head_dim rounded up to a multiple of 32; elements past head_dim
/// are 0. Neighbours along the dimension that a product sums over are side by side: two bf16 share
/// a word, AMX takes such tiles as they are, and vectors widen them by a shift and a mask. Narrower
/// codes have the same order, so that they widen to bf16 words one after the other; the first of
/// two nibbles is the lower one.
///
/// After the codes, int8 and int4 have the scale of each position, bf16 [32]; then int4 has the
/// multiples, int8 [dim / 32][32 positions], from -32 to 32: code and multiple together are exact
/// in bf16.
struct KvBlock {
  static constexpr std::size_t kPositions = 32;
  static constexpr std::size_t kGroup = 32;

  static constexpr std::size_t dim(std::size_t head_dim) { return (head_dim + 31) / 32 * 32; }
  static constexpr bool scaled(KvFormat f) { return f == KvFormat::int8 || f == KvFormat::int4; }
  static constexpr bool widens(KvFormat f) { return f != KvFormat::f32 && f != KvFormat::bf16; }
  static constexpr std::size_t code_bytes(std::size_t dim, KvFormat f) {
    const std::size_t codes = kPositions * dim;
    switch (f) {
      case KvFormat::f32:
        return codes * 4;
      case KvFormat::bf16:
        return codes * 2;
      case KvFormat::fp8:
      case KvFormat::int8:
        return codes;
      case KvFormat::int4:
        return codes / 2;
    }
    return 0;
  }
  static constexpr std::size_t multiples_offset(std::size_t dim) {
    return code_bytes(dim, KvFormat::int4) + kPositions * 2;
  }
  /// Bytes of the keys or of the values of one kv head, a multiple of 64.
  static constexpr std::size_t part_bytes(std::size_t dim, KvFormat f) {
    std::size_t bytes = code_bytes(dim, f);
    if (scaled(f)) bytes += kPositions * 2;
    if (f == KvFormat::int4) bytes += dim / kGroup * kPositions;
    return (bytes + 63) / 64 * 64;
  }
};

/// Where a kv head's keys, or values, of a sequence lie.
struct KvPart {
  const std::byte* const* pages;  ///< of the positions from 32 * first_page on
  std::size_t offset;             ///< bytes before the part in each page
  KvFormat format = KvFormat::bf16;
  std::size_t first_page = 0;
  const float* scales = nullptr;  ///< of each position from 32 * first_page on; null: all 1

  const std::byte* page(std::size_t page) const { return pages[page - first_page] + offset; }
};

/// The queries of one kv head of one sequence, and what they have gathered so far. A query's
/// result is merged span by span, in order; within a span the softmax is shifted by the span's own
/// maximum. Spans lie at multiples of kSpan positions, so neither the number of queries nor how
/// spans are spread over calls changes a bit.
struct AttendCall {
  static constexpr std::size_t kSpan = 512;

  KvPart keys;
  KvPart values;
  std::size_t dim;       ///< KvBlock::dim
  std::size_t heads;     ///< query heads of the kv head
  std::size_t rows;      ///< row r is of query r / heads
  std::size_t position;  ///< of the first query
  std::size_t window;    ///< a query sees this many positions, its own included; 0: all
  float scale;           ///< what scores are multiplied by
  const float* query;    ///< [rows, dim]
  std::byte* scratch;    ///< attend_scratch_bytes(dim), aligned to 64 bytes

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

/// Reading and writing of the keys, or the values, of one format.
struct KvKernels {
  /// Stores the key or value [dim] of one position in a kv head's part of a page.
  void (*write)(std::byte* part, std::size_t dim, std::size_t position, const float* x) = nullptr;
  /// All codes of a part as bf16, in the same order [32 dim], without the positions' scales;
  /// exact. Asks for as many bytes from `ahead` on meanwhile. Null for f32 and bf16.
  void (*widen)(const std::byte* part, std::size_t dim, std::byte* out,
                const std::byte* ahead) = nullptr;
};

/// What CCA attention does between its large products.
struct AttentionKernels {
  /// Attention of all rows with the keys of one span, merged into the running state. Keys and
  /// values are both f32, or both bf16 (attend_span() widens other formats).
  void (*attend_f32)(const AttendCall& call, std::size_t span) = nullptr;
  void (*attend_bf16)(const AttendCall& call, std::size_t span) = nullptr;

  /// The same for at most kFewRows rows, reading any format but f32 as it lies. Null: there is
  /// none.
  static constexpr std::size_t kFewRows = 16;
  void (*attend_few)(const AttendCall& call, std::size_t span) = nullptr;

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

  std::array<KvKernels, kKvFormats> keys{};  ///< by KvFormat
  std::array<KvKernels, kKvFormats> values{};
};

}  // namespace zaya
