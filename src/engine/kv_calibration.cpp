#include "engine/kv_calibration.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::array<KvFormat, 3> kNarrow{KvFormat::fp8, KvFormat::int8, KvFormat::int4};

/// Keys or values of one layer on the way down.
struct Part {
  std::size_t layer;
  bool keys;
  KvFormat format = KvFormat::bf16;
  double divergence = 0;
};

KvFormat& format_of(KvPolicy& policy, const Part& part) {
  KvLayer& layer = policy[part.layer];
  return part.keys ? layer.keys : layer.values;
}

}  // namespace

KvDivergence::KvDivergence(std::shared_ptr<const Checkpoint> checkpoint, RunnerOptions options,
                           std::span<const TokenId> text, std::size_t window)
    : checkpoint_(std::move(checkpoint)), options_(std::move(options)) {
  window = std::max(window, kCounted + 1);
  if (text.size() < window) {
    throw Error({.where = "calibration text",
                 .what = "too short",
                 .expected = fmt::format("at least a window of {} tokens", window),
                 .found = fmt::format("{} tokens", text.size())});
  }
  const std::size_t count = std::min(kWindows, text.size() / window);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t free = text.size() - window;
    const auto part = text.subspan(count == 1 ? 0 : free * i / (count - 1), window);
    windows_.emplace_back(part.begin(), part.end());
  }
  Runner runner(checkpoint_, options_, uniform_kv_policy(checkpoint_->config(), "bf16"));
  read(runner, [&](std::size_t, std::span<const float> logits) {
    reference_.emplace_back(logits.begin(), logits.end());
  });
}

void KvDivergence::read(
    Runner& runner,
    const std::function<void(std::size_t window, std::span<const float> logits)>& take) const {
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    // The last token predicts one outside of the window.
    const std::span<const TokenId> fed = std::span(windows_[w]).first(windows_[w].size() - 1);
    Sequence sequence = runner.new_sequence();
    const std::size_t before = fed.size() - kCounted;
    if (before > 0) {
      for (std::size_t done = 0; done < before;) {
        const std::size_t n = std::min(options_.chunk, before - done);
        const Runner::Item item{sequence, fed.subspan(done, n), Logits::none};
        runner.step({&item, 1});
        done += n;
      }
    }
    const Runner::Item item{sequence, fed.subspan(before), Logits::all};
    take(w, runner.step({&item, 1}));
  }
}

Divergence::Result KvDivergence::measure(const KvPolicy& policy) const {
  Runner runner(checkpoint_, options_, policy);
  const std::size_t vocab = checkpoint_->config().vocab;
  Divergence divergence;
  read(runner, [&](std::size_t w, std::span<const float> logits) {
    const std::span<const float> reference = reference_[w];
    const std::size_t first = windows_[w].size() - kCounted;
    for (std::size_t i = 0; i < kCounted; ++i) {
      divergence.add(reference.subspan(i * vocab, vocab), logits.subspan(i * vocab, vocab),
                     windows_[w][first + i]);
    }
  });
  return divergence.result();
}

std::vector<KvChoice> kv_choices(std::size_t layers) {
  std::vector<KvChoice> out;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    for (const bool keys : {true, false}) {
      for (const KvFormat format : kNarrow) out.push_back({layer, keys, format});
    }
  }
  return out;
}

KvPolicy choose_kv_policy(const ModelConfig& config, const std::map<KvChoice, double>& divergence,
                          std::size_t budget) {
  const std::size_t dim = KvBlock::dim(config.head_dim);
  const auto bytes = [&](KvFormat format) { return KvBlock::part_bytes(dim, format); };
  KvPolicy policy = uniform_kv_policy(config, "bf16");
  std::vector<Part> parts;
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    for (const bool keys : {true, false}) parts.push_back({layer, keys});
  }
  while (StateLayout(config, policy).bytes_per_token() > budget) {
    Part* best = nullptr;
    KvFormat to = KvFormat::bf16;
    double added = 0;
    double least = std::numeric_limits<double>::infinity();
    for (Part& part : parts) {
      for (const KvFormat format : kNarrow) {
        if (bytes(format) >= bytes(part.format)) continue;
        const double d = divergence.at({part.layer, part.keys, format});
        const double price =
            (d - part.divergence) / static_cast<double>(bytes(part.format) - bytes(format));
        if (price < least) {
          least = price;
          best = &part;
          to = format;
          added = d;
        }
      }
    }
    if (best == nullptr) {
      throw Error({.where = "--budget",
                   .what = "no KV format is so small",
                   .expected = fmt::format("at least {} bytes a token",
                                           StateLayout(config, policy).bytes_per_token()),
                   .found = std::to_string(budget)});
    }
    best->format = to;
    best->divergence = added;
    format_of(policy, *best) = to;
  }
  return policy;
}

}  // namespace zaya
