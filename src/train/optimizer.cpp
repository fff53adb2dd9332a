#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

namespace zaya::train {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 15;  // numbers of a task

void transpose(const float* from, std::size_t rows, std::size_t cols, float* to) {
  constexpr std::size_t kBlock = 16;  // of both sides in the cache
  for (std::size_t i0 = 0; i0 < rows; i0 += kBlock) {
    for (std::size_t j0 = 0; j0 < cols; j0 += kBlock) {
      for (std::size_t i = i0; i < std::min(rows, i0 + kBlock); ++i) {
        for (std::size_t j = j0; j < std::min(cols, j0 + kBlock); ++j) {
          to[j * rows + i] = from[i * cols + j];
        }
      }
    }
  }
}

float* scratch(std::size_t n) {
  thread_local std::vector<float> memory;
  if (memory.size() < n) memory.resize(n);
  return memory.data();
}

}  // namespace

void newton_schulz(const GemmRunner& gemm, const Ops<float>& ops, float* x, std::size_t rows,
                   std::size_t cols, float* scratch) {
  constexpr float kA = 3.4445F;
  constexpr float kB = -4.7750F;
  constexpr float kC = 2.0315F;
  float* a = scratch;
  float* b = a + rows * rows;
  float* next = b + rows * rows;
  const std::size_t n = rows * cols;
  const float norm = std::sqrt(ops.dot(x, x, n));
  ops.scale_row(x, 1.0F / (norm + 1e-7F), x, n);
  for (int i = 0; i < 5; ++i) {
    gemm.run({rows, rows, cols, {x, cols, 1}, {x, 1, cols}, a, rows, false});
    gemm.run({rows, rows, rows, {a, rows, 1}, {a, rows, 1}, b, rows, false});
    ops.combine(kB, a, kC, b, rows * rows);
    gemm.run({rows, cols, rows, {b, rows, 1}, {x, cols, 1}, next, cols, false});
    ops.combine(1.0F, next, kA, x, n);
  }
}

bool Optimizer::is_matrix(const TensorInfo& t) {
  return t.shape.size() >= 2 && t.name.find("conv_qk") == std::string::npos &&
         !t.name.starts_with("model.embed_tokens.") && !t.name.starts_with("lm_head.");
}

namespace {

/// What one task updates, of the whole model.
struct Slice {
  std::size_t whole;
  std::size_t rows;
  std::size_t cols;
  bool muon;
  bool adam;
  double decay;

  std::size_t count() const { return rows * cols; }
};

std::vector<Slice> slices_of(const std::vector<TensorInfo>& layout,
                             const OptimizerOptions& options) {
  std::vector<Slice> slices;
  for (const TensorInfo& t : layout) {
    const bool matrix = Optimizer::is_matrix(t) && !t.balancing();
    const double decay = matrix ? options.weight_decay : 0;
    if (matrix && options.muon) {
      const std::size_t rows = t.shape[t.shape.size() - 2];
      const std::size_t cols = t.shape.back();
      for (std::size_t at = 0; at < t.elements; at += rows * cols) {
        slices.push_back({t.offset + at, rows, cols, true, false, decay});
      }
      continue;
    }
    // Expert by expert: they may lie on different ranks.
    const std::size_t stack = t.experts() ? t.elements / t.shape[0] : t.elements;
    for (std::size_t expert = 0; expert < t.elements; expert += stack) {
      for (std::size_t at = 0; at < stack; at += kPiece) {
        slices.push_back({t.offset + expert + at, 1, std::min(kPiece, stack - at), false,
                          !t.balancing(), decay});
      }
    }
  }
  return slices;
}

}  // namespace

Optimizer::Optimizer(OptimizerOptions options, const std::vector<TensorInfo>& layout,
                     const Placement& parameters, const Kernels& kernels, GemmKind kind,
                     ThreadPool& pool, Communicator& ranks)
    : options_(options),
      ops_(ops_of<float>(kernels.isa)),
      gemm_(kernels, kind),
      pool_(pool),
      ranks_(ranks) {
  const std::vector<Slice> slices = slices_of(layout, options);
  std::size_t shared_total = 0;
  for (const Segment& s : parameters) {
    if (s.rank == Segment::kEverywhere) shared_total += s.count;
  }
  std::vector<std::size_t> first(ranks.size());
  std::vector<std::size_t> second(ranks.size());
  std::size_t whole_second = 0;
  std::size_t shared = 0;
  auto segment = parameters.begin();
  for (const Slice& s : slices) {
    while (s.whole >= segment->whole + segment->count) ++segment;
    const bool everywhere = segment->rank == Segment::kEverywhere;
    std::size_t owner = segment->rank;
    if (everywhere) {
      owner = (shared + s.count() / 2) * ranks.size() / shared_total;
      shared += s.count();
    }
    const std::size_t at = segment->local + (s.whole - segment->whole);
    if (everywhere || owner == ranks.rank()) {
      if (!runs_.empty() && runs_.back().rank == owner && runs_.back().shared == everywhere &&
          runs_.back().at + runs_.back().count == at) {
        runs_.back().count += s.count();
      } else {
        runs_.push_back({owner, at, s.count(), everywhere});
      }
    }
    if (owner == ranks.rank() && (s.muon || s.adam)) {
      pieces_.push_back({at, first[owner], second[owner], s.rows, s.cols, s.muon, s.decay});
    }
    append_segment(first_placement_, {owner, s.whole, first[owner], s.count()});
    first[owner] += s.count();
    if (s.adam) {
      append_segment(second_placement_, {owner, whole_second, second[owner], s.count()});
      second[owner] += s.count();
      whole_second += s.count();
    }
  }
  state_.first.resize(first[ranks.rank()]);
  state_.second.resize(second[ranks.rank()]);
  // The longest tasks first.
  std::stable_sort(pieces_.begin(), pieces_.end(), [](const Piece& a, const Piece& b) {
    return std::pair(a.muon, a.rows * a.cols) > std::pair(b.muon, b.rows * b.cols);
  });
}

/// Of what this rank updates: sums of pieces, added in order.
double Optimizer::squared_norm(const std::vector<float>& gradients) const {
  std::vector<std::span<const float>> parts;
  for (const Run& run : runs_) {
    if (run.rank != ranks_.rank()) continue;
    for (std::size_t at = 0; at < run.count; at += kPiece) {
      parts.emplace_back(gradients.data() + run.at + at, std::min(kPiece, run.count - at));
    }
  }
  std::vector<double> squares(parts.size());
  pool_.run(parts.size(), [&](std::size_t i) {
    squares[i] = static_cast<double>(ops_.dot(parts[i].data(), parts[i].data(), parts[i].size()));
  });
  return std::accumulate(squares.begin(), squares.end(), 0.0);
}

void Optimizer::muon(const Piece& piece, float* p, const float* g, float scale, float rate) {
  const std::size_t n = piece.rows * piece.cols;
  const std::size_t less = std::min(piece.rows, piece.cols);
  const std::size_t more = std::max(piece.rows, piece.cols);
  float* x = scratch(2 * n + less * (2 * less + more));
  float* turned = x + n;
  float* rest = turned + n;
  ops_.momentum(g, scale, static_cast<float>(options_.momentum), state_.first.data() + piece.first,
                x, n);
  const bool tall = piece.rows > piece.cols;
  if (tall) transpose(x, piece.rows, piece.cols, turned);
  newton_schulz(gemm_, ops_, tall ? turned : x, less, more, rest);
  if (tall) transpose(turned, piece.cols, piece.rows, x);
  const float size = 0.2F * std::sqrt(static_cast<float>(more));
  ops_.combine(-rate * size, x, 1.0F - rate * static_cast<float>(piece.decay), p, n);
}

double Optimizer::step(std::vector<float>& parameters, std::vector<float>& gradients, double rate) {
  for (const Run& run : runs_) {
    if (run.shared) ranks_.sum_at(run.rank, std::span(gradients).subspan(run.at, run.count));
  }
  double norm = squared_norm(gradients);
  ranks_.sum({&norm, 1});
  norm = std::sqrt(norm);
  if (!std::isfinite(norm)) return norm;

  const double scale = options_.clip > 0 && norm > options_.clip ? options_.clip / norm : 1;
  ++state_.steps;
  const auto steps = static_cast<double>(state_.steps);
  AdamWStep<float> adam{
      .rate = static_cast<float>(rate),
      .beta1 = static_cast<float>(options_.beta1),
      .beta2 = static_cast<float>(options_.beta2),
      .eps = static_cast<float>(options_.eps),
      .decay = 0,
      .correction1 = static_cast<float>(1 / (1 - std::pow(options_.beta1, steps))),
      .correction2 = static_cast<float>(1 / (1 - std::pow(options_.beta2, steps))),
      .scale = static_cast<float>(scale)};
  pool_.run(pieces_.size(), [&](std::size_t i) {
    const Piece& piece = pieces_[i];
    float* p = parameters.data() + piece.at;
    const float* g = gradients.data() + piece.at;
    if (piece.muon) {
      muon(piece, p, g, adam.scale, adam.rate);
      return;
    }
    AdamWStep<float> own = adam;
    own.decay = static_cast<float>(piece.decay);
    ops_.adamw(p, g, state_.first.data() + piece.first, state_.second.data() + piece.second, own,
               piece.rows * piece.cols);
  });
  for (const Run& run : runs_) {
    if (!run.shared) continue;
    const auto numbers = std::span(parameters).subspan(run.at, run.count);
    ranks_.broadcast(run.rank, std::as_writable_bytes(numbers));
  }
  return norm;
}

}  // namespace zaya::train
