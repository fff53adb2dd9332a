#include "model/head.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <mutex>

namespace zaya {
namespace {

constexpr std::size_t kGroup = 32;
// On either side: two tokens would have to be wrong by 8.5 deviations of their difference.
constexpr float kDeviations = 6;
constexpr float kNats = 8;  // below the top logit that are recomputed for sampling

/// A value that somewhat more than `count` of n logits reach, from a sample: where all tokens are
/// about as likely, sorting them out would take longer than the head.
float sampled_rank(const float* logits, std::size_t n, std::size_t count) {
  constexpr std::size_t kStep = 61;
  std::vector<float> sample;
  sample.reserve(n / kStep + 1);
  for (std::size_t i = 0; i < n; i += kStep) sample.push_back(logits[i]);
  const std::size_t rank = count + count / 2;
  if (rank / kStep >= sample.size()) return -INFINITY;
  const auto at = sample.begin() + static_cast<std::ptrdiff_t>(rank / kStep);
  std::nth_element(sample.begin(), at, sample.end(), std::greater<>());
  return *at;
}

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
  most_deviation_ = *std::max_element(deviation_.begin(), deviation_.end());
}

HeadScreen::Peak HeadScreen::peak(const float* logits, std::size_t first, std::size_t last,
                                  float margin) const {
  // Independent maxima, for vectors: the compiler may not reorder those of one.
  constexpr std::size_t kLanes = 16;
  std::array<float, kLanes> bound{};
  std::array<float, kLanes> top{};
  bound.fill(-INFINITY);
  top.fill(-INFINITY);
  const auto see = [&](std::size_t lane, std::size_t i) {
    const float logit = logits[i];
    const float low = logit - margin * deviation_[i];
    bound[lane] = bound[lane] < low ? low : bound[lane];
    top[lane] = top[lane] < logit ? logit : top[lane];
  };
  std::size_t i = first;
  for (; i + kLanes <= last; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) see(lane, i + lane);
  }
  for (; i < last; ++i) see(0, i);
  return {*std::max_element(bound.begin(), bound.end()), *std::max_element(top.begin(), top.end())};
}

void HeadScreen::candidates(const float* logits, float margin, Peak peak,
                            std::vector<std::uint32_t>& out) const {
  const std::size_t vocab = view_.rows;
  const std::size_t most = std::min(kMostRows, vocab / 8);
  const float likely_from = std::max(peak.top - kNats, sampled_rank(logits, vocab, most));
  // One comparison passes over nearly all tokens: none below both thresholds is a candidate.
  const float widest = margin * most_deviation_;
  const float least = std::min(peak.bound - widest, likely_from);
  out.clear();
  std::vector<std::uint32_t> likely;
  for (std::size_t i = 0; i < vocab; ++i) {
    if (logits[i] < least) continue;
    if (logits[i] + margin * deviation_[i] >= peak.bound) {
      out.push_back(static_cast<std::uint32_t>(i));
    } else if (logits[i] >= likely_from) {
      likely.push_back(static_cast<std::uint32_t>(i));
    }
  }
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
  std::array<float, kMostInputs> margin{};
  std::array<Peak, kMostInputs> peaks{};
  for (std::size_t r = 0; r < rows; ++r) {
    margin[r] = kDeviations * std::sqrt(kernels.sum_of_squares(x.row(r), view_.cols));
  }
  std::mutex lock;
  context.pool.run_ranges(view_.rows, 512, [&](std::size_t first, std::size_t last) {
    const Rows<float> y{logits.data + first, logits.stride};
    screened.multiply(kernels, view_, first, last, y);
    add_bias(head, first, last, rows, y);
    for (std::size_t r = 0; r < rows; ++r) {
      const Peak found = peak(logits.row(r), first, last, margin[r]);
      const std::lock_guard guard(lock);
      peaks[r].bound = std::max(peaks[r].bound, found.bound);
      peaks[r].top = std::max(peaks[r].top, found.top);
    }
  });

  std::vector<std::vector<std::uint32_t>> wanted(rows);
  context.pool.run(
      rows, [&](std::size_t r) { candidates(logits.row(r), margin[r], peaks[r], wanted[r]); });
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
