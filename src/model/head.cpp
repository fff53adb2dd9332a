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
  std::mutex lock;
  pool.run_ranges(head.rows(), 64, [&](std::size_t first, std::size_t last) {
    std::vector<float> row(cols);
    float most = 0;
    for (std::size_t r = first; r < last; ++r) {
      kernels.expand(head.view(), r, row.data());
      const float error = kernels.round_to_int4(row.data(), cols, codes_.data() + r * cols / 2,
                                                scales_.data() + r * cols / kGroup);
      deviation_[r] = std::sqrt(error / static_cast<float>(cols));
      most = std::max(most, kernels.sum_of_squares(row.data(), cols));
    }
    const std::lock_guard guard(lock);
    most_size_ = std::max(most_size_, std::sqrt(most / static_cast<float>(cols)));
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

HeadScreen::Margin HeadScreen::margin(const Kernels& kernels, const float* x) const {
  // Rounding to steps of a scale errs by at most half a step, evenly: its variance is step^2 / 12.
  float variance = 0;
  for (std::size_t k = 0; k < view_.cols; k += kInputBlock) {
    const std::size_t end = std::min(view_.cols, k + kInputBlock);
    float most = 0;
    for (std::size_t i = k; i < end; ++i) most = std::max(most, std::abs(x[i]));
    const float step = most / 127;
    variance += static_cast<float>(end - k) * step * step / 12;
  }
  return {kDeviations * std::sqrt(kernels.sum_of_squares(x, view_.cols)),
          kDeviations * most_size_ * std::sqrt(variance)};
}

HeadScreen::Peak HeadScreen::peak(const float* logits, std::size_t first, std::size_t last,
                                  Margin margin) const {
  // Independent maxima, for vectors: the compiler may not reorder those of one.
  constexpr std::size_t kLanes = 16;
  std::array<float, kLanes> bound{};
  std::array<float, kLanes> top{};
  bound.fill(-INFINITY);
  top.fill(-INFINITY);
  const auto see = [&](std::size_t lane, std::size_t i) {
    const float logit = logits[i];
    const float low = logit - margin.slope * deviation_[i];
    bound[lane] = bound[lane] < low ? low : bound[lane];
    top[lane] = top[lane] < logit ? logit : top[lane];
  };
  std::size_t i = first;
  for (; i + kLanes <= last; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) see(lane, i + lane);
  }
  for (; i < last; ++i) see(0, i);
  return {*std::max_element(bound.begin(), bound.end()) - margin.offset,
          *std::max_element(top.begin(), top.end())};
}

void HeadScreen::candidates(const float* logits, Margin margin, Peak peak,
                            std::vector<std::uint32_t>& out) const {
  const std::size_t vocab = view_.rows;
  const std::size_t most = std::min(kMostRows, vocab / 8);
  const float likely_from = std::max(peak.top - kNats, sampled_rank(logits, vocab, most));
  // One comparison passes over nearly all tokens: none below both thresholds is a candidate.
  const float bound = peak.bound - margin.offset;
  const float least = std::min(bound - margin.slope * most_deviation_, likely_from);
  out.clear();
  std::vector<std::uint32_t> likely;
  for (std::size_t i = 0; i < vocab; ++i) {
    if (logits[i] < least) continue;
    if (logits[i] + margin.slope * deviation_[i] >= bound) {
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
  PackedInput& screened = context.packed[static_cast<std::size_t>(InputKind::int8)];
  screened.pack(kernels, InputKind::int8, x, rows, view_.cols);
  std::array<Margin, kMostInputs> margins{};
  std::array<Peak, kMostInputs> peaks{};
  for (std::size_t r = 0; r < rows; ++r) {
    margins[r] = margin(kernels, x.row(r));
  }
  std::mutex lock;
  // Long tasks: the first rows of each wait for memory.
  context.pool.run_ranges(view_.rows, 2048, [&](std::size_t first, std::size_t last) {
    const Rows<float> y{logits.data + first, logits.stride};
    screened.multiply(kernels, view_, first, last, y);
    add_bias(head, first, last, rows, y);
    for (std::size_t r = 0; r < rows; ++r) {
      const Peak found = peak(logits.row(r), first, last, margins[r]);
      const std::lock_guard guard(lock);
      peaks[r].bound = std::max(peaks[r].bound, found.bound);
      peaks[r].top = std::max(peaks[r].top, found.top);
    }
  });

  std::vector<std::vector<std::uint32_t>> wanted(rows);
  std::vector<PackedInput> packed(rows);
  context.pool.run(rows, [&](std::size_t r) {
    candidates(logits.row(r), margins[r], peaks[r], wanted[r]);
    packed[r].pack(kernels, kind, {x.row(r), x.stride}, 1, view_.cols);
  });
  constexpr std::size_t kTokens = 32;  // of one task
  struct Task {
    std::size_t row, first;
  };
  std::vector<Task> tasks;
  std::size_t total = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    if (wanted[r].size() > view_.rows / 8) {
      // Outliers in the same columns of input and head leave too little certain. The whole head is
      // read once, for all.
      linear(context, {{head, logits}}, x, rows);
      return rows * view_.rows;
    }
    total += wanted[r].size();
    for (std::size_t i = 0; i < wanted[r].size(); i += kTokens) tasks.push_back({r, i});
  }
  context.pool.run(tasks.size(), [&](std::size_t task) {
    const auto [r, first] = tasks[task];
    const std::size_t last = std::min(first + kTokens, wanted[r].size());
    for (std::size_t i = first; i < last; ++i) {
      const std::uint32_t n = wanted[r][i];
      const Rows<float> y{logits.row(r) + n, logits.stride};
      packed[r].multiply(kernels, head.weight.view(), n, n + 1, y);
      add_bias(head, n, n + 1, 1, y);
    }
  });
  return total;
}

}  // namespace zaya
