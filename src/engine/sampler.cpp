#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "base/random.h"
#include "compute/kernels/kernels.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The largest logit. Throws for what no model should say. Eight lanes at a time: this pass over the
// whole vocabulary is all that greedy decoding does.
float checked_max(std::span<const float> logits) {
  constexpr std::size_t kLanes = 8;
  std::array<float, kLanes> best;
  std::array<bool, kLanes> good;
  best.fill(-kInfinity);
  good.fill(true);
  const auto look = [&](std::size_t lane, float l) {
    good[lane] &= l < kInfinity;  // false for NaN too
    best[lane] = l > best[lane] ? l : best[lane];
  };
  const std::size_t whole = logits.size() / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) look(lane, logits[i + lane]);
  }
  for (std::size_t i = whole; i < logits.size(); ++i) look(i - whole, logits[i]);

  if (!std::all_of(good.begin(), good.end(), [](bool g) { return g; })) {
    const auto bad =
        std::find_if_not(logits.begin(), logits.end(), [](float l) { return l < kInfinity; });
    throw Error({.where = fmt::format("logit of token {}", bad - logits.begin()),
                 .what = "the model's output is broken",
                 .expected = "a number",
                 .found = fmt::format("{}", *bad)});
  }
  const float max = *std::max_element(best.begin(), best.end());
  if (max == -kInfinity) {
    throw Error({.where = "sampling", .what = "every token of the vocabulary is banned"});
  }
  return max;
}

// The n best ids of `logits`, best first, equal ones by id: one pass with a heap of n.
std::vector<TokenId> best_ids(std::span<const float> logits, std::size_t n) {
  n = std::min(n, logits.size());
  if (n == 0) return {};
  const auto better = [&](TokenId a, TokenId b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  std::vector<TokenId> heap(n);  // the worst of the best is at the front
  std::iota(heap.begin(), heap.end(), 0);
  std::make_heap(heap.begin(), heap.end(), better);
  for (std::size_t i = n; i < logits.size(); ++i) {
    if (logits[i] <= logits[heap.front()]) continue;  // equal ones come later by id
    std::pop_heap(heap.begin(), heap.end(), better);
    heap.back() = static_cast<TokenId>(i);
    std::push_heap(heap.begin(), heap.end(), better);
  }
  std::sort_heap(heap.begin(), heap.end(), better);
  return heap;
}

// weights[i] = exp((logits[i] - max) / temperature); returns their sum.
double exponentials(std::span<const float> logits, float max, double temperature,
                    std::vector<float>& weights) {
  weights.resize(logits.size());
  const double scale = 1.0 / temperature;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    weights[i] = static_cast<float>((logits[i] - max) * scale);
  }
  static const Kernels& table = kernels_of(selected_isa());
  return table.exp_shifted(weights.data(), weights.size(), 0.0F);
}

// The candidates whose logit is at least `least`.
void gather(std::span<const float> logits, std::span<const float> weights, float least,
            std::vector<Candidate>& candidates) {
  candidates.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] >= least && logits[i] > -kInfinity) {
      candidates.push_back({static_cast<TokenId>(i), logits[i], weights[i]});
    }
  }
}

double mass(std::span<const Candidate> candidates) {
  double sum = 0.0;
  for (const Candidate& c : candidates) sum += c.probability;
  return sum;
}

// The k largest and what equals the k-th. Only these need an exponential.
void gather_top_k(std::span<const float> logits, std::size_t k, double temperature,
                  std::vector<Candidate>& candidates) {
  const std::vector<TokenId> best = best_ids(logits, k);
  const float max = logits[best.front()];
  const float least = logits[best.back()];
  candidates.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < least || logits[i] == -kInfinity) continue;
    candidates.push_back({static_cast<TokenId>(i), logits[i],
                          std::exp((static_cast<double>(logits[i]) - max) / temperature)});
  }
}

// A bound below which min-p lets nothing pass, a little low to be clear of rounding.
float least_logit(float max, double temperature, double min_p) {
  return static_cast<float>(max + temperature * (std::log(min_p) - 0.01));
}

// At least the likeliest tokens that together reach `wanted`; usually little more, so that what
// follows costs nothing beside the pass over the vocabulary.
void gather_top_mass(std::span<const float> logits, std::span<const float> weights, float max,
                     double temperature, double wanted, std::vector<Candidate>& candidates) {
  for (int depth = 4; depth < 128; depth *= 2) {
    gather(logits, weights, static_cast<float>(max - depth * temperature), candidates);
    if (mass(candidates) >= wanted) return;
  }
  gather(logits, weights, -kInfinity, candidates);
}

// Keeps the shortest run of the likeliest whose mass reaches `wanted`; one always stays. Finds the
// last of the run by halving the range that it is in, which needs no sorting.
void cut_top_p(std::vector<Candidate>& candidates, double wanted, std::vector<Candidate>& ranked) {
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  ranked = candidates;
  auto first = ranked.begin();
  auto last = ranked.end();
  while (last - first > 1) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, better);
    const double upper = mass({first, middle});
    if (upper >= wanted) {
      last = middle;
    } else {
      wanted -= upper;
      first = middle;
    }
  }
  std::erase_if(candidates, [&](const Candidate& c) { return better(*first, c); });
}

}  // namespace

Sampler::Sampler(const SamplingParams& params, std::size_t vocab, std::span<const TokenId> prompt,
                 std::uint64_t stream)
    : params_(params), vocab_(vocab), stream_(stream) {
  validate(params_, vocab);
  if (params_.repetition_penalty != 1.0) {
    for (const TokenId id : prompt) seen_[id].in_prompt = true;
  }
}

bool Sampler::penalises() const {
  return params_.repetition_penalty != 1.0 || params_.presence_penalty != 0.0 ||
         params_.frequency_penalty != 0.0;
}

std::span<const float> Sampler::adjusted(std::span<const float> logits,
                                         std::vector<float>& copy) const {
  logits = logits.first(std::min(logits.size(), vocab_));
  if (params_.logit_bias.empty() && seen_.empty()) return logits;
  copy.assign(logits.begin(), logits.end());
  for (const LogitBias& b : params_.logit_bias) {
    if (std::cmp_less(b.id, copy.size())) copy[b.id] += b.bias;
  }
  for (const auto& [id, seen] : seen_) {
    if (id < 0 || std::cmp_greater_equal(id, copy.size())) continue;
    double l = copy[id];
    l = l > 0.0 ? l / params_.repetition_penalty : l * params_.repetition_penalty;
    if (seen.in_output > 0) {
      l -= params_.frequency_penalty * static_cast<double>(seen.in_output) +
           params_.presence_penalty;
    }
    copy[id] = static_cast<float>(l);
  }
  return copy;
}

std::span<const Candidate> Sampler::distribution(std::span<const float> logits,
                                                 SamplerWorkspace& workspace) const {
  logits = adjusted(logits, workspace.logits);
  const float max = checked_max(logits);
  const double temperature = params_.temperature;
  std::vector<Candidate>& candidates = workspace.candidates;

  if (params_.greedy()) {
    const auto best = std::find(logits.begin(), logits.end(), max) - logits.begin();
    candidates.assign(1, {static_cast<TokenId>(best), max, 1.0});
    return candidates;
  }

  double total = 0.0;
  if (params_.top_k > 0 && params_.top_k < logits.size()) {
    gather_top_k(logits, params_.top_k, temperature, candidates);
    total = mass(candidates);
  } else {
    total = exponentials(logits, max, temperature, workspace.weights);
    if (params_.top_p < 1.0) {
      gather_top_mass(logits, workspace.weights, max, temperature, params_.top_p * total,
                      candidates);
    } else {
      gather(logits, workspace.weights, least_logit(max, temperature, params_.min_p), candidates);
    }
  }
  if (params_.top_p < 1.0) cut_top_p(candidates, params_.top_p * total, workspace.ranked);
  // The likeliest has weight exp(0) = 1, so min-p is a bound on the weight itself.
  std::erase_if(candidates, [&](const Candidate& c) { return c.probability < params_.min_p; });
  const double kept = mass(candidates);
  for (Candidate& c : candidates) c.probability /= kept;
  return candidates;
}

TokenId Sampler::sample(std::span<const float> logits, SamplerWorkspace& workspace) const {
  const auto candidates = distribution(logits, workspace);
  double left = Random(params_.seed, stream_, accepted_).uniform();
  for (const Candidate& c : candidates) {
    left -= c.probability;
    if (left < 0.0) return c.id;
  }
  // Rounding may leave a last crumb; it belongs to the last token that can be drawn at all.
  const auto last = std::find_if(candidates.rbegin(), candidates.rend(),
                                 [](const Candidate& c) { return c.probability > 0.0; });
  return last->id;
}

void Sampler::accept(TokenId token) {
  ++accepted_;
  if (penalises()) ++seen_[token].in_output;
}

Logprobs logprobs_of(std::span<const float> logits, std::size_t vocab, TokenId token,
                     std::size_t top, SamplerWorkspace& workspace) {
  logits = logits.first(std::min(logits.size(), vocab));
  const float max = checked_max(logits);
  const double log_sum = std::log(exponentials(logits, max, 1.0, workspace.weights));
  const auto entry = [&](TokenId id) {
    return TokenLogprob{id, static_cast<float>(static_cast<double>(logits[id]) - max - log_sum)};
  };
  Logprobs result{entry(token), {}};
  for (const TokenId id : best_ids(logits, top)) result.top.push_back(entry(id));
  return result;
}

}  // namespace zaya
