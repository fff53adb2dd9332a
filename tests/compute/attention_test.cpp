// The kernels of attention against plain double references, on every instruction set of the host.
#include "compute/kernels/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "base/random.h"
#include "compute/attention.h"
#include "compute/kernels/kernels.h"
#include "compute/weight_view.h"

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

struct Formats {
  KvFormat keys, values;

  std::string name() const {
    return std::string(kv_format_name(keys)) + "/" + std::string(kv_format_name(values));
  }
};
constexpr Formats kWide{KvFormat::f32, KvFormat::f32};
constexpr Formats kHalf{KvFormat::bf16, KvFormat::bf16};
const std::vector<Formats> kEvery{kWide,
                                  kHalf,
                                  {KvFormat::fp8, KvFormat::fp8},
                                  {KvFormat::int8, KvFormat::int8},
                                  {KvFormat::int4, KvFormat::int4},
                                  {KvFormat::int8, KvFormat::bf16},
                                  {KvFormat::bf16, KvFormat::int4},
                                  {KvFormat::int4, KvFormat::fp8}};

template <class T>
T read(const std::byte* p, std::size_t i) {
  T value;
  std::memcpy(&value, p + i * sizeof(T), sizeof(T));
  return value;
}

/// Element i of a position, read from a part as KvBlock describes it.
double stored(KvFormat format, bool keys, const std::byte* part, std::size_t dim,
              std::size_t position, std::size_t i) {
  const std::size_t per = format == KvFormat::f32 ? 1 : 2;
  const std::size_t at = keys ? (i / per * kPage + position) * per + i % per
                              : (position / per * dim + i) * per + position % per;
  const auto scale = [&] {
    return to_float(read<bf16>(part + KvBlock::code_bytes(dim, format), position));
  };
  switch (format) {
    case KvFormat::f32:
      return read<float>(part, at);
    case KvFormat::bf16:
      return to_float(read<bf16>(part, at));
    case KvFormat::fp8:
      return e4m3_to_float(read<std::uint8_t>(part, at));
    case KvFormat::int8:
      return static_cast<double>(read<std::int8_t>(part, at)) * scale();
    case KvFormat::int4: {
      const int code = (read<std::uint8_t>(part, at / 2) >> (at % 2 * 4)) & 15;
      const auto multiple =
          read<std::int8_t>(part + KvBlock::multiples_offset(dim), i / 32 * kPage + position);
      return static_cast<double>((code - 8) * multiple) * scale();
    }
  }
  return 0;
}

const KvKernels& kernels_for(const std::array<KvKernels, kKvFormats>& table, KvFormat format) {
  return table[static_cast<std::size_t>(format)];
}

/// K and V of one sequence and kv head, in pages and plain.
struct Cache {
  std::size_t head_dim;
  Formats formats;
  std::size_t dim = KvBlock::dim(head_dim);
  std::vector<std::vector<double>> keys, values;
  std::vector<Aligned> memory;
  std::vector<const std::byte*> pages;
  static constexpr std::size_t kOffset = 128;

  std::size_t values_offset() const { return kOffset + KvBlock::part_bytes(dim, formats.keys); }

  Cache(const AttentionKernels& kernels, Formats f, std::size_t head_dim_, std::size_t positions)
      : head_dim(head_dim_), formats(f) {
    for (std::size_t t = 0; t < positions; ++t) {
      std::vector<float> key = random_floats(dim, 2 * t, 2);
      std::vector<float> value = random_floats(dim, 2 * t + 1);
      std::fill(key.begin() + static_cast<long>(head_dim), key.end(), 0.0F);
      std::fill(value.begin() + static_cast<long>(head_dim), value.end(), 0.0F);
      if (t % kPage == 0) {
        memory.emplace_back(values_offset() + KvBlock::part_bytes(dim, f.values));
        pages.push_back(memory.back().data());
      }
      std::byte* page = memory.back().data();
      kernels_for(kernels.keys, f.keys).write(page + kOffset, dim, t % kPage, key.data());
      kernels_for(kernels.values, f.values)
          .write(page + values_offset(), dim, t % kPage, value.data());
    }
    for (std::size_t t = 0; t < positions; ++t) {
      const std::byte* page = pages[t / kPage];
      keys.emplace_back();
      values.emplace_back();
      for (std::size_t i = 0; i < head_dim; ++i) {
        keys.back().push_back(stored(f.keys, true, page + kOffset, dim, t % kPage, i));
        values.back().push_back(stored(f.values, false, page + values_offset(), dim, t % kPage, i));
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
        scratch(attend_scratch_bytes(cache.dim)) {
    for (std::size_t r = 0; r < heads * count; ++r) {
      for (std::size_t i = cache.head_dim; i < cache.dim; ++i) query[r * cache.dim + i] = 0;
    }
    call = {.keys = {.pages = cache.pages.data(),
                     .offset = Cache::kOffset,
                     .format = cache.formats.keys},
            .values = {.pages = cache.pages.data(),
                       .offset = cache.values_offset(),
                       .format = cache.formats.values},
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

  void run(Queries& q) const {
    for (std::size_t s = 0; s < q.spans(); ++s) attend_span(kernels, q.call, s);
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
    for (const Formats& formats : kEvery) {
      // The cache ends with the last query, so the last page is part full.
      Cache cache(kernels, formats, s.head_dim, s.position + s.count);
      Queries q(cache, s.heads, s.count, s.position, s.window);
      run(q);
      const std::vector<float> got = q.result();
      // On AMX queries and weights are rounded to bf16 too.
      const bool rounds = formats.keys != KvFormat::f32 && GetParam() == Isa::amx;
      double worst = 0;
      for (std::size_t r = 0; r < q.call.rows; ++r) {
        const std::vector<double> want = reference(cache, q.call, r);
        for (std::size_t i = 0; i < s.head_dim; ++i) {
          worst = std::max(worst, std::abs(got[r * cache.dim + i] - want[i]));
        }
      }
      EXPECT_LE(worst, rounds ? 0.03 : 1e-5)
          << formats.name() << " d " << s.head_dim << " heads " << s.heads << " rows "
          << q.call.rows << " from " << s.position << " window " << s.window;
    }
  }
}

TEST_P(EveryIsaAttention, BitsDependOnNeitherCompanyNorHowSpansAreSpread) {
  for (const Formats& formats : kEvery) {
    for (const std::size_t window : {0, 600}) {
      const std::size_t count = 37;
      const std::size_t position = 1400;
      const std::size_t heads = 4;
      Cache cache(kernels, formats, 64, position + count);
      Queries whole(cache, heads, count, position, window);
      run(whole);
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
          attend_span(kernels, part.call, s);
          into.call.highest = into.highest.data();
          into.call.total = into.total.data();
          into.call.sum = into.sum.data();
          kernels.merge(into.call, part.call);
        }
        const auto* first = want.data() + i * row_floats;
        ASSERT_EQ(into.result(), std::vector<float>(first, first + row_floats))
            << formats.name() << " window " << window << " query " << i;
      }
    }
  }
}

TEST_P(EveryIsaAttention, LargeScoresNeitherOverflowNorVanish) {
  for (const Formats& formats : kEvery) {
    Cache cache(kernels, formats, 32, 600);
    Queries q(cache, 2, 1, 599, 0);
    for (float& v : q.query) v *= 2000;  // scores far outside of exp's range
    run(q);
    const std::vector<float> got = q.result();
    for (std::size_t r = 0; r < 2; ++r) {
      const std::vector<double> want = reference(cache, q.call, r);
      for (std::size_t i = 0; i < 32; ++i) ASSERT_NEAR(got[r * 32 + i], want[i], 0.03);
    }
  }
}

TEST_P(EveryIsaAttention, PartsKeepEveryPositionAsNearAsTheirFormatCan) {
  for (const std::size_t head_dim : {40, 128}) {
    const std::size_t dim = KvBlock::dim(head_dim);
    for (std::size_t f = 0; f < kKvFormats; ++f) {
      const auto format = static_cast<KvFormat>(f);
      for (const bool keys : {true, false}) {
        const KvKernels& kind = (keys ? kernels.keys : kernels.values)[f];
        const std::size_t bytes = KvBlock::part_bytes(dim, format);
        ASSERT_EQ(bytes % 64, 0U);
        Aligned part(bytes + 64);
        part.data()[bytes] = std::byte{42};
        std::vector<std::vector<float>> x;
        for (std::size_t t = 0; t < kPage; ++t) {
          x.push_back(
              random_floats(dim, t, t == 5 ? 0 : std::pow(10.0F, static_cast<float>(t % 4))));
          if (t == 7) x.back()[3] = NAN;
          if (t == 9) x.back()[11] = -INFINITY;
        }
        // Backwards and twice: what is there before, and the neighbours' order, change nothing.
        for (int round = 0; round < 2; ++round) {
          for (std::size_t t = kPage; t-- > 0;) kind.write(part.data(), dim, t, x[t].data());
        }
        EXPECT_EQ(part.data()[bytes], std::byte{42});
        for (std::size_t t = 0; t < kPage; ++t) {
          const double scale =
              KvBlock::scaled(format)
                  ? to_float(read<bf16>(part.data() + KvBlock::code_bytes(dim, format), t))
                  : 0;
          for (std::size_t i = 0; i < dim; ++i) {
            const double want = x[t][i];
            const double got = stored(format, keys, part.data(), dim, t, i);
            double near = 0;
            if (format == KvFormat::bf16) near = std::fabs(want) / 256;
            if (format == KvFormat::fp8) near = std::max(std::fabs(want) / 16, 0x1p-10);
            if (format == KvFormat::int8) near = scale * 0.5001;
            if (format == KvFormat::int4) {
              // Half a step; a whole one at the end that has no code.
              const auto multiple = read<std::int8_t>(part.data() + KvBlock::multiples_offset(dim),
                                                      i / 32 * kPage + t);
              near = std::abs(multiple) * scale *
                     (std::signbit(want) == (multiple > 0) ? 0.5001 : 1.0);
            }
            if (std::isnan(want) || (KvBlock::scaled(format) && (t == 7 || t == 9))) {
              EXPECT_TRUE(std::isnan(got)) << "what is no number stays none, with all of its scale";
            } else if (std::isinf(want) && format != KvFormat::fp8) {
              EXPECT_EQ(got, want);
            } else if (format == KvFormat::fp8 && std::fabs(want) > 448) {
              EXPECT_EQ(got, std::copysign(448, want));
            } else {
              EXPECT_LE(std::fabs(got - want), near)
                  << kv_format_name(format) << (keys ? " key " : " value ") << t << " " << i << ": "
                  << want << " as " << got;
            }
          }
        }
      }
    }
  }
}

TEST_P(EveryIsaAttention, NarrowCodesWidenExactly) {
  const AttentionKernels& plain = kernels_of(Isa::scalar).attention;
  for (const std::size_t dim : {32, 64, 128, 160}) {
    for (const KvFormat format : {KvFormat::fp8, KvFormat::int8, KvFormat::int4}) {
      for (const bool keys : {true, false}) {
        const std::size_t bytes = KvBlock::part_bytes(dim, format);
        Aligned part(bytes);
        Random random(3, dim);
        for (std::size_t i = 0; i < bytes; ++i) {
          std::size_t v = i < 256 ? i : random.next() & 255U;
          if (format == KvFormat::fp8 && (v & 127U) == 127) v = 0;  // NaN is not written, and
          if (format == KvFormat::int8 && v == 128) v = 127;        // neither is -128
          if (format == KvFormat::int4 && i >= KvBlock::multiples_offset(dim)) v = (v % 65) - 32;
          part.data()[i] = static_cast<std::byte>(v);
        }
        const std::size_t wide = KvBlock::part_bytes(dim, KvFormat::bf16);
        Aligned got(wide);
        Aligned want(wide);
        const auto& table = keys ? kernels.keys : kernels.values;
        kernels_for(table, format).widen(part.data(), dim, got.data(), part.data());
        kernels_for(keys ? plain.keys : plain.values, format)
            .widen(part.data(), dim, want.data(), part.data());
        EXPECT_EQ(std::memcmp(got.data(), want.data(), wide), 0)
            << kv_format_name(format) << (keys ? " keys " : " values ") << dim;
        // The plain one is what KvBlock describes.
        for (std::size_t t = 0; t < kPage && KvBlock::scaled(format); ++t) {
          const bf16 one{0x3f80};
          std::memcpy(part.data() + KvBlock::code_bytes(dim, format) + t * 2, &one, 2);
        }
        for (std::size_t t = 0; t < kPage; ++t) {
          for (std::size_t i = 0; i < dim; ++i) {
            ASSERT_EQ(stored(KvFormat::bf16, keys, want.data(), dim, t, i),
                      stored(format, keys, part.data(), dim, t, i));
          }
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
