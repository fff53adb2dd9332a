// The plain reference of what attention does between its products; other instruction sets are
// tested against it.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "compute/kernels/tables.h"

namespace zaya {
namespace {

float widen(float v) {
  return v;
}
float widen(bf16 v) {
  return to_float(v);
}

template <class T>
constexpr std::size_t kPer = 4 / sizeof(T);

/// Where element i of a position's key lies among the keys, and of its value among the values.
template <class T>
std::size_t key_at(std::size_t position, std::size_t i) {
  return (i / kPer<T> * KvBlock::kPositions + position) * kPer<T> + i % kPer<T>;
}
template <class T>
std::size_t value_at(std::size_t dim, std::size_t position, std::size_t i) {
  return (position / kPer<T> * dim + i) * kPer<T> + position % kPer<T>;
}

void merge_row(const AttendCall& c, std::size_t row, float highest, float total, const float* sum) {
  const float peak = std::max(c.highest[row], highest);
  if (peak == -std::numeric_limits<float>::infinity()) return;  // neither saw a key
  const float keep = std::exp(c.highest[row] - peak);
  const float take = std::exp(highest - peak);
  c.highest[row] = peak;
  c.total[row] = c.total[row] * keep + total * take;
  float* out = c.sum + row * c.dim;
  for (std::size_t i = 0; i < c.dim; ++i) out[i] = out[i] * keep + sum[i] * take;
}

void merge(const AttendCall& into, const AttendCall& from) {
  for (std::size_t r = 0; r < into.rows; ++r) {
    merge_row(into, r, from.highest[r], from.total[r], from.sum + r * into.dim);
  }
}

template <class T>
void attend(const AttendCall& c, std::size_t span) {
  auto* scores = reinterpret_cast<float*>(c.scratch);
  float* sum = scores + AttendCall::kSpan;
  const std::size_t start = span * AttendCall::kSpan;
  for (std::size_t r = 0; r < c.rows; ++r) {
    const std::size_t last = c.position + r / c.heads;
    const std::size_t first = c.window != 0 && last >= c.window ? last - c.window + 1 : 0;
    const std::size_t from = std::max(first, start);
    const std::size_t to = std::min(last + 1, start + AttendCall::kSpan);
    if (from >= to) continue;
    const float* q = c.query + r * c.dim;
    float highest = -std::numeric_limits<float>::infinity();
    for (std::size_t t = from; t < to; ++t) {
      const auto* keys = reinterpret_cast<const T*>(c.keys.page(t / KvBlock::kPositions));
      float score = 0;
      for (std::size_t i = 0; i < c.dim; ++i) {
        score += q[i] * widen(keys[key_at<T>(t % KvBlock::kPositions, i)]);
      }
      if (c.keys.scales != nullptr) score *= c.keys.scales[t - start];
      scores[t - start] = score * c.scale;
      highest = std::max(highest, scores[t - start]);
    }
    float total = 0;
    std::fill(sum, sum + c.dim, 0.0F);
    for (std::size_t t = from; t < to; ++t) {
      const auto* values = reinterpret_cast<const T*>(c.values.page(t / KvBlock::kPositions));
      float weight = std::exp(scores[t - start] - highest);
      total += weight;
      if (c.values.scales != nullptr) weight *= c.values.scales[t - start];
      for (std::size_t i = 0; i < c.dim; ++i) {
        sum[i] += weight * widen(values[value_at<T>(c.dim, t % KvBlock::kPositions, i)]);
      }
    }
    merge_row(c, r, highest, total, sum);
  }
}

void divide(const float* x, float by, float* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) out[i] = x[i] / by;
}

void depthwise(const float* const* x, const float* const* weight, const float* bias,
               std::size_t taps, float* out, std::size_t n) {
  for (std::size_t c = 0; c < n; ++c) {
    out[c] = bias[c];
    for (std::size_t j = 0; j < taps; ++j) out[c] += weight[j][c] * x[j][c];
  }
}

void mix_head(const HeadCall& c) {
  float squares = 0;
  for (std::size_t i = 0; i < c.n; ++i) {
    float q = 0;
    for (std::size_t h = 0; h < c.q_heads; ++h) q += c.q[h * c.n + i];
    c.mixed[i] += c.bias[i] + (q / static_cast<float>(c.q_heads) + c.k[i]) * 0.5F;
    squares += c.mixed[i] * c.mixed[i];
  }
  const float scale = c.length / std::sqrt(squares + 1e-12F);
  for (std::size_t i = 0; i < c.n; ++i) c.out[i] = c.mixed[i] * scale;
  for (std::size_t i = 0; i < c.half; ++i) {
    const float a = c.out[i];
    const float b = c.out[i + c.half];
    c.out[i] = a * c.cosine[i] - b * c.sine[i];
    c.out[i + c.half] = b * c.cosine[i] + a * c.sine[i];
  }
}

}  // namespace

AttentionKernels scalar_attention() {
  return {
      .attend_f32 = attend<float>,
      .attend_bf16 = attend<bf16>,
      .merge = merge,
      .divide = divide,
      .depthwise = depthwise,
      .mix_head = mix_head,
      .keys = scalar_kv(/*keys=*/true),
      .values = scalar_kv(/*keys=*/false),
  };
}

}  // namespace zaya
