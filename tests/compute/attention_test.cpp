// The kernels of attention against plain double references, on every instruction set of the host.
#include "compute/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "compute/kernels/kernels.h"

namespace zaya {
namespace {

constexpr std::size_t kPage = KvBlock::kPositions;

std::vector<float> random_floats(std::size_t n, std::uint64_t stream, float size = 1) {
  Random random(12, stream);
  std::vector<float> values(n);
  for (float& v : values) v = size * static_cast<float>(random.normal());
  return values;
}

/// Bytes aligned as pages and scratch are.
class Aligned {
 public:
  explicit Aligned(std::size_t bytes) : memory_(bytes + 64) {}
  std::byte* data() {
    void* p = memory_.data();
    std::size_t space = memory_.size();
    return static_cast<std::byte*>(std::align(64, memory_.size() - 64, p, space));
  }

 private:
  std::vector<std::byte> memory_;
};

/// K and V of one sequence and kv head, in pages and plain.
struct Cache {
  std::size_t head_dim;
  std::size_t dim = KvBlock::dim(head_dim);
  std::vector<std::vector<double>> keys, values;
  std::vector<Aligned> memory;
  std::vector<const std::byte*> pages;
  static constexpr std::size_t kOffset = 128;

  Cache(const AttentionKernels& kernels, DType type, std::size_t head_dim_, std::size_t positions)
      : head_dim(head_dim_) {
    const bool wide = type == DType::f32;
    for (std::size_t t = 0; t < positions; ++t) {
      std::vector<float> key = random_floats(dim, 2 * t, 2);
      std::vector<float> value = random_floats(dim, 2 * t + 1);
      std::fill(key.begin() + static_cast<long>(head_dim), key.end(), 0.0F);
      std::fill(value.begin() + static_cast<long>(head_dim), value.end(), 0.0F);
      if (t % kPage == 0) {
        memory.emplace_back(kOffset + 2 * KvBlock::part_bytes(dim, dtype_size(type)));
        pages.push_back(memory.back().data());
      }
      std::byte* block = memory.back().data() + kOffset;
      (wide ? kernels.write_f32 : kernels.write_bf16)(block, dim, t % kPage, key.data(),
                                                      value.data());
      const auto stored = [&](float v) -> double { return wide ? v : to_float(to_bf16(v)); };
      keys.emplace_back();
      values.emplace_back();
      for (std::size_t i = 0; i < head_dim; ++i) {
        keys.back().push_back(stored(key[i]));
        values.back().push_back(stored(value[i]));
      }
    }
  }
};

/// Queries of some positions, and the running state of their attention.
struct Queries {
  std::vector<float> query, highest, total, sum;
  Aligned scratch;
  AttendCall call;

  Queries(Cache& cache, std::size_t heads, std::size_t count, std::size_t position,
          std::size_t window)
      : query(random_floats(heads * count * cache.dim, 1 << 20)),
        highest(heads * count, -std::numeric_limits<float>::infinity()),
        total(heads * count),
        sum(heads * count * cache.dim),
        scratch(AttendCall::scratch_bytes(cache.dim)) {
    for (std::size_t r = 0; r < heads * count; ++r) {
      for (std::size_t i = cache.head_dim; i < cache.dim; ++i) query[r * cache.dim + i] = 0;
    }
    call = {.pages = cache.pages.data(),
            .offset = Cache::kOffset,
            .dim = cache.dim,
            .heads = heads,
            .rows = heads * count,
            .position = position,
            .window = window,
            .scale = 1.0F / std::sqrt(static_cast<float>(cache.head_dim)),
            .query = query.data(),
            .scratch = scratch.data(),
            .highest = highest.data(),
            .total = total.data(),
            .sum = sum.data()};
  }

  std::size_t spans() const {
    return (call.position + call.rows / call.heads - 1) / AttendCall::kSpan + 1;
  }
  std::vector<float> result() const {
    std::vector<float> out(sum.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = sum[i] / total[i / call.dim];
    return out;
  }
};

std::vector<double> reference(const Cache& cache, const AttendCall& c, std::size_t row) {
  const std::size_t last = c.position + row / c.heads;
  const std::size_t first = c.window != 0 && last >= c.window ? last - c.window + 1 : 0;
  std::vector<double> weights;
  double highest = -1e300;
  for (std::size_t t = first; t <= last; ++t) {
    double score = 0;
    for (std::size_t i = 0; i < cache.head_dim; ++i) {
      score += static_cast<double>(c.query[row * c.dim + i]) * cache.keys[t][i];
    }
    weights.push_back(score / std::sqrt(static_cast<double>(cache.head_dim)));
    highest = std::max(highest, weights.back());
  }
  double total = 0;
  std::vector<double> out(cache.head_dim);
  for (std::size_t t = first; t <= last; ++t) {
    const double weight = std::exp(weights[t - first] - highest);
    total += weight;
    for (std::size_t i = 0; i < cache.head_dim; ++i) out[i] += weight * cache.values[t][i];
  }
  for (double& v : out) v /= total;
  return out;
}

/// Every case runs on every instruction set of the host.
class EveryIsaAttention : public testing::TestWithParam<Isa> {
 protected:
  const AttentionKernels& kernels = kernels_of(GetParam()).attention;

  auto attend(DType type) const {
    return type == DType::f32 ? kernels.attend_f32 : kernels.attend_bf16;
  }
  void run(DType type, Queries& q) const {
    for (std::size_t s = 0; s < q.spans(); ++s) attend(type)(q.call, s);
  }
};

INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsaAttention, testing::ValuesIn(host_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

TEST_P(EveryIsaAttention, MatchesReferenceAtAndOffTileBoundaries) {
  struct Shape {
    std::size_t head_dim, heads, count, position, window;
  };
  for (const Shape s : std::vector<Shape>{
           {128, 4, 1, 0, 0},
           {128, 4, 1, 31, 0},
           {128, 4, 1, 700, 0},
           {128, 4, 1, 1023, 0},
           {128, 4, 1, 1024, 0},
           {128, 4, 40, 490, 0},
           {128, 1, 3, 17, 0},
           {40, 3, 7, 100, 0},
           {96, 6, 9, 37, 0},
           {32, 2, 33, 0, 0},
           {32, 4, 70, 0, 5},
           {64, 4, 20, 600, 33},
           {128, 4, 16, 900, 64},
           {8, 1, 530, 0, 0},
           {2, 5, 3, 512, 1},
           {128, 4, 9, 505, 512},
           {256, 4, 5, 60, 0},
           {128, 8, 1, 1100, 600},
       }) {
    for (const DType type : {DType::f32, DType::bf16}) {
      // The cache ends with the last query, so the last page is part full.
      Cache cache(kernels, type, s.head_dim, s.position + s.count);
      Queries q(cache, s.heads, s.count, s.position, s.window);
      run(type, q);
      const std::vector<float> got = q.result();
      // On AMX queries and weights are rounded to bf16 too.
      const bool rounds = type == DType::bf16 && GetParam() == Isa::amx;
      double worst = 0;
      for (std::size_t r = 0; r < q.call.rows; ++r) {
        const std::vector<double> want = reference(cache, q.call, r);
        for (std::size_t i = 0; i < s.head_dim; ++i) {
          worst = std::max(worst, std::abs(got[r * cache.dim + i] - want[i]));
        }
      }
      EXPECT_LE(worst, rounds ? 0.03 : 1e-5)
          << dtype_name(type) << " d " << s.head_dim << " heads " << s.heads << " rows "
          << q.call.rows << " from " << s.position << " window " << s.window;
    }
  }
}

TEST_P(EveryIsaAttention, BitsDependOnNeitherCompanyNorHowSpansAreSpread) {
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const std::size_t window : {0, 600}) {
      const std::size_t count = 37;
      const std::size_t position = 1400;
      const std::size_t heads = 4;
      Cache cache(kernels, type, 64, position + count);
      Queries whole(cache, heads, count, position, window);
      run(type, whole);
      const std::vector<float> want = whole.result();
      const std::size_t row_floats = heads * cache.dim;
      for (std::size_t i = 0; i < count; ++i) {
        Queries one(cache, heads, 1, position + i, window);
        one.call.query = whole.query.data() + i * row_floats;
        // Each span on its own, then merged in order.
        Queries into = one;
        for (std::size_t s = 0; s < one.spans(); ++s) {
          Queries part(cache, heads, 1, position + i, window);
          part.call.query = one.call.query;
          attend(type)(part.call, s);
          into.call.highest = into.highest.data();
          into.call.total = into.total.data();
          into.call.sum = into.sum.data();
          kernels.merge(into.call, part.call);
        }
        const auto* first = want.data() + i * row_floats;
        ASSERT_EQ(into.result(), std::vector<float>(first, first + row_floats))
            << dtype_name(type) << " window " << window << " query " << i;
      }
    }
  }
}

TEST_P(EveryIsaAttention, LargeScoresNeitherOverflowNorVanish) {
  for (const DType type : {DType::f32, DType::bf16}) {
    Cache cache(kernels, type, 32, 600);
    Queries q(cache, 2, 1, 599, 0);
    for (float& v : q.query) v *= 2000;  // scores far outside of exp's range
    run(type, q);
    const std::vector<float> got = q.result();
    for (std::size_t r = 0; r < 2; ++r) {
      const std::vector<double> want = reference(cache, q.call, r);
      for (std::size_t i = 0; i < 32; ++i) ASSERT_NEAR(got[r * 32 + i], want[i], 0.03);
    }
  }
}

TEST_P(EveryIsaAttention, PagesKeepEveryOtherPosition) {
  for (const std::size_t head_dim : {40, 128}) {
    const std::size_t dim = KvBlock::dim(head_dim);
    Aligned page(2 * KvBlock::part_bytes(dim, 2));
    std::vector<float> key(dim);
    std::vector<float> value(dim);
    const auto at = [&](std::size_t element) {
      bf16 v;
      std::memcpy(&v, page.data() + element * 2, 2);
      return to_float(v);
    };
    for (std::size_t t = 0; t < kPage; ++t) {
      for (std::size_t i = 0; i < dim; ++i) {
        key[i] = static_cast<float>(i) + 1.001F;
        value[i] = i % 7 == 3 ? NAN : -1.003F * static_cast<float>(t + 1);
      }
      kernels.write_bf16(page.data(), dim, t, key.data(), value.data());
    }
    for (std::size_t t = 0; t < kPage; ++t) {
      for (std::size_t i = 0; i < dim; ++i) {
        EXPECT_EQ(at((i / 2 * kPage + t) * 2 + i % 2),
                  to_float(to_bf16(static_cast<float>(i) + 1.001F)));
        const float v = at(kPage * dim + (t / 2 * dim + i) * 2 + t % 2);
        if (i % 7 == 3) {
          EXPECT_TRUE(std::isnan(v));
        } else {
          EXPECT_EQ(v, to_float(to_bf16(-1.003F * static_cast<float>(t + 1))));
        }
      }
    }
  }
}

TEST_P(EveryIsaAttention, DepthwiseAndDivideMatchReference) {
  for (const std::size_t n : {1, 8, 20, 33, 128}) {
    for (const std::size_t taps : {1, 2, 5}) {
      const auto x = random_floats(taps * n, 1);
      const auto w = random_floats(taps * n, 2);
      const auto bias = random_floats(n, 3);
      std::vector<const float*> xs;
      std::vector<const float*> ws;
      for (std::size_t j = 0; j < taps; ++j) {
        xs.push_back(x.data() + j * n);
        ws.push_back(w.data() + j * n);
      }
      std::vector<float> out(n + 1, 7);
      kernels.depthwise(xs.data(), ws.data(), bias.data(), taps, out.data(), n);
      for (std::size_t c = 0; c < n; ++c) {
        double want = bias[c];
        for (std::size_t j = 0; j < taps; ++j) {
          want += static_cast<double>(w[j * n + c]) * x[j * n + c];
        }
        ASSERT_NEAR(out[c], want, 1e-5);
      }
      EXPECT_EQ(out[n], 7);
      kernels.divide(bias.data(), 3, out.data(), n);
      for (std::size_t c = 0; c < n; ++c) ASSERT_EQ(out[c], bias[c] / 3);
      EXPECT_EQ(out[n], 7);
    }
  }
}

TEST_P(EveryIsaAttention, MixedHeadMatchesReference) {
  for (const std::size_t n : {2, 8, 20, 40, 128}) {
    for (const std::size_t heads : {1, 4}) {
      for (const std::size_t half : {n / 2, n / 4}) {
        const auto before = random_floats(n, 1);
        auto mixed = before;
        const auto bias = random_floats(n, 2);
        const auto q = random_floats(heads * n, 3);
        const auto k = random_floats(n, 4);
        const auto cosine = random_floats(half, 5);
        const auto sine = random_floats(half, 6);
        std::vector<float> out(n + 1, 7);
        kernels.mix_head({.mixed = mixed.data(),
                          .bias = bias.data(),
                          .q = q.data(),
                          .q_heads = heads,
                          .k = k.data(),
                          .n = n,
                          .length = 2.5F,
                          .cosine = cosine.data(),
                          .sine = sine.data(),
                          .half = half,
                          .out = out.data()});
        std::vector<double> x(n);
        double squares = 1e-12;
        for (std::size_t i = 0; i < n; ++i) {
          double mean = 0;
          for (std::size_t h = 0; h < heads; ++h) mean += q[h * n + i];
          x[i] = before[i] + static_cast<double>(bias[i]) +
                 (mean / static_cast<double>(heads) + k[i]) / 2;
          ASSERT_NEAR(mixed[i], x[i], 1e-5);
          squares += x[i] * x[i];
        }
        for (double& v : x) v *= 2.5 / std::sqrt(squares);
        for (std::size_t i = 0; i < n; ++i) {
          double want = x[i];
          if (i < half) want = x[i] * cosine[i] - x[i + half] * sine[i];
          if (i >= half && i < 2 * half) {
            want = x[i] * cosine[i - half] + x[i - half] * sine[i - half];
          }
          ASSERT_NEAR(out[i], want, 1e-5) << n << " " << heads << " " << half << " " << i;
        }
        EXPECT_EQ(out[n], 7);
      }
    }
  }
  // A zero vector stays one.
  std::vector<float> zero(16);
  std::vector<float> out(16, 1);
  kernels.mix_head({.mixed = zero.data(),
                    .bias = zero.data(),
                    .q = zero.data(),
                    .q_heads = 1,
                    .k = zero.data(),
                    .n = 16,
                    .length = 4,
                    .cosine = zero.data(),
                    .sine = zero.data(),
                    .half = 0,
                    .out = out.data()});
  EXPECT_EQ(out, zero);
}

}  // namespace
}  // namespace zaya
