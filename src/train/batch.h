#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "zaya/token.h"

namespace zaya::train {

/// Documents one behind the other: nothing of one reaches another. Row r's prediction is for the
/// token after it.
struct PackedBatch {
  static constexpr TokenId kNoTarget = -1;

  std::vector<TokenId> tokens;         ///< [rows]
  std::vector<TokenId> targets;        ///< [rows]; kNoTarget: no loss
  std::vector<std::size_t> starts{0};  ///< [documents + 1]: first rows, and the end

  std::size_t rows() const { return tokens.size(); }
  std::size_t documents() const { return starts.size() - 1; }
  std::size_t target_count() const {
    return rows() - static_cast<std::size_t>(std::count(targets.begin(), targets.end(), kNoTarget));
  }
  std::size_t longest() const {
    std::size_t most = 0;
    for (std::size_t i = 0; i < documents(); ++i) most = std::max(most, starts[i + 1] - starts[i]);
    return most;
  }

  /// Adds one document of at least 2 tokens: its last token is a target only. `loss`, one for each
  /// token, says which ones are targets; null: all.
  template <class Tokens>
  void add(const Tokens& document, const std::uint8_t* loss = nullptr) {
    for (std::size_t i = 0; i + 1 < document.size(); ++i) {
      tokens.push_back(document[i]);
      targets.push_back(loss == nullptr || loss[i + 1] != 0 ? document[i + 1] : kNoTarget);
    }
    starts.push_back(tokens.size());
  }

  /// f(first row of the document, its length, from, to) for the parts [from, to), counted from the
  /// document's first row, that lie in rows [begin, end).
  template <class F>
  void each_document(std::size_t begin, std::size_t end, F&& f) const {
    auto next = std::upper_bound(starts.begin(), starts.end(), begin);
    for (; begin < end; ++next) {
      const std::size_t first = *(next - 1);
      const std::size_t to = std::min(end, *next);
      if (begin < to) f(first, *next - first, begin - first, to - first);
      begin = to;
    }
  }
};

}  // namespace zaya::train
