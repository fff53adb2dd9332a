#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "cache/kv_policy.h"
#include "checkpoint/checkpoint.h"
#include "engine/divergence.h"
#include "engine/runner.h"
#include "zaya/token.h"

namespace zaya {

/// What quantised keys and values cost in quality: the divergence of a model's predictions from
/// those with a bf16 KV cache, over windows of a text. Of each window the last tokens count, since
/// they read the most of the cache.
class KvDivergence {
 public:
  static constexpr std::size_t kCounted = 64;  ///< predictions of a window
  static constexpr std::size_t kWindows = 4;   ///< of the text, spread evenly

  /// Reads the text once with a bf16 cache, and keeps its logits [256, vocab] at most. Throws Error
  /// for a text shorter than a window.
  KvDivergence(std::shared_ptr<const Checkpoint> checkpoint, RunnerOptions options,
               std::span<const TokenId> text, std::size_t window);

  /// The divergence of a policy. Reads the text once.
  Divergence::Result measure(const KvPolicy& policy) const;

 private:
  void read(
      Runner& runner,
      const std::function<void(std::size_t window, std::span<const float> logits)>& take) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  RunnerOptions options_;
  std::vector<std::vector<TokenId>> windows_;
  std::vector<std::vector<float>> reference_;  ///< [window][kCounted, vocab]
};

/// The keys or the values of one layer in one format, the rest in bf16.
struct KvChoice {
  std::size_t layer = 0;
  bool keys = false;
  KvFormat format = KvFormat::bf16;

  auto operator<=>(const KvChoice&) const = default;
};

/// Every choice that there is to measure.
std::vector<KvChoice> kv_choices(std::size_t layers);

/// The policy of at most `budget` bytes a token for which the sum of the choices' divergences is
/// least, as far as a greedy search finds it: from bf16 on, again and again the step down that
/// saves the most bytes for the divergence it adds. Throws Error, with the least there is, when
/// nothing is so small. After the idea of MoE-nD (arXiv:2604.17695), without its eviction; the
/// search is ours.
KvPolicy choose_kv_policy(const ModelConfig& config, const std::map<KvChoice, double>& divergence,
                          std::size_t budget);

}  // namespace zaya
