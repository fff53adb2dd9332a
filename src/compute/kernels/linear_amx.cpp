#include <immintrin.h>

#include "compute/kernels/amx_tiles.h"
#include "compute/kernels/linear_avx512.h"
#include "compute/kernels/tables.h"

// Products on AMX tiles. Weights are the left operand: 16 rows of them, 64 bytes deep, are a tile
// as they lie in the file, so nothing is packed at load. Inputs are the right operand, packed once
// for all matrices that read them. A product tile holds 16 columns of the output for 16 inputs and
// is turned around when it is stored.
//
// 16-bit inputs are two planes of bytes, x = 256 high + low, and the sums are exact integers. A
// pair of B tiles is therefore either two planes of the same inputs or the inputs of two tiles; the
// loop is the same. 8-bit inputs have a scale every kInputBlock columns: tiles are emptied into
// sums of floats after each such block, so that it can stay in the first-level cache meanwhile.
namespace zaya::avx512 {
namespace {

constexpr std::size_t kTile = 16;   // rows of a tile
constexpr std::size_t kPanel = 32;  // weight rows that pass through the tiles together
constexpr std::size_t kBlockChunks = kInputBlock / 64;

// A chunk of a panel in scratch memory. Not a power of two: writing a row touches each chunk once,
// and 2,048 bytes apart they would all fall into two sets of the first-level cache.
constexpr std::size_t kStagedChunk = kPanel * 64 + 64;

/// Inputs packed side by side in one tile.
std::size_t tile_inputs(std::size_t rows) {
  return rows < kTile ? rows : kTile;
}

struct Packed {
  std::size_t tiles;
  std::size_t inputs;  ///< of one tile
  std::size_t chunks;  ///< of 64 bytes along the depth
  std::size_t planes;
  std::size_t blocks;  ///< that share a scale

  Packed(InputKind kind, std::size_t rows, std::size_t depth)
      : tiles((rows + kTile - 1) / kTile),
        inputs(tile_inputs(rows)),
        chunks(kind == InputKind::int16  ? (depth + 63) / 64
               : kind == InputKind::int8 ? (depth + kInputBlock - 1) / kInputBlock * kBlockChunks
                                         : (depth + 31) / 32),
        planes(kind == InputKind::bf16 || kind == InputKind::int8 ? 1 : 2),
        blocks(kind == InputKind::int8 ? chunks / kBlockChunks : 1) {}

  std::size_t chunk_bytes() const { return inputs * 64; }
  std::size_t step() const { return planes * chunk_bytes(); }
  std::size_t tile_bytes() const { return chunks * step(); }
  /// [tiles][blocks][16] scales, then [tiles][16] sums.
  std::size_t scales() const { return tiles * tile_bytes(); }
  std::size_t sums() const { return scales() + tiles * blocks * kTile * sizeof(float); }
  std::size_t bytes() const { return sums() + tiles * kTile * sizeof(std::int32_t); }
};

/// 64 bytes each of `inputs` inputs -> [16 dwords of depth][inputs].
void store_chunk(__m512i r[16], std::size_t inputs, std::byte* out) {
  if (inputs == 1) {
    _mm512_storeu_si512(out, r[0]);
    return;
  }
  transpose(r);
  for (std::size_t k = 0; k < 16; ++k) {
    _mm512_mask_storeu_epi32(out + k * inputs * 4, first16(inputs), r[k]);
  }
}

void pack_int16(const float* const* x, std::size_t count, std::size_t depth, const Packed& p,
                std::size_t tile, std::byte* out) {
  auto* scales = reinterpret_cast<float*>(out + p.scales()) + tile * kTile;
  auto* sums = reinterpret_cast<std::int32_t*>(out + p.sums()) + tile * kTile;
  std::byte* at = out + tile * p.tile_bytes();
  __m512i sum[kTile];
  __m512 inverse[kTile];
  for (std::size_t j = 0; j < kTile; ++j) {
    sum[j] = _mm512_setzero_si512();
    scales[j] = j < count ? scale_of(x[j], depth, kLargest16) : 0.0F;
    inverse[j] = _mm512_set1_ps(inverse_of(scales[j]));
  }
  __m512i rows[2][kTile];  // high, low
  for (auto& r : rows) {
    for (auto& v : r) v = _mm512_setzero_si512();
  }
  for (std::size_t c = 0; c < p.chunks; ++c) {
    for (std::size_t j = 0; j < count; ++j) {
      const Planes v = quantise(x[j] + c * 64, depth - c * 64, inverse[j], sum[j]);
      rows[0][j] = v.high;
      rows[1][j] = v.low;
    }
    for (std::size_t i = 0; i < 2; ++i) {
      __m512i r[kTile];
      for (std::size_t j = 0; j < kTile; ++j) r[j] = rows[i][j];
      store_chunk(r, p.inputs, at + c * p.step() + i * p.chunk_bytes());
    }
  }
  for (std::size_t j = 0; j < kTile; ++j) sums[j] = _mm512_reduce_add_epi32(sum[j]);
}

void pack_int8(const float* const* x, std::size_t count, std::size_t depth, const Packed& p,
               std::size_t tile, std::byte* out) {
  auto* scales = reinterpret_cast<float*>(out + p.scales()) + tile * p.blocks * kTile;
  std::byte* at = out + tile * p.tile_bytes();
  __m512i rows[kBlockChunks][kTile];
  for (auto& r : rows) {
    for (auto& v : r) v = _mm512_setzero_si512();
  }
  for (std::size_t b = 0; b < p.blocks; ++b, scales += kTile) {
    const std::size_t k = b * kInputBlock;
    for (std::size_t j = 0; j < count; ++j) {
      __m512i v[kBlockChunks];
      std::int32_t sum = 0;
      scales[j] = quantise_block(x[j] + k, depth - k, v, sum);
      for (std::size_t i = 0; i < kBlockChunks; ++i) rows[i][j] = v[i];
    }
    for (std::size_t j = count; j < kTile; ++j) scales[j] = 0;
    for (const auto& chunk : rows) {
      __m512i r[kTile];
      for (std::size_t j = 0; j < kTile; ++j) r[j] = chunk[j];
      store_chunk(r, p.inputs, at);
      at += p.chunk_bytes();
    }
  }
}

void pack_bf16(const float* const* x, std::size_t count, std::size_t depth, const Packed& p,
               std::size_t tile, std::byte* out) {
  std::byte* at = out + tile * p.tile_bytes();
  __m512i rows[2][kTile];
  for (auto& r : rows) {
    for (auto& v : r) v = _mm512_setzero_si512();
  }
  for (std::size_t c = 0; c < p.chunks; ++c) {
    for (std::size_t j = 0; j < count; ++j) {
      __m256i high[2];
      __m256i low[2];
      for (std::size_t i = 0; i < 2; ++i) {
        const std::size_t k = c * 32 + i * 16;
        const __mmask16 mask = depth > k ? first16(depth - k) : __mmask16{0};
        const __m512 v = _mm512_maskz_loadu_ps(mask, x[j] + k);
        high[i] = to_bf16_bits(v);
        low[i] = to_bf16_bits(_mm512_sub_ps(v, from_bf16_bits(high[i])));
      }
      rows[0][j] = _mm512_inserti64x4(_mm512_castsi256_si512(high[0]), high[1], 1);
      rows[1][j] = _mm512_inserti64x4(_mm512_castsi256_si512(low[0]), low[1], 1);
    }
    for (std::size_t i = 0; i < p.planes; ++i) {
      __m512i r[kTile];
      for (std::size_t j = 0; j < kTile; ++j) r[j] = rows[i][j];
      store_chunk(r, p.inputs, at + c * p.step() + i * p.chunk_bytes());
    }
  }
}

/// Up to this many inputs the vector units keep up with memory better than the tiles, which
/// neighbours on the same core may be using. Integer sums are the same either way.
std::size_t vector_rows(InputKind kind) {
  switch (kind) {
    case InputKind::int16:
      return 2;
    case InputKind::int8:
    case InputKind::wide:
      return 4;
    case InputKind::bf16:
    case InputKind::f32:
      break;
  }
  return 1;
}

std::size_t packed_bytes(InputKind kind, std::size_t rows, std::size_t depth) {
  return Packed(kind, rows, depth).bytes();
}

template <class PackTile>
void pack_tiles(Rows<const float> x, const std::uint32_t* index, std::size_t first,
                std::size_t last, PackTile&& pack_tile) {
  for (std::size_t r = first; r < last; r += kTile) {
    const float* inputs[kTile];
    const std::size_t count = last - r < kTile ? last - r : kTile;
    for (std::size_t j = 0; j < count; ++j) {
      inputs[j] = x.row(index == nullptr ? r + j : index[r + j]);
    }
    pack_tile(inputs, count, r / kTile);
  }
}

// What the bytes of A and B are.
enum class Operands { bf16, signed_bytes, unsigned_weights };

template <Operands kind, int c, int a, int b>
void dot() {
  if constexpr (kind == Operands::bf16) {
    amx::dot_bf16<c, a, b>();
  } else if constexpr (kind == Operands::signed_bytes) {
    amx::dot_signed<c, a, b>();
  } else {
    amx::dot_unsigned_signed<c, a, b>();
  }
}

/// The tiles of some rows of inputs.
struct TileRange {
  std::size_t begin;
  std::size_t end;

  explicit TileRange(const PackedRows& x)
      : begin(x.begin / kTile), end((x.end + kTile - 1) / kTile) {}
};

/// A panel of 32 weight rows, as two tiles a chunk.
struct Panel {
  const std::byte* data;
  std::size_t second;  ///< bytes from the first tile to the second
  std::size_t stride;  ///< from row to row
  std::size_t step;    ///< from chunk to chunk
};

/// c[2 w + i] = panel tile w times inputs i, for two B operands `second` bytes apart. Calls
/// between(i) after chunk i, for work that the tiles leave room for.
template <Operands kind, class Between>
void multiply_pair(const Panel& a, const std::byte* b, std::size_t second, std::size_t b_step,
                   std::size_t b_stride, std::size_t chunks, Between&& between,
                   std::int32_t (&c)[4][256]) {
  amx::zero<0>();
  amx::zero<1>();
  amx::zero<2>();
  amx::zero<3>();
  const std::byte* at = a.data;
  for (std::size_t i = 0; i < chunks; ++i, at += a.step, b += b_step) {
    amx::load<4>(at, static_cast<long>(a.stride));
    amx::load<6>(b, static_cast<long>(b_stride));
    dot<kind, 0, 4, 6>();
    amx::load<7>(b + second, static_cast<long>(b_stride));
    dot<kind, 1, 4, 7>();
    amx::load<5>(at + a.second, static_cast<long>(a.stride));
    dot<kind, 2, 5, 6>();
    dot<kind, 3, 5, 7>();
    between(i);
  }
  amx::store<0>(c[0], 64);
  amx::store<1>(c[1], 64);
  amx::store<2>(c[2], 64);
  amx::store<3>(c[3], 64);
}

/// The same for one B operand.
template <Operands kind, class Between>
void multiply_one(const Panel& a, const std::byte* b, std::size_t b_step, std::size_t b_stride,
                  std::size_t chunks, Between&& between, std::int32_t (&c)[4][256]) {
  amx::zero<0>();
  amx::zero<2>();
  const std::byte* at = a.data;
  for (std::size_t i = 0; i < chunks; ++i, at += a.step, b += b_step) {
    amx::load<4>(at, static_cast<long>(a.stride));
    amx::load<6>(b, static_cast<long>(b_stride));
    dot<kind, 0, 4, 6>();
    amx::load<5>(at + a.second, static_cast<long>(a.stride));
    dot<kind, 2, 5, 6>();
    between(i);
  }
  amx::store<0>(c[0], 64);
  amx::store<2>(c[2], 64);
}

/// Brings the next panel, a part after each chunk, or nothing if it is null: 16 streams of two
/// rows, as the memory brings many streams faster than one, and faster than a line of each row in
/// turn.
struct Prefetch {
  const std::byte* next;
  std::size_t stride;

  void operator()(std::size_t chunk) const {
    if (next == nullptr) return;
    for (std::size_t r = 0; r < kPanel; r += 2) {
      const std::byte* at = next + r * stride + chunk * 128;
      _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(at + 64), _MM_HINT_T1);
    }
  }
};

/// Writes 16 output columns of a tile, given as value(n): column n for all inputs.
template <class Value>
void store_columns(Value&& value, std::size_t columns, std::size_t inputs, float* y,
                   std::size_t stride) {
  __m512i v[16];
  for (std::size_t n = 0; n < 16; ++n) v[n] = _mm512_castps_si512(value(n));
  transpose(v);
  for (std::size_t j = 0; j < inputs; ++j) {
    _mm512_mask_storeu_ps(y + j * stride, first16(columns), _mm512_castsi512_ps(v[j]));
  }
}

/// Column j of a tile of 16 rows: what one input got.
__m512i column(const std::int32_t* c, std::size_t j) {
  const __m512i rows =
      _mm512_setr_epi32(0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240);
  return _mm512_i32gather_epi32(rows, c + j, 4);
}

/// Few inputs go column by column, more through a transposition.
constexpr std::size_t kFew = 4;

void store_int16(const std::int32_t* high, const std::int32_t* low, const float* weight_scales,
                 const float* scales, const std::int32_t* sums, std::size_t columns,
                 std::size_t inputs, float* y, std::size_t stride) {
  if (inputs <= kFew) {
    const __m512 scale = _mm512_loadu_ps(weight_scales);
    for (std::size_t j = 0; j < inputs; ++j) {
      _mm512_mask_storeu_ps(y + j * stride, first16(columns),
                            combine(column(high, j), column(low, j), _mm512_set1_epi32(sums[j]),
                                    _mm512_mul_ps(scale, _mm512_set1_ps(scales[j]))));
    }
    return;
  }
  const __m512 scale = _mm512_loadu_ps(scales);
  const __m512i sum = _mm512_loadu_si512(sums);
  store_columns(
      [&](std::size_t n) {
        return combine(_mm512_loadu_si512(high + n * 16), _mm512_loadu_si512(low + n * 16), sum,
                       _mm512_mul_ps(_mm512_set1_ps(weight_scales[n]), scale));
      },
      columns, inputs, y, stride);
}

void store_bf16(const std::int32_t* c, const std::int32_t* low, std::size_t columns,
                std::size_t inputs, float* y, std::size_t stride) {
  const auto value = [](__m512i a, __m512i b) {
    return _mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b));
  };
  if (inputs <= kFew) {
    for (std::size_t j = 0; j < inputs; ++j) {
      const __m512i b = low == nullptr ? _mm512_setzero_si512() : column(low, j);
      _mm512_mask_storeu_ps(y + j * stride, first16(columns), value(column(c, j), b));
    }
    return;
  }
  store_columns(
      [&](std::size_t n) {
        return value(_mm512_loadu_si512(c + n * 16),
                     low == nullptr ? _mm512_setzero_si512() : _mm512_loadu_si512(low + n * 16));
      },
      columns, inputs, y, stride);
}

/// Rows [n, n + count) of bytes copied into tiles, 0 past the end.
Panel stage_bytes(const WeightView& w, std::size_t n, std::size_t count, std::size_t row_size,
                  std::size_t chunks, std::byte* scratch) {
  for (std::size_t c = 0; c < chunks; ++c) {
    const __mmask64 mask = first64(row_size - c * 64);
    for (std::size_t r = 0; r < kPanel; ++r) {
      const __m512i v = r < count
                            ? _mm512_maskz_loadu_epi8(mask, w.data + (n + r) * w.row_bytes + c * 64)
                            : _mm512_setzero_si512();
      _mm512_store_si512(scratch + c * kStagedChunk + r * 64, v);
    }
  }
  return {scratch, kTile * 64, 64, kStagedChunk};
}

/// Rows [n, n + count) of any format rounded to bf16, in tiles.
Panel stage_expanded(const WeightView& w, std::size_t n, std::size_t count, std::size_t chunks,
                     std::byte* scratch) {
  auto* row = reinterpret_cast<float*>(scratch + chunks * kStagedChunk);
  for (std::size_t r = 0; r < kPanel; ++r) {
    if (r < count) expand_avx512(w, n + r, row);
    for (std::size_t c = 0; c < 2 * chunks; ++c) {
      const std::size_t k = c * 16;
      const __mmask16 mask = r < count && k < w.cols ? first16(w.cols - k) : __mmask16{0};
      _mm256_store_si256(
          reinterpret_cast<__m256i*>(scratch + c / 2 * kStagedChunk + r * 64 + c % 2 * 32),
          to_bf16_bits(_mm512_maskz_loadu_ps(mask, row + k)));
    }
  }
  return {scratch, kTile * 64, 64, kStagedChunk};
}

template <Operands kind>
void multiply_int16(const WeightView& w, std::size_t first, std::size_t last, const Packed& p,
                    const PackedRows& x, Rows<float> y, std::byte* scratch) {
  const std::byte* packed = x.data;
  const TileRange tiles(x);
  alignas(64) std::int32_t c[4][256];
  alignas(64) float weight_scales[kPanel];
  alignas(64) static constexpr std::int32_t kNoSums[kTile] = {};
  const bool in_place = w.cols % 64 == 0;
  for (std::size_t n = first; n < last; n += kPanel) {
    const std::size_t count = last - n < kPanel ? last - n : kPanel;
    const bool more = last - n >= 2 * kPanel;
    Panel panel{w.data + n * w.row_bytes, kTile * w.row_bytes, w.row_bytes, 64};
    for (std::size_t r = 0; r < count; ++r) weight_scales[r] = whole_row_scale(w, n + r);
    if (!in_place || count < kPanel) panel = stage_bytes(w, n, count, w.cols, p.chunks, scratch);
    for (std::size_t r = count; r < kPanel; ++r) weight_scales[r] = 0;
    for (std::size_t tile = tiles.begin; tile < tiles.end; ++tile) {
      const std::byte* next = more && tile == tiles.begin && panel.step == 64
                                  ? panel.data + kPanel * w.row_bytes
                                  : nullptr;
      multiply_pair<kind>(panel, packed + tile * p.tile_bytes(), p.chunk_bytes(), p.step(),
                          p.inputs * 4, p.chunks, Prefetch{next, panel.stride}, c);
      const auto* scales = reinterpret_cast<const float*>(packed + p.scales()) + tile * kTile;
      const auto* sums =
          kind == Operands::unsigned_weights
              ? reinterpret_cast<const std::int32_t*>(packed + p.sums()) + tile * kTile
              : kNoSums;
      const std::size_t r = tile * kTile;
      const std::size_t inputs = x.end - r < kTile ? x.end - r : kTile;
      for (std::size_t half = 0; half < 2 && half * kTile < count; ++half) {
        store_int16(c[2 * half], c[2 * half + 1], weight_scales + half * kTile, scales, sums,
                    count - half * kTile, inputs, y.row(r) + (n - first) + half * kTile, y.stride);
      }
    }
  }
}

/// Weight rows whose blocks of integers are in the first-level cache together: twice kPanel, so
/// that inputs pass through it half as often.
constexpr std::size_t kStagedRows = 2 * kPanel;
constexpr std::size_t kStagedBytes = kStagedRows * kInputBlock;

/// One block of `count` rows of 4-bit weights as integers in tiles: [chunk][kStagedRows][64].
void stage_stepped(const WeightView& w, std::size_t n, std::size_t count, std::size_t b,
                   const float* inverse, std::byte* out) {
  const HalfMasks masks(w.cols, b);
  for (std::size_t r = 0; r < count; ++r) {
    __m512i v[kBlockChunks];
    expand_stepped(w, n + r, b, masks, inverse[r], v);
    for (std::size_t c = 0; c < kBlockChunks; ++c) {
      _mm512_store_si512(out + (c * kStagedRows + r) * 64, v[c]);
    }
  }
}

/// Reads memory ahead, some lines at a time between products: a burst of them would wait for the
/// few that can be under way at once. In streams, as Prefetch.
class ReadAhead {
 public:
  void begin(const std::byte* at, std::size_t bytes) {
    at_ = at;
    stream_ = bytes / kStreams;
    next_ = 0;
  }
  void lines(std::size_t count) {
    for (; count != 0 && next_ / kStreams * 64 < stream_; --count, ++next_) {
      const std::byte* at = at_ + next_ % kStreams * stream_ + next_ / kStreams * 64;
      _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
    }
  }

 private:
  static constexpr std::size_t kStreams = 16;
  const std::byte* at_ = nullptr;
  std::size_t stream_ = 0;  ///< bytes of each
  std::size_t next_ = 0;    ///< line
};

/// sums[i] (+)= c[i] * scale: 16 weight rows by 16 inputs.
void add_block(const std::int32_t* c, __m512 scale, bool first, float* sums) {
  for (std::size_t i = 0; i < 256; i += 16) {
    const __m512 v = _mm512_cvtepi32_ps(_mm512_load_si512(c + i));
    const __m512 before = first ? _mm512_setzero_ps() : _mm512_load_ps(sums + i);
    _mm512_store_ps(sums + i, _mm512_fmadd_ps(v, scale, before));
  }
}

void multiply_int8(const WeightView& w, std::size_t first, std::size_t last, const Packed& p,
                   const PackedRows& x, Rows<float> y, std::byte* scratch) {
  const std::byte* packed = x.data;
  const TileRange tiles(x);
  constexpr std::size_t kParts = kStagedRows / kTile;
  alignas(64) std::int32_t c[4][256];
  float units[kStagedRows];
  float inverse[kStagedRows];
  auto* sums = reinterpret_cast<float*>(scratch + kStagedBytes);
  // [tile of inputs][tile of weight rows][16 rows][16 inputs]
  const auto sums_at = [&](std::size_t tile, std::size_t part) {
    return sums + ((tile - tiles.begin) * kParts + part) * 256;
  };
  const auto scales_at = [&](std::size_t tile, std::size_t b) {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(packed + p.scales()) +
                           (tile * p.blocks + b) * kTile);
  };
  ReadAhead ahead;
  // Lines after each chunk, so that the next rows have been read when these are done.
  const std::size_t passes = (tiles.end - tiles.begin + 1) / 2 * (kStagedRows / kPanel) * p.chunks;
  const std::size_t lines = kStagedRows * w.row_bytes / 64 / passes + 1;
  const auto between = [&](std::size_t) { ahead.lines(lines); };
  for (std::size_t n = first; n < last; n += kStagedRows) {
    const std::size_t count = last - n < kStagedRows ? last - n : kStagedRows;
    for (std::size_t r = 0; r < count; ++r) {
      const float unit =
          stepped_unit(w.scale_code, w.scales + (n + r) * w.scale_row_bytes, w.cols / 32);
      inverse[r] = unit > 0 ? 1.0F / unit : 0.0F;
      units[r] = unit * w.global;
    }
    const std::size_t rest = last - n - count;
    ahead.begin(w.data + (n + count) * w.row_bytes,
                (rest < kStagedRows ? rest : kStagedRows) * w.row_bytes);
    for (std::size_t b = 0; b < p.blocks; ++b) {
      stage_stepped(w, n, count, b, inverse, scratch);
      for (std::size_t tile = tiles.begin; tile < tiles.end; tile += 2) {
        const std::byte* in = packed + tile * p.tile_bytes() + b * kBlockChunks * p.step();
        const bool pair = tile + 1 < tiles.end;
        for (std::size_t part = 0; part * kTile < count; part += 2) {
          const Panel panel{scratch + part * kTile * 64, kTile * 64, 64, kStagedRows * 64};
          if (pair) {
            multiply_pair<Operands::signed_bytes>(panel, in, p.tile_bytes(), p.step(), p.inputs * 4,
                                                  kBlockChunks, between, c);
          } else {
            multiply_one<Operands::signed_bytes>(panel, in, p.step(), p.inputs * 4, kBlockChunks,
                                                 between, c);
          }
          for (std::size_t i = 0; i < (pair ? 2U : 1U); ++i) {
            const __m512 scale = scales_at(tile + i, b);
            add_block(c[i], scale, b == 0, sums_at(tile + i, part));
            add_block(c[2 + i], scale, b == 0, sums_at(tile + i, part + 1));
          }
        }
      }
    }
    for (std::size_t tile = tiles.begin; tile < tiles.end; ++tile) {
      const std::size_t r = tile * kTile;
      const std::size_t inputs = x.end - r < kTile ? x.end - r : kTile;
      for (std::size_t part = 0; part * kTile < count; ++part) {
        const float* from = sums_at(tile, part);
        store_columns(
            [&](std::size_t i) {
              return _mm512_mul_ps(_mm512_load_ps(from + i * 16),
                                   _mm512_set1_ps(units[part * kTile + i]));
            },
            count - part * kTile, inputs, y.row(r) + (n - first) + part * kTile, y.stride);
      }
    }
  }
}

void multiply_bf16(const WeightView& w, std::size_t first, std::size_t last, const Packed& p,
                   const PackedRows& x, Rows<float> y, std::byte* scratch) {
  const std::byte* packed = x.data;
  const TileRange tiles(x);
  alignas(64) std::int32_t c[4][256];
  for (std::size_t n = first; n < last; n += kPanel) {
    const std::size_t count = last - n < kPanel ? last - n : kPanel;
    const bool more = last - n >= 2 * kPanel;
    Panel panel{w.data + n * w.row_bytes, kTile * w.row_bytes, w.row_bytes, 64};
    if (w.code != WeightCode::bf16) {
      panel = stage_expanded(w, n, count, p.chunks, scratch);
    } else if (w.cols % 32 != 0 || count < kPanel) {
      panel = stage_bytes(w, n, count, w.cols * 2, p.chunks, scratch);
    }
    for (std::size_t tile = tiles.begin; tile < tiles.end;) {
      const std::byte* next = more && tile == tiles.begin && panel.step == 64
                                  ? panel.data + kPanel * w.row_bytes
                                  : nullptr;
      const std::byte* b = packed + tile * p.tile_bytes();
      const std::size_t r = tile * kTile;
      // One plane: two tiles of inputs side by side, or the last one alone.
      const bool pair = p.planes == 2 || tile + 1 < tiles.end;
      if (pair) {
        multiply_pair<Operands::bf16>(panel, b, p.planes == 2 ? p.chunk_bytes() : p.tile_bytes(),
                                      p.step(), p.inputs * 4, p.chunks,
                                      Prefetch{next, panel.stride}, c);
      } else {
        multiply_one<Operands::bf16>(panel, b, p.step(), p.inputs * 4, p.chunks,
                                     Prefetch{next, panel.stride}, c);
      }
      const auto inputs_at = [&](std::size_t row) {
        return x.end - row < kTile ? x.end - row : kTile;
      };
      for (std::size_t half = 0; half < 2 && half * kTile < count; ++half) {
        float* out = y.row(r) + (n - first) + half * kTile;
        const std::size_t columns = count - half * kTile;
        store_bf16(c[2 * half], p.planes == 2 ? c[2 * half + 1] : nullptr, columns, inputs_at(r),
                   out, y.stride);
        if (pair && p.planes == 1) {
          store_bf16(c[2 * half + 1], nullptr, columns, inputs_at(r + kTile),
                     out + kTile * y.stride, y.stride);
        }
      }
      tile += pair && p.planes == 1 ? 2 : 1;
    }
  }
}

std::size_t scratch_bytes(const WeightView& w, InputKind kind, std::size_t rows) {
  const Packed p(kind, rows, w.cols);
  if (kind == InputKind::int8) {
    return kStagedBytes + kStagedRows * p.tiles * kTile * sizeof(float);
  }
  // A staged panel, and behind it a row of floats while it is expanded.
  return p.chunks * (kStagedChunk + 32 * sizeof(float));
}

std::size_t packed_integer_bytes(InputKind kind, std::size_t rows, std::size_t depth) {
  return rows <= vector_rows(kind) ? kAvx512Integers.packed_bytes(kind, rows, depth)
                                   : packed_bytes(kind, rows, depth);
}

void pack_integer_rows(InputKind kind, Rows<const float> x, const std::uint32_t* index,
                       std::size_t rows, std::size_t first, std::size_t last, std::size_t depth,
                       std::byte* out) {
  if (rows <= vector_rows(kind)) {
    return kAvx512Integers.pack(kind, x, index, rows, first, last, depth, out);
  }
  const Packed p(kind, rows, depth);
  pack_tiles(x, index, first, last, [&](const float* const* inputs, std::size_t n, std::size_t t) {
    if (kind == InputKind::int8) return pack_int8(inputs, n, depth, p, t, out);
    pack_int16(inputs, n, depth, p, t, out);
  });
}

void multiply_integer_rows(const WeightView& w, std::size_t first, std::size_t last, InputKind kind,
                           const PackedRows& x, Rows<float> y, std::byte* scratch) {
  if (x.rows <= vector_rows(kind)) {
    return kAvx512Integers.multiply(w, first, last, kind, x, y, scratch);
  }
  const Packed p(kind, x.rows, w.cols);
  amx::configure(static_cast<int>(p.inputs));
  if (kind == InputKind::int8) {
    multiply_int8(w, first, last, p, x, y, scratch);
  } else if (w.code == WeightCode::u8) {
    multiply_int16<Operands::unsigned_weights>(w, first, last, p, x, y, scratch);
  } else {
    multiply_int16<Operands::signed_bytes>(w, first, last, p, x, y, scratch);
  }
  amx::release();
}

void pack_float_tiles(InputKind kind, Rows<const float> x, const std::uint32_t* index,
                      std::size_t rows, std::size_t first, std::size_t last, std::size_t depth,
                      std::byte* out) {
  const Packed p(kind, rows, depth);
  pack_tiles(x, index, first, last, [&](const float* const* inputs, std::size_t n, std::size_t t) {
    pack_bf16(inputs, n, depth, p, t, out);
  });
}

void multiply_float_tiles(const WeightView& w, std::size_t first, std::size_t last, InputKind kind,
                          const PackedRows& x, Rows<float> y, std::byte* scratch) {
  const Packed p(kind, x.rows, w.cols);
  amx::configure(static_cast<int>(p.inputs));
  multiply_bf16(w, first, last, p, x, y, scratch);
  amx::release();
}

std::size_t packed_float_bytes(InputKind kind, std::size_t rows, std::size_t depth) {
  return rows <= vector_rows(kind) ? kAvx512Floats.packed_bytes(kind, rows, depth)
                                   : packed_bytes(kind, rows, depth);
}

void pack_float_rows(InputKind kind, Rows<const float> x, const std::uint32_t* index,
                     std::size_t rows, std::size_t first, std::size_t last, std::size_t depth,
                     std::byte* out) {
  const auto pack = rows <= vector_rows(kind) ? kAvx512Floats.pack : pack_float_tiles;
  pack(kind, x, index, rows, first, last, depth, out);
}

void multiply_float_rows(const WeightView& w, std::size_t first, std::size_t last, InputKind kind,
                         const PackedRows& x, Rows<float> y, std::byte* scratch) {
  const auto multiply = x.rows <= vector_rows(kind) ? kAvx512Floats.multiply : multiply_float_tiles;
  multiply(w, first, last, kind, x, y, scratch);
}

}  // namespace
}  // namespace zaya::avx512

namespace zaya {

const LinearKernels kAmxIntegers = {avx512::packed_integer_bytes, avx512::pack_integer_rows,
                                    avx512::scratch_bytes, avx512::multiply_integer_rows};
const LinearKernels kAmxFloats = {avx512::packed_float_bytes, avx512::pack_float_rows,
                                  avx512::scratch_bytes, avx512::multiply_float_rows};
const LinearKernels kAmxFloatTiles = {avx512::packed_bytes, avx512::pack_float_tiles,
                                      avx512::scratch_bytes, avx512::multiply_float_tiles};

}  // namespace zaya
