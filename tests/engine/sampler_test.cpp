#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "base/random.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::vector<float> random_logits(std::uint64_t seed, std::size_t n, double scale) {
  Random random(seed);
  std::vector<float> logits(n);
  // Rounded, so that equal values occur.
  for (float& l : logits) l = static_cast<float>(std::round(random.normal() * scale * 4) / 4);
  return logits;
}

// Step by step as the comment of Sampler says it, on the whole vocabulary, in double.
std::map<TokenId, double> reference(std::vector<float> l, const SamplingParams& p,
                                    const std::vector<TokenId>& prompt,
                                    const std::vector<TokenId>& output) {
  for (const auto& b : p.logit_bias) l[b.id] += b.bias;
  std::set<TokenId> seen(prompt.begin(), prompt.end());
  seen.insert(output.begin(), output.end());
  for (const TokenId id : seen) {
    const double v = l[id];
    const double penalised = v > 0 ? v / p.repetition_penalty : v * p.repetition_penalty;
    const auto count = std::count(output.begin(), output.end(), id);
    const double presence = count > 0 ? p.presence_penalty : 0.0;
    l[id] = static_cast<float>(penalised - p.frequency_penalty * count - presence);
  }
  std::vector<TokenId> order(l.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return l[a] > l[b]; });
  if (p.greedy()) return {{order[0], 1.0}};
  if (p.top_k > 0 && p.top_k < l.size()) {
    const float kth = l[order[p.top_k - 1]];
    std::erase_if(order, [&](TokenId id) { return l[id] < kth; });
  }
  std::map<TokenId, double> chance;
  double sum = 0;
  for (const TokenId id : order)
    sum += chance[id] = std::exp((l[id] - l[order[0]]) / p.temperature);
  for (auto& [id, c] : chance) c /= sum;
  double before = 0;
  std::map<TokenId, double> kept;
  for (const TokenId id : order) {
    const bool in_top_p = kept.empty() || p.top_p == 1.0 || before < p.top_p;
    before += chance[id];
    if (in_top_p && chance[id] >= p.min_p * chance[order[0]]) kept[id] = chance[id];
  }
  sum = 0;
  for (const auto& [id, c] : kept) sum += c;
  for (auto& [id, c] : kept) c /= sum;
  std::erase_if(kept, [](const auto& entry) { return entry.second == 0.0; });
  return kept;
}

void expect_distribution(const Sampler& sampler, const std::vector<float>& logits,
                         const std::map<TokenId, double>& expected) {
  SamplerWorkspace workspace;
  std::map<TokenId, double> found;
  for (const Candidate& c : sampler.distribution(logits, workspace)) {
    if (c.probability > 0.0) found[c.id] = c.probability;
  }
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [id, c] : expected) {
    ASSERT_TRUE(found.contains(id)) << id;
    EXPECT_NEAR(found[id], c, 1e-5) << id;
  }
}

TEST(Sampler, AgreesWithTheDefinitionStepByStep) {
  Random random(11);
  const auto pick = [&](std::initializer_list<double> values) {
    return values.begin()[random.next() % values.size()];
  };
  for (std::uint64_t round = 0; round < 500; ++round) {
    SCOPED_TRACE(round);
    const std::size_t vocab = 1 + random.next() % 60;
    SamplingParams p;
    p.temperature = pick({0.0, 0.3, 0.7, 1.0, 1.0, 2.0});
    p.top_k = static_cast<std::size_t>(pick({0, 0, 1, 3, 20, 1000}));
    p.top_p = pick({1.0, 1.0, 0.95, 0.6, 0.05});
    p.min_p = pick({0.0, 0.0, 0.02, 0.3, 1.0});
    p.repetition_penalty = pick({1.0, 1.0, 1.3, 0.8});
    p.presence_penalty = pick({0.0, 0.7, -0.5});
    p.frequency_penalty = pick({0.0, 0.4, -0.3});
    std::vector<TokenId> prompt(8);
    std::vector<TokenId> output(8);
    for (TokenId& id : prompt) id = static_cast<TokenId>(random.next() % vocab);
    for (TokenId& id : output) id = static_cast<TokenId>(random.next() % vocab);
    if (round % 3 == 0) p.logit_bias = {{static_cast<TokenId>(random.next() % vocab), 2.5F}};
    Sampler sampler(p, vocab, prompt);
    for (const TokenId id : output) sampler.accept(id);
    const auto logits = random_logits(round, vocab, 3.0);
    expect_distribution(sampler, logits, reference(logits, p, prompt, output));
  }
}

TEST(Sampler, TopPOverALargeFlatVocabulary) {
  // The run that reaches p is far longer than the first guess at it.
  const auto logits = random_logits(5, 20000, 0.2);
  SamplingParams p;
  p.top_p = 0.97;
  expect_distribution(Sampler(p, logits.size(), {}), logits, reference(logits, p, {}, {}));
  const auto steep = random_logits(6, 20000, 30.0);
  expect_distribution(Sampler(p, steep.size(), {}), steep, reference(steep, p, {}, {}));
}

TEST(Sampler, PenaltiesByHand) {
  SamplingParams p;
  p.repetition_penalty = 2.0;
  p.frequency_penalty = 0.5;
  p.presence_penalty = 0.25;
  const std::vector<TokenId> prompt = {0, 1};
  Sampler sampler(p, 4, prompt);
  sampler.accept(1);
  sampler.accept(1);
  sampler.accept(2);
  SamplerWorkspace workspace;
  const std::vector<float> logits = {4.0F, -1.0F, 3.0F, 0.5F};
  std::map<TokenId, float> after;
  for (const auto& c : sampler.distribution(logits, workspace)) after[c.id] = c.logit;
  EXPECT_FLOAT_EQ(after[0], 4.0F / 2);                      // prompt only: repetition
  EXPECT_FLOAT_EQ(after[1], -1.0F * 2 - 2 * 0.5F - 0.25F);  // twice in the output
  EXPECT_FLOAT_EQ(after[2], 3.0F / 2 - 0.5F - 0.25F);
  EXPECT_FLOAT_EQ(after[3], 0.5F);
}

TEST(Sampler, GreedyTakesTheFirstOfEqualLogits) {
  SamplingParams p;
  p.temperature = 0;
  SamplerWorkspace workspace;
  const std::vector<float> logits = {1.0F, 7.0F, 7.0F, -kInf};
  EXPECT_EQ(Sampler(p, 4, {}).sample(logits, workspace), 1);
  p.logit_bias = {{1, -kInf}};
  EXPECT_EQ(Sampler(p, 4, {}).sample(logits, workspace), 2);
}

TEST(Sampler, NeverPicksPaddedRowsOrBannedTokens) {
  std::vector<float> logits(32, 0.0F);
  std::fill(logits.begin() + 20, logits.end(), 50.0F);  // rows beyond the tokenizer
  SamplingParams p;
  p.logit_bias = {{3, -kInf}};
  SamplerWorkspace workspace;
  for (const double temperature : {0.0, 1.0}) {
    p.temperature = temperature;
    Sampler sampler(p, 20, {});
    for (int i = 0; i < 500; ++i) {
      const TokenId id = sampler.sample(logits, workspace);
      sampler.accept(id);
      ASSERT_LT(id, 20);
      ASSERT_NE(id, 3);
    }
  }
}

TEST(Sampler, DrawsFollowTheDistribution) {
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.2F)};
  Sampler sampler({.seed = 42}, 3, {});
  SamplerWorkspace workspace;
  std::vector<int> counts(3);
  constexpr int kDraws = 30000;
  for (int i = 0; i < kDraws; ++i) {
    const TokenId id = sampler.sample(logits, workspace);
    sampler.accept(id);
    ++counts[id];
  }
  EXPECT_NEAR(counts[0] / double{kDraws}, 0.5, 0.012);
  EXPECT_NEAR(counts[1] / double{kDraws}, 0.3, 0.012);
  EXPECT_NEAR(counts[2] / double{kDraws}, 0.2, 0.012);
}

std::vector<TokenId> draw(std::uint64_t seed, std::uint64_t stream, int n) {
  const auto logits = random_logits(1, 100, 1.0);
  Sampler sampler({.top_p = 0.9, .seed = seed}, 100, {}, stream);
  SamplerWorkspace workspace;
  std::vector<TokenId> ids;
  for (int i = 0; i < n; ++i) {
    ids.push_back(sampler.sample(logits, workspace));
    EXPECT_EQ(sampler.sample(logits, workspace), ids.back());  // drawing changes nothing
    sampler.accept(ids.back());
  }
  return ids;
}

TEST(Sampler, IsAFunctionOfSeedStreamAndPosition) {
  EXPECT_EQ(draw(1, 0, 40), draw(1, 0, 40));
  EXPECT_NE(draw(1, 0, 40), draw(2, 0, 40));
  EXPECT_NE(draw(1, 0, 40), draw(1, 1, 40));
  // A copy goes on as the original does.
  const auto logits = random_logits(1, 100, 1.0);
  SamplerWorkspace workspace;
  Sampler original({.seed = 3}, 100, {});
  original.accept(original.sample(logits, workspace));
  const Sampler copy = original;
  EXPECT_EQ(copy.sample(logits, workspace), original.sample(logits, workspace));
}

TEST(Sampler, BrokenLogitsAreAnError) {
  SamplerWorkspace workspace;
  const float nan = std::nanf("");
  for (const double temperature : {0.0, 1.0}) {
    const Sampler sampler({.temperature = temperature}, 3, {});
    const std::vector<float> with_nan = {1.0F, nan, 2.0F};
    EXPECT_EQ(message_of([&] { sampler.sample(with_nan, workspace); }),
              "logit of token 1: the model's output is broken: expected a number, found nan");
    const std::vector<float> with_inf = {1.0F, 2.0F, kInf};
    EXPECT_NE(message_of([&] { sampler.sample(with_inf, workspace); }).find("token 2"),
              std::string::npos);
    const std::vector<float> banned(3, -kInf);
    EXPECT_EQ(message_of([&] { sampler.sample(banned, workspace); }),
              "sampling: every token of the vocabulary is banned");
  }
}

TEST(Logprobs, AreTheModelsOwn) {
  const std::vector<float> logits = {1.0F, 3.0F, 2.0F, 3.0F, 99.0F};  // the last row is padding
  SamplerWorkspace workspace;
  const double log_sum = std::log(std::exp(1.0) + 2 * std::exp(3.0) + std::exp(2.0));
  const Logprobs found = logprobs_of(logits, 4, 0, 3, workspace);
  EXPECT_EQ(found.token.id, 0);
  EXPECT_NEAR(found.token.logprob, 1.0 - log_sum, 1e-6);
  ASSERT_EQ(found.top.size(), 3U);
  EXPECT_EQ(found.top[0].id, 1);
  EXPECT_EQ(found.top[1].id, 3);
  EXPECT_EQ(found.top[2].id, 2);
  EXPECT_NEAR(found.top[2].logprob, 2.0 - log_sum, 1e-6);
  EXPECT_TRUE(logprobs_of(logits, 4, 0, 0, workspace).top.empty());
}

TEST(SamplingParams, EachIsChecked) {
  const auto message = [](const SamplingParams& p) {
    return message_of([&] { validate(p, 100); });
  };
  EXPECT_EQ(message({}), "no error");
  EXPECT_EQ(message({.temperature = -1}),
            "temperature: out of range: expected 0 or more, found -1");
  EXPECT_NE(message({.temperature = std::nan("")}).find("temperature"), std::string::npos);
  EXPECT_NE(message({.top_p = 0}).find("top_p"), std::string::npos);
  EXPECT_NE(message({.top_p = 1.1}).find("top_p"), std::string::npos);
  EXPECT_NE(message({.min_p = -0.1}).find("min_p"), std::string::npos);
  EXPECT_NE(message({.repetition_penalty = 0}).find("repetition_penalty"), std::string::npos);
  EXPECT_NE(message({.presence_penalty = 2.5}).find("presence_penalty"), std::string::npos);
  EXPECT_NE(message({.frequency_penalty = -3}).find("frequency_penalty"), std::string::npos);
  EXPECT_NE(message({.logit_bias = {{100, 1.0F}}}).find("ids from 0 to 99, found 100"),
            std::string::npos);
  EXPECT_NE(message({.logit_bias = {{1, 101.0F}}}).find("logit_bias"), std::string::npos);
  EXPECT_NE(message({.logit_bias = {{1, std::nanf("")}}}).find("logit_bias"), std::string::npos);
  EXPECT_NE(message({.max_tokens = 0}).find("max_tokens"), std::string::npos);
  EXPECT_NE(message({.stop = {""}}).find("stop"), std::string::npos);
  EXPECT_NE(message({.stop = std::vector<std::string>(65, "x")}).find("stop"), std::string::npos);
  EXPECT_NE(message({.stop_ids = {-1}}).find("stop_ids"), std::string::npos);
  EXPECT_NE(message({.top_logprobs = 101}).find("logprobs"), std::string::npos);
}

}  // namespace
}  // namespace zaya
