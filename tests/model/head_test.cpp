// The screened LM head against the full one.
#include "model/head.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "compute/cpu.h"

namespace zaya {
namespace {

constexpr std::size_t kVocab = 5000;
constexpr std::size_t kWidth = 256;

enum class Shape {
  flat,      ///< a random head: every token about as likely
  peaked,    ///< some rows point along the input
  outliers,  ///< a few columns of the head and of the input are far larger than the others
};

class ScreenedHead : public testing::TestWithParam<Isa> {
 protected:
  std::vector<float> values(Shape shape) {
    std::vector<float> out(kVocab * kWidth);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<float>(random_.normal()) * 0.1F;
      if (shape == Shape::outliers && i % kWidth % 61 == 7) out[i] *= 20;
    }
    return out;
  }
  std::vector<float> input(Shape shape, const std::vector<float>& head) {
    std::vector<float> x(kWidth);
    for (std::size_t i = 0; i < kWidth; ++i) {
      x[i] = static_cast<float>(random_.normal());
      if (shape == Shape::outliers && i % 37 == 3) x[i] *= 30;
    }
    if (shape == Shape::peaked) {
      const std::size_t row = random_.next() % kVocab;
      for (std::size_t i = 0; i < kWidth; ++i) x[i] += 8 * head[row * kWidth + i];
    }
    return x;
  }

  Random random_{21, 0};
  const Kernels& kernels_ = kernels_of(GetParam(), true);
  ThreadPool pool_{2};
  PackedInputs packed_;
  ComputeContext context_{kernels_, pool_, packed_};
};

INSTANTIATE_TEST_SUITE_P(Head, ScreenedHead, testing::ValuesIn(host_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

TEST_P(ScreenedHead, GreedyTokenIsTheFullHeadsAndTheDistributionIsClose) {
  for (const Shape shape : {Shape::flat, Shape::peaked, Shape::outliers}) {
    const std::vector<float> head_values = values(shape);
    const Linear head{Matrix(head_values, kVocab, kWidth, DType::bf16, Compute::fast), {}};
    ASSERT_TRUE(HeadScreen::pays(head.weight));
    const HeadScreen screen(kernels_, pool_, head.weight);
    EXPECT_LT(screen.bytes(), kVocab * kWidth * 2 / 3);
    double worst = 0;
    for (const std::size_t rows : {std::size_t{1}, std::size_t{3}, std::size_t{5}, std::size_t{17},
                                   HeadScreen::kMostInputs}) {
      std::vector<float> x;
      for (std::size_t r = 0; r < rows; ++r) {
        const auto one = input(shape, head_values);
        x.insert(x.end(), one.begin(), one.end());
      }
      std::vector<float> full(rows * kVocab);
      std::vector<float> got(rows * kVocab);
      linear(context_, {{head, {full.data(), kVocab}}}, {x.data(), kWidth}, rows);
      const std::size_t precise =
          screen.multiply(context_, head, {x.data(), kWidth}, rows, {got.data(), kVocab});
      EXPECT_GE(precise, rows);
      if (shape != Shape::outliers) {
        EXPECT_LE(precise, rows * HeadScreen::kMostRows) << "hardly fewer than the head has";
      }
      for (std::size_t r = 0; r < rows; ++r) {
        const float* p = full.data() + r * kVocab;
        const float* q = got.data() + r * kVocab;
        ASSERT_EQ(std::max_element(p, p + kVocab) - p, std::max_element(q, q + kVocab) - q);
        const float top = *std::max_element(p, p + kVocab);
        double sum_p = 0;
        double sum_q = 0;
        std::size_t same = 0;
        for (std::size_t i = 0; i < kVocab; ++i) {
          sum_p += std::exp(static_cast<double>(p[i]) - top);
          sum_q += std::exp(static_cast<double>(q[i]) - top);
          same += p[i] == q[i] ? 1 : 0;
        }
        EXPECT_GE(same * rows, precise / 2) << "candidates carry the full head's own logits";
        double kl = 0;
        for (std::size_t i = 0; i < kVocab; ++i) {
          const double log_p = p[i] - top - std::log(sum_p);
          kl += std::exp(log_p) * (log_p - (q[i] - top - std::log(sum_q)));
        }
        worst = std::max(worst, kl);
      }
    }
    // A flat head is the worst case: most of the mass keeps its screened logits.
    EXPECT_LT(worst, shape == Shape::flat ? 1e-2 : 1e-3) << static_cast<int>(shape);
  }
}

TEST(HeadScreenPays, OnlyWhereItSavesBytes) {
  const std::vector<float> values(2730 * 48, 1.0F);
  EXPECT_TRUE(HeadScreen::pays(Matrix(values, 2047, 64, DType::bf16, Compute::fast)));
  EXPECT_FALSE(HeadScreen::pays(Matrix(values, 511, 256, DType::bf16, Compute::fast)))
      << "a small vocabulary";
  EXPECT_FALSE(HeadScreen::pays(Matrix(values, 2730, 48, DType::bf16, Compute::fast)))
      << "no whole groups";
}

}  // namespace
}  // namespace zaya
