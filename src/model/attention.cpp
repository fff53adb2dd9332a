#include "model/attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "compute/attention.h"
#include "compute/linear.h"

namespace zaya {
namespace {

constexpr std::size_t kPage = StateLayout::kPageTokens;

/// Memory of the calling thread for the task at hand, aligned for every vector.
std::byte* workspace(std::size_t bytes) {
  thread_local AlignedBuffer memory;
  return memory.resize(bytes);
}

/// Queries of a segment that pass over the keys together, for one kv head.
struct Tile {
  const Segment* segment;
  std::size_t begin;
  std::size_t end;
  std::size_t kv_head;
};

/// Spans [first, last) of keys for a tile.
struct AttendTask {
  std::size_t tile;
  std::size_t first;
  std::size_t last;
  std::size_t partial;  ///< offset of its result in AttentionBuffers::partial
};

/// The steps between the projections and the output product, for one layer of one batch.
class Cca {
 public:
  Cca(const ComputeContext& context, const ModelConfig& config, const AttentionWeights& weights,
      const StateLayout& layout, std::size_t layer, std::span<const Segment> segments,
      const RopeTable& rope, AttentionBuffers& buffers, std::size_t rows)
      : context_(context),
        config_(config),
        w_(weights),
        layout_(layout),
        layer_(layer),
        segments_(segments),
        rope_(rope),
        b_(buffers),
        rows_(rows) {}

  /// Convolutions, means, norm, temperature and rotation of all rows and heads. Queries go to the
  /// buffers; keys, and the same kv head's values, to the cache.
  void mix() const {
    constexpr std::size_t kRows = 32;  // share a pass over a head's grouped weights
    const std::size_t heads = config_.heads + config_.kv_heads;
    context_.pool.run((rows_ + kRows - 1) / kRows * heads, [&](std::size_t i) {
      const std::size_t begin = i / heads * kRows;
      mix_head(i % heads, cut(begin), cut(begin + kRows));
    });
  }

  /// Attention of every row with its sequence's keys.
  void attend() const;

  /// Replaces each sequence's CCA tail by its segment's last rows, once the tails that taking back
  /// draft tokens leaves, which may need the old one, are written.
  void store_tails() const {
    const std::size_t layer = layer_ * layout_.tail_floats();
    const std::size_t all = layout_.layers() * layout_.tail_floats();
    for (const Segment& segment : segments_) {
      const SequenceView& s = *segment.sequence;
      for (std::size_t dropped = 1; dropped <= s.drafts; ++dropped) {
        store_tail(segment, segment.rows - dropped, s.draft_tails + (dropped - 1) * all + layer);
      }
      store_tail(segment, segment.rows, s.tail + layer);
    }
  }

  /// The mixed heads, the values, and the normed but unrotated query and key, as tests compare
  /// them.
  void show(Trace& trace) const {
    const std::size_t q_width = config_.q_width();
    trace.values("self_attn.qkv_proj.0", layer_, {b_.mixed.data(), channels_}, rows_, q_width);
    trace.values("self_attn.qkv_proj.1", layer_, {b_.mixed.data() + q_width, channels_}, rows_,
                 config_.kv_width());
    std::vector<float> out(rows_ * config_.kv_width());
    for (const Segment& s : segments_) {
      for (std::size_t i = 0; i < s.rows; ++i) {
        for (std::size_t h = 0; h < config_.kv_heads; ++h) {
          value(s, i, h, out.data() + (s.first_row + i) * config_.kv_width() + h * d_);
        }
      }
    }
    trace.values("self_attn.qkv_proj.2", layer_, {out.data(), config_.kv_width()}, rows_,
                 config_.kv_width());
    show_normed(trace, config_.heads, 0, "self_attn.qk_norm.0");
    show_normed(trace, config_.kv_heads, config_.heads, "self_attn.qk_norm.1");
  }

 private:
  /// The CCA tail after the first `rows` rows of a segment, at least one. It may replace the old
  /// tail: a row that stays moves towards the front, and is read before it is written over.
  void store_tail(const Segment& segment, std::size_t rows, float* tail) const {
    const std::size_t keep = layout_.conv_rows();
    for (std::size_t j = 0; j < keep; ++j) {
      std::copy_n(before(segment, rows + j - keep), channels_, tail + j * channels_);
    }
    const std::size_t last = segment.first_row + rows - 1;
    std::copy_n(b_.delayed.data() + last * half_, half_, tail + keep * channels_);
  }

  void show_normed(Trace& trace, std::size_t heads, std::size_t first,
                   std::string_view name) const {
    std::vector<float> out(rows_ * heads * d_);
    for (std::size_t row = 0; row < rows_; ++row) {
      for (std::size_t h = 0; h < heads; ++h) {
        const float* x = b_.mixed.data() + row * channels_ + (first + h) * d_;
        const float norm = std::sqrt(context_.kernels.sum_of_squares(x, d_) + 1e-12F);
        const float scale = length(first + h) / norm;
        for (std::size_t c = 0; c < d_; ++c) out[(row * heads + h) * d_ + c] = x[c] * scale;
      }
    }
    trace.values(name, layer_, {out.data(), heads * d_}, rows_, heads * d_);
  }

  /// Of a head's normed vector: sqrt(d), times the temperature for a key.
  float length(std::size_t head) const {
    const float root = std::sqrt(static_cast<float>(d_));
    return head < config_.heads ? root : root * w_.temp[head - config_.heads];
  }

  float* query(std::size_t kv_head, std::size_t row) const {
    return b_.query.data() + (kv_head * rows_ + row) * group_ * kv_dim_;
  }

  /// The row near `row` where the work may be cut between two threads: two neighbouring positions
  /// share words of the cache, and one thread writes both.
  std::size_t cut(std::size_t row) const {
    if (row == 0 || row >= rows_) return std::min(row, rows_);
    const Segment& segment = *segment_of(row);
    const std::size_t i = row - segment.first_row;
    return i > 0 && (segment.sequence->position + i) % 2 != 0 ? row + 1 : row;
  }

  /// The segment of a row of the batch.
  const Segment* segment_of(std::size_t row) const {
    const auto after = std::upper_bound(
        segments_.begin(), segments_.end(), row,
        [](std::size_t r, const Segment& segment) { return r < segment.first_row; });
    return &*(after - 1);
  }

  /// [q ; k] before the convolutions at row `i` of the segment; negative rows (as wrapped size_t)
  /// come from the tail.
  const float* before(const Segment& segment, std::size_t i) const {
    if (static_cast<std::ptrdiff_t>(i) >= 0) {
      return b_.qk.data() + (segment.first_row + i) * channels_;
    }
    return segment.sequence->tail + layer_ * layout_.tail_floats() +
           (layout_.conv_rows() + i) * channels_;
  }

  void mix_head(std::size_t head, std::size_t begin, std::size_t end) const;

  /// Row i of the input of a head's grouped convolution: the depthwise outputs of its taps, d each,
  /// oldest first. `follows`: the row of u before is that of row i - 1, which has all but the last.
  /// u before the first token is not 0 but the depthwise bias: z is padded once, for both
  /// convolutions.
  void depthwise(const Segment& segment, std::size_t i, std::size_t head, bool follows,
                 const float** taps, float* u) const {
    const std::size_t c0 = head * d_;
    const std::size_t time0 = config_.conv_time0;
    const std::size_t time1 = config_.conv_time1;
    const std::size_t known = follows ? time1 - 1 : 0;
    if (follows) std::copy_n(u - known * d_, known * d_, u);
    for (std::size_t j = 0; j < time0; ++j) taps[j] = w_.depthwise[j].data() + c0;
    for (std::size_t t = known; t < time1; ++t) {
      for (std::size_t j = 0; j < time0; ++j) {
        taps[time0 + j] = before(segment, i + t + j + 2 - time1 - time0) + c0;
      }
      kernels_.depthwise(taps + time0, taps, w_.depthwise_bias.data() + c0, time0, u + t * d_, d_);
    }
  }

  /// Value of row `i` for one kv head: the row [current_t ; delayed_{t-1}] of kv_heads * d, cut
  /// into heads.
  void value(const Segment& segment, std::size_t i, std::size_t kv_head, float* out) const {
    const std::size_t row = segment.first_row + i;
    const float* current = b_.current.data() + row * half_;
    const float* delayed = i > 0 ? b_.delayed.data() + (row - 1) * half_
                                 : segment.sequence->tail + layer_ * layout_.tail_floats() +
                                       layout_.conv_rows() * channels_;
    const std::size_t first = kv_head * d_;
    const std::size_t cut = std::clamp(half_, first, first + d_);
    std::copy(current + first, current + cut, out);
    std::copy(delayed + cut - half_, delayed + first + d_ - half_, out + (cut - first));
  }

  void write_kv(const Segment& segment, std::size_t i, std::size_t kv_head, const float* key,
                const float* v) const {
    const SequenceView& s = *segment.sequence;
    const std::size_t position = s.position + i;
    std::byte* page = s.pages[layer_][position / kPage];
    const KvLayer formats = layout_.kv(layer_);
    kernels_.keys[static_cast<std::size_t>(formats.keys)].write(
        page + layout_.keys_offset(layer_, kv_head), kv_dim_, position % kPage, key);
    kernels_.values[static_cast<std::size_t>(formats.values)].write(
        page + layout_.values_offset(layer_, kv_head), kv_dim_, position % kPage, v);
  }

  std::size_t window() const { return config_.sliding[layer_] ? config_.window : 0; }
  /// Floats of a tile's running state: sum, then highest, then total.
  std::size_t state_floats(const Tile& tile) const {
    return (tile.end - tile.begin) * group_ * (kv_dim_ + 2);
  }
  AttendCall attend_call(const Tile& tile, float* state, std::byte* scratch) const;
  void attend_spans(const AttendCall& call, const AttendTask& task) const;
  void write_output(const Tile& tile, const AttendCall& call) const;
  std::vector<Tile> tiles() const;
  /// One task a tile, or one a span where tiles alone would leave threads idle.
  std::vector<AttendTask> attend_tasks(std::span<const Tile> tiles) const;

  const ComputeContext& context_;
  const ModelConfig& config_;
  const AttentionWeights& w_;
  const StateLayout& layout_;
  std::size_t layer_;
  std::span<const Segment> segments_;
  const RopeTable& rope_;
  AttentionBuffers& b_;
  std::size_t rows_;
  const AttentionKernels& kernels_ = context_.kernels.attention;
  std::size_t d_ = config_.head_dim;
  std::size_t kv_dim_ = layout_.kv_dim();
  std::size_t group_ = config_.heads / config_.kv_heads;
  std::size_t channels_ = config_.conv_width();
  std::size_t half_ = config_.kv_width() / 2;
};

void Cca::mix_head(std::size_t head, std::size_t begin, std::size_t end) const {
  const std::size_t rows = end - begin;
  const std::size_t width = config_.conv_time1 * d_;
  const std::size_t floats = rows * (width + d_) + 2 * kv_dim_;
  auto* u = reinterpret_cast<float*>(
      workspace(floats * sizeof(float) + (2 * config_.conv_time0 + 1) * sizeof(float*)));
  float* mixed = u + rows * width;
  float* key = mixed + rows * d_;
  float* v = key + kv_dim_;
  auto** taps = reinterpret_cast<const float**>(u + (floats + 1) / 2 * 2);

  const Segment* segment = segment_of(begin);
  for (std::size_t row = begin; row < end; ++row) {
    if (row == segment->first_row + segment->rows) ++segment;
    const bool follows = row > begin && row > segment->first_row;
    depthwise(*segment, row - segment->first_row, head, follows, taps, u + (row - begin) * width);
  }
  const std::size_t c0 = head * d_;
  w_.grouped.multiply(context_.kernels, c0, c0 + d_, {u, width}, rows, {mixed, d_});

  const bool is_key = head >= config_.heads;
  const std::size_t kv_head = is_key ? head - config_.heads : head / group_;
  if (is_key) std::fill(key, v + kv_dim_, 0.0F);
  segment = segment_of(begin);
  for (std::size_t row = begin; row < end; ++row) {
    if (row == segment->first_row + segment->rows) ++segment;
    const float* q = b_.qk.data() + row * channels_;
    float* x = mixed + (row - begin) * d_;
    kernels_.mix_head({.mixed = x,
                       .bias = w_.grouped_bias.data() + c0,
                       .q = is_key ? q + kv_head * group_ * d_ : q + c0,
                       .q_heads = is_key ? group_ : 1,
                       .k = q + (config_.heads + kv_head) * d_,
                       .n = d_,
                       .length = length(head),
                       .cosine = rope_.cosine.data() + row * rope_.half,
                       .sine = rope_.sine.data() + row * rope_.half,
                       .half = rope_.half,
                       .out = is_key ? key : query(kv_head, row) + head % group_ * kv_dim_});
    if (!b_.mixed.empty()) std::copy_n(x, d_, b_.mixed.data() + row * channels_ + c0);
    const std::size_t i = row - segment->first_row;
    if (is_key && segment->sequence->writes(layer_, segment->sequence->position + i)) {
      value(*segment, i, kv_head, v);
      write_kv(*segment, i, kv_head, key, v);
    }
  }
}

std::vector<Tile> Cca::tiles() const {
  constexpr std::size_t kRows = 128;  // share the keys and values that pass through the cache
  const std::size_t queries = std::max<std::size_t>(1, kRows / group_);
  std::vector<Tile> out;
  for (const Segment& s : segments_) {
    for (std::size_t i = 0; i < s.rows; i += queries) {
      for (std::size_t h = 0; h < config_.kv_heads; ++h) {
        out.push_back({&s, i, std::min(s.rows, i + queries), h});
      }
    }
  }
  return out;
}

std::vector<AttendTask> Cca::attend_tasks(std::span<const Tile> tiles) const {
  const bool split = tiles.size() < 2 * static_cast<std::size_t>(context_.pool.threads());
  std::vector<AttendTask> out;
  std::size_t partial = 0;
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    const Tile& tile = tiles[i];
    const std::size_t position = tile.segment->sequence->position;
    const std::size_t seen = position + tile.begin + 1;  // by the first query, were it not sliding
    const std::size_t first = window() != 0 && seen > window() ? seen - window() : 0;
    const std::size_t begin = first / AttendCall::kSpan;
    const std::size_t end = (position + tile.end - 1) / AttendCall::kSpan + 1;
    if (!split) {
      out.push_back({i, begin, end, 0});
      continue;
    }
    for (std::size_t span = begin; span < end; ++span) {
      out.push_back({i, span, span + 1, partial});
      partial += state_floats(tile);
    }
  }
  b_.partial.resize(std::max(b_.partial.size(), partial));
  return out;
}

AttendCall Cca::attend_call(const Tile& tile, float* state, std::byte* scratch) const {
  const SequenceView& s = *tile.segment->sequence;
  const std::size_t rows = (tile.end - tile.begin) * group_;
  std::byte* const* pages = s.pages[layer_].data();
  return {.keys = {.pages = pages,
                   .offset = layout_.keys_offset(layer_, tile.kv_head),
                   .format = layout_.kv(layer_).keys},
          .values = {.pages = pages,
                     .offset = layout_.values_offset(layer_, tile.kv_head),
                     .format = layout_.kv(layer_).values},
          .dim = kv_dim_,
          .heads = group_,
          .rows = rows,
          .position = s.position + tile.begin,
          .window = window(),
          .scale = 1.0F / std::sqrt(static_cast<float>(d_)),
          .query = query(tile.kv_head, tile.segment->first_row + tile.begin),
          .scratch = scratch,
          .highest = state + rows * kv_dim_,
          .total = state + rows * (kv_dim_ + 1),
          .sum = state};
}

void Cca::attend_spans(const AttendCall& call, const AttendTask& task) const {
  std::fill_n(call.highest, call.rows, -INFINITY);
  std::fill_n(call.total, call.rows, 0.0F);
  std::fill_n(call.sum, call.rows * kv_dim_, 0.0F);
  for (std::size_t span = task.first; span < task.last; ++span) attend_span(kernels_, call, span);
}

void Cca::write_output(const Tile& tile, const AttendCall& call) const {
  for (std::size_t r = 0; r < call.rows; ++r) {
    const std::size_t row = tile.segment->first_row + tile.begin + r / group_;
    float* out =
        b_.output.data() + row * config_.q_width() + (tile.kv_head * group_ + r % group_) * d_;
    kernels_.divide(call.sum + r * kv_dim_, call.total[r], out, d_);
  }
}

void Cca::attend() const {
  const std::vector<Tile> tile = tiles();
  const std::vector<AttendTask> task = attend_tasks(tile);
  const std::size_t scratch = attend_scratch_bytes(kv_dim_);
  if (task.size() == tile.size()) {
    context_.pool.run(task.size(), [&](std::size_t i) {
      std::byte* memory = workspace(scratch + state_floats(tile[i]) * sizeof(float));
      const AttendCall call =
          attend_call(tile[i], reinterpret_cast<float*>(memory + scratch), memory);
      attend_spans(call, task[i]);
      write_output(tile[i], call);
    });
    return;
  }
  // Whoever finishes a tile's last span merges them all, in order.
  std::vector<std::atomic<std::size_t>> done(tile.size());
  context_.pool.run(task.size(), [&](std::size_t i) {
    const Tile& t = tile[task[i].tile];
    const auto call = [&](std::size_t at) {
      return attend_call(t, b_.partial.data() + task[at].partial, workspace(scratch));
    };
    attend_spans(call(i), task[i]);
    const auto same = [&](std::size_t at) {
      return at < task.size() && task[at].tile == task[i].tile;
    };
    std::size_t first = i;
    while (first > 0 && same(first - 1)) --first;
    std::size_t last = i + 1;
    while (same(last)) ++last;
    if (++done[task[i].tile] < last - first) return;
    const AttendCall into = call(first);
    for (std::size_t at = first + 1; at < last; ++at) kernels_.merge(into, call(at));
    write_output(t, into);
  });
}

}  // namespace

void RopeTable::fill(const RopeConfig& rope, std::size_t head_dim,
                     std::span<const Segment> segments, std::size_t rows) {
  const auto rotary =
      static_cast<std::size_t>(static_cast<double>(head_dim) * rope.partial_rotary_factor);
  half = rotary / 2;
  cosine.resize(rows * half);
  sine.resize(rows * half);
  for (std::size_t i = 0; i < half; ++i) {
    const auto frequency = static_cast<float>(
        std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary)));
    for (const Segment& s : segments) {
      for (std::size_t j = 0; j < s.rows; ++j) {
        const float angle = static_cast<float>(s.sequence->position + j) * frequency;
        cosine[(s.first_row + j) * half + i] = std::cos(angle);
        sine[(s.first_row + j) * half + i] = std::sin(angle);
      }
    }
  }
}

void AttentionBuffers::resize(const ModelConfig& config, std::size_t rows) {
  qk.resize(rows * config.conv_width());
  current.resize(rows * config.kv_width() / 2);
  delayed.resize(rows * config.kv_width() / 2);
  query.resize(rows * config.heads * KvBlock::dim(config.head_dim));
  output.resize(rows * config.q_width());
}

void attention(const ComputeContext& context, const ModelConfig& config,
               const AttentionWeights& weights, const StateLayout& layout, std::size_t layer,
               std::span<const Segment> segments, std::span<const AdaptedRows> adapted,
               const RopeTable& rope, Rows<const float> normed, std::size_t rows,
               AttentionBuffers& buffers, Rows<float> out, Trace* trace) {
  const std::size_t channels = config.conv_width();
  const std::size_t half = config.kv_width() / 2;
  const Rows<float> q{buffers.qk.data(), channels};
  const Rows<float> k{buffers.qk.data() + config.q_width(), channels};
  const Rows<float> current{buffers.current.data(), half};
  const Rows<float> delayed{buffers.delayed.data(), half};
  linear(
      context,
      {{weights.q, q}, {weights.k, k}, {weights.v_current, current}, {weights.v_delayed, delayed}},
      normed, rows);
  adapt(context, adapted, layer,
        {{Projection::q, q},
         {Projection::k, k},
         {Projection::v_current, current},
         {Projection::v_delayed, delayed}},
        normed);

  buffers.mixed.resize(trace != nullptr ? rows * channels : 0);
  const Cca cca(context, config, weights, layout, layer, segments, rope, buffers, rows);
  cca.mix();
  if (trace != nullptr) cca.show(*trace);
  cca.attend();
  cca.store_tails();

  const Rows<const float> attended{buffers.output.data(), config.q_width()};
  linear(context, {{weights.o, out}}, attended, rows);
  adapt(context, adapted, layer, {{Projection::o, out}}, attended);
}

}  // namespace zaya
