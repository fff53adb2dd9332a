#include "model/head.h"

#include <algorithm>
#include <cmath>

namespace zaya {
namespace {

constexpr std::size_t kGroup = 32;
// On either side: two tokens would have to be wrong by 8.5 deviations of their difference.
constexpr float kDeviations = 6;
constexpr float kNats = 8;  // below the top logit that are recomputed for sampling

}  // namespace

bool HeadScreen::pays(const Matrix& head) {
  return code_bits(head.view().code) > 4 && head.cols() % kGroup == 0 && head.rows() >= kLeastVocab;
}

HeadScreen::HeadScreen(const Kernels& kernels, ThreadPool& pool, const Matrix& head)
    : codes_(head.rows() * head.cols() / 2),
      scales_(head.rows() * head.cols() / kGroup),
      deviation_(head.rows()) {
  const std::size_t cols = head.cols();
  pool.run_ranges(head.rows(), 64, [&](std::size_t first, std::size_t last) {
    std::vector<float> row(cols);
    for (std::size_t r = first; r < last; ++r) {
      kernels.expand(head.view(), r, row.data());
      const float error = kernels.round_to_int4(row.data(), cols, codes_.data() + r * cols / 2,
                                                scales_.data() + r * cols / kGroup);
      deviation_[r] = std::sqrt(error / static_cast<float>(cols));
    }
  });
  view_ = {.code = WeightCode::u4,
           .rows = head.rows(),
           .cols = cols,
           .data = reinterpret_cast<const std::byte*>(codes_.data()),
           .row_bytes = cols / 2,
           .scale_code = ScaleCode::bf16,
           .scales = reinterpret_cast<const std::byte*>(scales_.data()),
           .scale_row_bytes = cols / kGroup * 2,
           .scale_cols = kGroup,
           .stepped = true};
}

void HeadScreen::candidates(const ComputeContext& context, const float* x, const float* logits,
                            std::vector<std::uint32_t>& out) const {
  const std::size_t vocab = view_.rows;
  const float length = std::sqrt(context.kernels.sum_of_squares(x, view_.cols));
  const float margin = kDeviations * length;
  float bound = -INFINITY;  // some token has at least this logit
  float top = -INFINITY;
  for (std::size_t i = 0; i < vocab; ++i) {
    bound = std::max(bound, logits[i] - margin * deviation_[i]);
    top = std::max(top, logits[i]);
  }
  out.clear();
  std::vector<std::uint32_t> likely;
  for (std::size_t i = 0; i < vocab; ++i) {
    if (logits[i] + margin * deviation_[i] >= bound) {
      out.push_back(static_cast<std::uint32_t>(i));
    } else if (logits[i] >= top - kNats) {
      likely.push_back(static_cast<std::uint32_t>(i));
    }
  }
  const std::size_t most = std::min(kMostRows, vocab / 8);
  if (out.size() + likely.size() > most) {
    const std::size_t room = out.size() < most ? most - out.size() : 0;
    std::nth_element(likely.begin(), likely.begin() + static_cast<std::ptrdiff_t>(room),
                     likely.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return logits[a] > logits[b]; });
    likely.resize(room);
  }
  out.insert(out.end(), likely.begin(), likely.end());
  std::sort(out.begin(), out.end());
}

std::size_t HeadScreen::multiply(const ComputeContext& context, const Linear& head,
                                 Rows<const float> x, std::size_t rows, Rows<float> logits) const {
  const Kernels& kernels = context.kernels;
  const InputKind kind = head.weight.input();
  PackedInput& screened = context.packed[static_cast<std::size_t>(InputKind::int16_split)];
  screened.pack(kernels, InputKind::int16_split, x, rows, view_.cols);
  context.pool.run_ranges(view_.rows, 512, [&](std::size_t first, std::size_t last) {
    const Rows<float> y{logits.data + first, logits.stride};
    screened.multiply(kernels, view_, first, last, y);
    add_bias(head, first, last, rows, y);
  });

  std::vector<std::vector<std::uint32_t>> wanted(rows);
  context.pool.run(rows,
                   [&](std::size_t r) { candidates(context, x.row(r), logits.row(r), wanted[r]); });
  std::size_t total = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    if (wanted[r].size() > view_.rows / 8) {
      // Outliers in the same columns of input and head leave too little certain.
      linear(context, {{head, {logits.row(r), logits.stride}}}, {x.row(r), x.stride}, 1);
      total += view_.rows;
      continue;
    }
    PackedInput& packed = context.packed[static_cast<std::size_t>(kind)];
    packed.pack(kernels, kind, {x.row(r), x.stride}, 1, view_.cols);
    total += wanted[r].size();
    context.pool.run_ranges(wanted[r].size(), 32, [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) {
        const std::uint32_t n = wanted[r][i];
        const Rows<float> y{logits.row(r) + n, logits.stride};
        packed.multiply(kernels, head.weight.view(), n, n + 1, y);
        add_bias(head, n, n + 1, 1, y);
      }
    });
  }
  return total;
}

}  // namespace zaya
