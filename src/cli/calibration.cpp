#include "cli/calibration.h"

#include <algorithm>

#include <fmt/format.h>

namespace zaya::cli {
namespace {

/// Tokens of a piece: long enough for context to matter.
constexpr std::size_t kPiece = 512;

}  // namespace

Calibration::Calibration(const ModelWeights& weights) {
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    const std::string name = fmt::format("model.layers.{}.", i);
    const std::string qkv = name + "self_attn.qkv_proj.";
    add(qkv + "q_proj.weight", layer.attention.q);
    add(qkv + "k_proj.weight", layer.attention.k);
    add(qkv + "v_proj_current.weight", layer.attention.v_current);
    add(qkv + "v_proj_delayed.weight", layer.attention.v_delayed);
    add(name + "self_attn.o_proj.weight", layer.attention.o);
    for (std::size_t e = 0; e < layer.experts.size(); ++e) {
      const std::string expert = fmt::format("{}mlp.experts.{}.", name, e);
      add(expert + "gate_up_proj", layer.experts[e].gate_up);
      add(expert + "down_proj", layer.experts[e].down);
    }
  }
}

void Calibration::add(const std::string& name, const Linear& linear) {
  const WeightView& view = linear.weight.view();
  data_.emplace(name, view.data);
  sums_[view.data].squares.assign(view.cols, 0.0);
}

void Calibration::inputs(const WeightView& w, Rows<const float> x, const std::uint32_t* index,
                         std::size_t rows) {
  const auto it = sums_.find(w.data);
  if (it == sums_.end()) return;
  Sums& sums = it->second;
  sums.rows += rows;
  for (std::size_t i = 0; i < rows; ++i) {
    const float* row = x.row(index == nullptr ? i : index[i]);
    for (std::size_t c = 0; c < sums.squares.size(); ++c) {
      sums.squares[c] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
    }
  }
}

void Calibration::run(Runner& runner, std::span<const TokenId> tokens, const Progress& progress) {
  const std::size_t piece = std::min<std::size_t>(kPiece, runner.config().max_positions);
  runner.observe(this);
  report(progress, 0, tokens.size());
  for (std::size_t at = 0; at < tokens.size(); at += piece) {
    const std::size_t n = std::min(piece, tokens.size() - at);
    Sequence sequence = runner.new_sequence();
    runner.feed(sequence, tokens.subspan(at, n));
    report(progress, at + n, tokens.size());
  }
  runner.observe(nullptr);
}

std::vector<float> Calibration::importance(const std::string& name) const {
  const auto it = data_.find(name);
  if (it == data_.end() || sums_.at(it->second).rows == 0) return {};
  const Sums& sums = sums_.at(it->second);
  const auto rows = static_cast<double>(sums.rows);
  double mean = 0;
  for (const double square : sums.squares) mean += square;
  mean /= rows * static_cast<double>(sums.squares.size());
  if (!(mean > 0)) return {};
  // A column is never worth nothing, and a few inputs say little: both pull towards even weights.
  const double floor = 0.01 + 32 / rows;
  std::vector<float> out;
  out.reserve(sums.squares.size());
  for (const double square : sums.squares) {
    out.push_back(static_cast<float>(square / rows / mean + floor));
  }
  return out;
}

}  // namespace zaya::cli
