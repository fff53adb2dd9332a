#include "model/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace zaya {
namespace {

constexpr std::size_t kPage = StateLayout::kPageTokens;

/// Stores fp32 values in the cache's type.
void store(DType type, std::byte* out, std::size_t offset, const float* x, std::size_t n) {
  if (type == DType::f32) {
    std::memcpy(reinterpret_cast<float*>(out) + offset, x, n * sizeof(float));
    return;
  }
  bf16* to = reinterpret_cast<bf16*>(out) + offset;
  for (std::size_t i = 0; i < n; ++i) to[i] = to_bf16(x[i]);
}

/// The steps between the projections and the output product, for one layer of one batch.
class Cca {
 public:
  Cca(const ComputeContext& context, const ModelConfig& config, const AttentionWeights& weights,
      const StateLayout& layout, std::size_t layer, const RopeTable& rope,
      AttentionBuffers& buffers, std::size_t rows)
      : context_(context),
        config_(config),
        w_(weights),
        layout_(layout),
        layer_(layer),
        rope_(rope),
        b_(buffers),
        rows_(rows) {}

  /// Convolutions, means, norm, temperature and rotation of one head of [q ; k] for rows
  /// [begin, end) of a segment. Keys, and the same kv head's values, go to the cache.
  void mix_head(const Segment& segment, std::size_t head, std::size_t begin,
                std::size_t end) const {
    convolve(segment, head, begin, end);
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t row = segment.first_row + i;
      float* x = b_.mixed.data() + row * channels_ + head * d_;
      if (head < config_.heads) {
        add_query_mean(row, head, x);
        float* q = query(head / group_, row) + head % group_ * d_;
        normalise(x, 1.0F, q);
        rotate(row, q);
      } else {
        add_key_mean(row, head - config_.heads, x);
        if (segment.sequence->writes_kv) write_kv(segment, i, head - config_.heads, x);
      }
    }
  }

  /// Attention of the queries of rows [begin, end) of a segment with one kv head, page by page with
  /// a running maximum and sum. Pages start at absolute positions, so the order of additions for a
  /// query does not depend on how its prompt was chunked.
  void attend(const Segment& segment, std::size_t kv_head, std::size_t begin,
              std::size_t end) const;

  /// Replaces the sequence's CCA tail by the segment's last rows.
  void store_tail(const Segment& segment) const {
    float* tail = segment.sequence->tail + layer_ * layout_.tail_floats();
    const std::size_t keep = layout_.conv_rows();
    std::vector<float> next(keep * channels_);
    for (std::size_t j = 0; j < keep; ++j) {
      std::copy_n(before(segment, segment.rows + j - keep), channels_, next.data() + j * channels_);
    }
    std::copy(next.begin(), next.end(), tail);
    const std::size_t last = segment.first_row + segment.rows - 1;
    std::copy_n(b_.delayed.data() + last * half_, half_, tail + keep * channels_);
  }

  /// The normed, unrotated query and key, as tests compare them.
  void trace_normed(Trace& trace, std::size_t heads, std::size_t first,
                    std::string_view name) const {
    std::vector<float> out(rows_ * heads * d_);
    for (std::size_t row = 0; row < rows_; ++row) {
      for (std::size_t h = 0; h < heads; ++h) {
        const float temp = first == 0 ? 1.0F : w_.temp[h];
        normalise(b_.mixed.data() + row * channels_ + (first + h) * d_, temp,
                  out.data() + (row * heads + h) * d_);
      }
    }
    trace.values(name, layer_, {out.data(), heads * d_}, rows_, heads * d_);
  }

  void trace_values(Trace& trace, std::span<const Segment> segments) const {
    std::vector<float> out(rows_ * config_.kv_width());
    for (const Segment& s : segments) {
      for (std::size_t i = 0; i < s.rows; ++i) {
        for (std::size_t h = 0; h < config_.kv_heads; ++h) {
          value(s, i, h, out.data() + (s.first_row + i) * config_.kv_width() + h * d_);
        }
      }
    }
    trace.values("self_attn.qkv_proj.2", layer_, {out.data(), config_.kv_width()}, rows_,
                 config_.kv_width());
  }

 private:
  float* query(std::size_t kv_head, std::size_t row) const {
    return b_.query.data() + (kv_head * rows_ + row) * group_ * d_;
  }

  /// The depthwise outputs that one head's grouped convolution takes in: taps rows of d.
  float* taps(std::size_t row, std::size_t head) const {
    return b_.taps.data() + (row * channels_ + head * d_) * config_.conv_time1;
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

  /// s_t = B u_t over the head's taps, u = depthwise(z). u before the first token is not 0 but the
  /// depthwise bias: z is padded once, for both convolutions.
  void convolve(const Segment& segment, std::size_t head, std::size_t begin,
                std::size_t end) const {
    const std::size_t count = config_.conv_time1;
    const std::size_t c0 = head * d_;
    for (std::size_t i = begin; i < end; ++i) {
      float* u = taps(segment.first_row + i, head);
      for (std::size_t j = 0; j < count; ++j) {
        depthwise(segment, i + j + 1 - count, c0, u + j * d_);
      }
    }
    const std::size_t row = segment.first_row + begin;
    const Rows<float> out{b_.mixed.data() + row * channels_ + c0, channels_};
    w_.grouped.multiply(context_.kernels, c0, c0 + d_, {taps(row, head), channels_ * count},
                        end - begin, out);
    for (std::size_t i = 0; i < end - begin; ++i) {
      for (std::size_t c = 0; c < d_; ++c) out.row(i)[c] += w_.grouped_bias[c0 + c];
    }
  }

  /// u at row `i` (wrapped when before the segment) for channels [c0, c0 + d).
  void depthwise(const Segment& segment, std::size_t i, std::size_t c0, float* u) const {
    const std::size_t taps = config_.conv_time0;
    std::copy_n(w_.depthwise_bias.data() + c0, d_, u);
    for (std::size_t j = 0; j < taps; ++j) {
      const float* z = before(segment, i + j + 1 - taps) + c0;
      const float* a = w_.depthwise[j].data() + c0;
      for (std::size_t c = 0; c < d_; ++c) u[c] += a[c] * z[c];
    }
  }

  /// Q_h += (q_h + k_g) / 2.
  void add_query_mean(std::size_t row, std::size_t head, float* x) const {
    const float* q = b_.qk.data() + row * channels_ + head * d_;
    const float* k = b_.qk.data() + row * channels_ + (config_.heads + head / group_) * d_;
    for (std::size_t c = 0; c < d_; ++c) x[c] += (q[c] + k[c]) * 0.5F;
  }

  /// K_g += mean over the heads h of the group of (q_h + k_g) / 2.
  void add_key_mean(std::size_t row, std::size_t kv_head, float* x) const {
    const float* q = b_.qk.data() + row * channels_ + kv_head * group_ * d_;
    const float* k = b_.qk.data() + row * channels_ + (config_.heads + kv_head) * d_;
    const float share = 1.0F / static_cast<float>(group_);
    for (std::size_t c = 0; c < d_; ++c) {
      float sum = 0;
      for (std::size_t h = 0; h < group_; ++h) sum += (q[h * d_ + c] + k[c]) * 0.5F;
      x[c] += sum * share;
    }
  }

  /// out = sqrt(d) * factor * x / |x|, with |x|^2 + 1e-12 so that a zero vector stays one.
  void normalise(const float* x, float factor, float* out) const {
    const float norm = std::sqrt(context_.kernels.sum_of_squares(x, d_) + 1e-12F);
    const float scale = std::sqrt(static_cast<float>(d_)) / norm * factor;
    for (std::size_t c = 0; c < d_; ++c) out[c] = x[c] * scale;
  }

  /// Rotates the first 2 * half dimensions; element i pairs with i + half.
  void rotate(std::size_t row, float* x) const {
    const float* cosine = rope_.cosine.data() + row * rope_.half;
    const float* sine = rope_.sine.data() + row * rope_.half;
    for (std::size_t i = 0; i < rope_.half; ++i) {
      const float a = x[i];
      const float b = x[i + rope_.half];
      x[i] = a * cosine[i] - b * sine[i];
      x[i + rope_.half] = b * cosine[i] + a * sine[i];
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
    for (std::size_t c = 0; c < d_; ++c) {
      const std::size_t at = kv_head * d_ + c;
      out[c] = at < half_ ? current[at] : delayed[at - half_];
    }
  }

  void write_kv(const Segment& segment, std::size_t i, std::size_t kv_head,
                const float* key) const {
    const SequenceView& s = *segment.sequence;
    const std::size_t position = s.position + i;
    std::byte* page = s.pages[layout_.group(layer_)][position / kPage];
    // The head's taps of this row are used up: their place serves as scratch.
    float* x = taps(segment.first_row + i, config_.heads + kv_head);
    normalise(key, w_.temp[kv_head], x);
    rotate(segment.first_row + i, x);
    const std::size_t at = position % kPage * d_;
    store(layout_.kv_type(), page + layout_.page_offset(layer_, StateLayout::kKeys, kv_head), at, x,
          d_);
    value(segment, i, kv_head, x);
    store(layout_.kv_type(), page + layout_.page_offset(layer_, StateLayout::kValues, kv_head), at,
          x, d_);
  }

  const ComputeContext& context_;
  const ModelConfig& config_;
  const AttentionWeights& w_;
  const StateLayout& layout_;
  std::size_t layer_;
  const RopeTable& rope_;
  AttentionBuffers& b_;
  std::size_t rows_;
  std::size_t d_ = config_.head_dim;
  std::size_t group_ = config_.heads / config_.kv_heads;
  std::size_t channels_ = config_.conv_width();
  std::size_t half_ = config_.kv_width() / 2;
};

void Cca::attend(const Segment& segment, std::size_t kv_head, std::size_t begin,
                 std::size_t end) const {
  const Kernels& kernels = context_.kernels;
  const SequenceView& s = *segment.sequence;
  const std::size_t rows = (end - begin) * group_;
  const float* q = query(kv_head, segment.first_row + begin);
  const float score_scale = 1.0F / std::sqrt(static_cast<float>(d_));
  const std::size_t window = config_.sliding[layer_] ? config_.window : 0;
  const auto first_key = [&](std::size_t position) {
    return window != 0 && position + 1 > window ? position + 1 - window : 0;
  };

  std::vector<float> scores(rows * kPage);
  std::vector<float> sum(rows * d_);
  std::vector<float> total(rows);
  std::vector<float> highest(rows, -INFINITY);
  std::vector<float> rescale(rows);

  const std::size_t last = s.position + end - 1;  // position of the last query
  for (std::size_t p = first_key(s.position + begin) / kPage; p <= last / kPage; ++p) {
    const std::byte* page = s.pages[layout_.group(layer_)][p];
    const std::byte* keys = page + layout_.page_offset(layer_, StateLayout::kKeys, kv_head);
    const std::byte* values = page + layout_.page_offset(layer_, StateLayout::kValues, kv_head);
    const std::size_t count = std::min(kPage, last + 1 - p * kPage);
    const bool wide = layout_.kv_type() == DType::f32;
    if (wide) {
      kernels.matmul_f32({reinterpret_cast<const float*>(keys), d_}, {q, d_},
                         {scores.data(), kPage}, rows, count, d_);
    } else {
      kernels.matmul_bf16({reinterpret_cast<const bf16*>(keys), d_}, {q, d_},
                          {scores.data(), kPage}, rows, count, d_);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t position = s.position + begin + r / group_;
      const std::size_t from = std::clamp(first_key(position), p * kPage, p * kPage + count);
      const std::size_t to = std::clamp(position + 1, from, p * kPage + count);
      float* row = scores.data() + r * kPage;
      float* x = row + (from - p * kPage);
      const std::size_t n = to - from;
      float peak = highest[r];
      for (std::size_t t = 0; t < n; ++t) {
        x[t] *= score_scale;
        peak = std::max(peak, x[t]);
      }
      std::fill(row, x, 0.0F);
      std::fill(x + n, row + count, 0.0F);
      rescale[r] = n == 0 ? 1.0F : std::exp(highest[r] - peak);
      highest[r] = peak;
      total[r] = total[r] * rescale[r] + (n == 0 ? 0.0F : kernels.exp_shifted(x, n, peak));
    }
    const Rows<const float> weights{scores.data(), kPage};
    const Rows<float> out{sum.data(), d_};
    if (wide) {
      kernels.weighted_sum_f32({reinterpret_cast<const float*>(values), d_}, weights,
                               rescale.data(), out, rows, count, d_);
    } else {
      kernels.weighted_sum_bf16({reinterpret_cast<const bf16*>(values), d_}, weights,
                                rescale.data(), out, rows, count, d_);
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t row = segment.first_row + begin + r / group_;
    float* out = b_.output.data() + row * config_.q_width() + (kv_head * group_ + r % group_) * d_;
    for (std::size_t c = 0; c < d_; ++c) out[c] = sum[r * d_ + c] / total[r];
  }
}

/// Part of a segment for one task.
struct Tile {
  const Segment* segment;
  std::size_t begin;
  std::size_t end;
};

std::vector<Tile> tiles(std::span<const Segment> segments, std::size_t rows) {
  std::vector<Tile> out;
  for (const Segment& s : segments) {
    for (std::size_t i = 0; i < s.rows; i += rows)
      out.push_back({&s, i, std::min(s.rows, i + rows)});
  }
  return out;
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
  taps.resize(rows * config.conv_width() * config.conv_time1);
  mixed.resize(rows * config.conv_width());
  query.resize(rows * config.q_width());
  output.resize(rows * config.q_width());
}

void attention(const ComputeContext& context, const ModelConfig& config,
               const AttentionWeights& weights, const StateLayout& layout, std::size_t layer,
               std::span<const Segment> segments, const RopeTable& rope, Rows<const float> normed,
               std::size_t rows, AttentionBuffers& buffers, Rows<float> out, Trace* trace) {
  const std::size_t channels = config.conv_width();
  const std::size_t half = config.kv_width() / 2;
  linear(context,
         {{weights.q, {buffers.qk.data(), channels}},
          {weights.k, {buffers.qk.data() + config.q_width(), channels}},
          {weights.v_current, {buffers.current.data(), half}},
          {weights.v_delayed, {buffers.delayed.data(), half}}},
         normed, rows);

  const Cca cca(context, config, weights, layout, layer, rope, buffers, rows);
  const std::size_t heads = config.heads + config.kv_heads;
  const std::vector<Tile> mix = tiles(segments, 32);
  context.pool.run(mix.size() * heads, [&](std::size_t i) {
    const Tile& tile = mix[i / heads];
    cca.mix_head(*tile.segment, i % heads, tile.begin, tile.end);
  });
  if (trace != nullptr) {
    trace->values("self_attn.qkv_proj.0", layer, {buffers.mixed.data(), channels}, rows,
                  config.q_width());
    trace->values("self_attn.qkv_proj.1", layer,
                  {buffers.mixed.data() + config.q_width(), channels}, rows, config.kv_width());
    cca.trace_values(*trace, segments);
    cca.trace_normed(*trace, config.heads, 0, "self_attn.qk_norm.0");
    cca.trace_normed(*trace, config.kv_heads, config.heads, "self_attn.qk_norm.1");
  }

  // About 32 query rows share each page of keys that passes through the cache.
  const std::size_t group = config.heads / config.kv_heads;
  const std::vector<Tile> attend =
      tiles(segments, group < 32 ? 32 / std::max<std::size_t>(group, 1) : 1);
  context.pool.run(attend.size() * config.kv_heads, [&](std::size_t i) {
    const Tile& tile = attend[i / config.kv_heads];
    cca.attend(*tile.segment, i % config.kv_heads, tile.begin, tile.end);
  });
  for (const Segment& segment : segments) cca.store_tail(segment);

  round_inputs(context.compute, buffers.output.data(), rows * config.q_width());
  linear(context, {{weights.o, out}}, {buffers.output.data(), config.q_width()}, rows);
}

}  // namespace zaya
