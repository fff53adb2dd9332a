// Keys and values in narrow formats, and layers that let go of what their window has passed: a
// sequence may be cut into steps, forked and rolled back without changing a bit.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "cache/kv_policy.h"
#include "cache/prefix_cache.h"
#include "engine/kv_calibration.h"
#include "engine/runner.h"
#include "zaya/error.h"

namespace zaya {
namespace {

std::shared_ptr<const Checkpoint> golden(const std::string& name) {
  return std::make_shared<const Checkpoint>(
      Checkpoint::open(std::filesystem::path(ZAYA_TEST_DATA) / "goldens" / name));
}

std::vector<TokenId> random_tokens(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> out(count);
  for (TokenId& t : out) t = static_cast<TokenId>(3 + random.next() % 300);
  return out;
}

/// Logits of every position, `chunk` tokens a step.
std::vector<float> all_logits(Runner& runner, Sequence& sequence, std::span<const TokenId> tokens,
                              std::size_t chunk) {
  std::vector<float> out;
  for (std::size_t i = 0; i < tokens.size(); i += chunk) {
    const Runner::Item item{sequence, tokens.subspan(i, std::min(chunk, tokens.size() - i)),
                            Logits::all};
    const auto part = runner.step({&item, 1});
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

KvPolicy mixed(const ModelConfig& config) {
  const std::vector<KvLayer> kinds{{KvFormat::int8, KvFormat::int4},
                                   {KvFormat::bf16, KvFormat::fp8},
                                   {KvFormat::int4, KvFormat::bf16}};
  KvPolicy out;
  for (std::size_t i = 0; i < config.layers; ++i) out.push_back(kinds[i % kinds.size()]);
  return out;
}

class EveryKvFormat : public testing::TestWithParam<std::string> {
 protected:
  static KvPolicy policy(const ModelConfig& config) {
    return GetParam() == "mixed" ? mixed(config) : uniform_kv_policy(config, GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(Runner, EveryKvFormat,
                         testing::Values("bf16", "fp8", "int8", "int4", "mixed"),
                         [](const auto& name) { return name.param; });

TEST_P(EveryKvFormat, ChunksForksAndRollBackChangeNoBit) {
  for (const std::string name : {"native", "native-sliding"}) {
    for (const Compute compute : {Compute::f32, Compute::fast}) {
      const auto checkpoint = golden(name);
      Runner runner(checkpoint, {.compute = compute, .threads = 2, .deterministic = true},
                    policy(checkpoint->config()));
      const std::vector<TokenId> tokens = random_tokens(90, 5);
      const std::size_t vocab = runner.config().vocab;
      Sequence straight = runner.new_sequence();
      const std::vector<float> want = all_logits(runner, straight, tokens, 1000);
      const auto from = [&](std::size_t at) {
        return std::vector<float>(want.begin() + static_cast<long>(at * vocab), want.end());
      };
      for (const std::size_t chunk : {1, 7}) {
        Sequence sequence = runner.new_sequence();
        ASSERT_EQ(all_logits(runner, sequence, tokens, chunk), want) << name << " chunk " << chunk;
      }
      for (const std::size_t keep : {1, 31, 33, 64, 77}) {
        Sequence fork = straight.fork();
        runner.rollback(fork, tokens.size() - keep);
        ASSERT_EQ(all_logits(runner, fork, std::span(tokens).subspan(keep), 1000), from(keep))
            << name << " rolled back to " << keep;
      }
    }
  }
}

// Wrong drafts write beside what stays, and a window moves past pages that taking them back needs.
TEST_P(EveryKvFormat, TakingDraftsBackChangesNoBit) {
  for (const std::string name : {"native", "native-sliding"}) {
    const auto checkpoint = golden(name);
    Runner runner(checkpoint, {.compute = Compute::f32, .threads = 1, .deterministic = true},
                  policy(checkpoint->config()));
    const std::vector<TokenId> tokens = random_tokens(300, 6);
    const std::size_t vocab = runner.config().vocab;
    Sequence straight = runner.new_sequence();
    const std::vector<float> want = all_logits(runner, straight, tokens, 1000);
    Sequence sequence = runner.new_sequence();
    runner.feed(sequence, std::span(tokens).first(90));
    for (std::size_t round = 0; sequence.length() + 120 < tokens.size(); ++round) {
      const std::size_t length = sequence.length();
      const std::size_t drafts = round % 5 == 0 ? 100 : 1 + round % 16;  // further than kKept, too
      const std::size_t right = round * 5 % std::min<std::size_t>(drafts + 1, 7);
      std::vector<TokenId> fed(tokens.begin() + static_cast<long>(length),
                               tokens.begin() + static_cast<long>(length + 1 + right));
      while (fed.size() < 1 + drafts) fed.push_back(2);
      const Runner::Item item{sequence, fed, Logits::last, drafts};
      const auto got = runner.step({&item, 1});
      for (std::size_t i = 0; i < (1 + right) * vocab; ++i) {
        ASSERT_EQ(got[i], want[length * vocab + i]) << name << " at " << length;
      }
      sequence.drop_drafts(drafts - right);
      ASSERT_EQ(sequence.length(), length + 1 + right);
    }
  }
}

/// The mean KL of a policy to a bf16 cache, over random tokens.
double mean_kl(const std::shared_ptr<const Checkpoint>& checkpoint, const KvPolicy& policy) {
  const KvDivergence divergence(checkpoint, {.compute = Compute::f32, .threads = 2},
                                random_tokens(600, 8), 150);
  return divergence.measure(policy).mean_kl;
}

TEST(KvFormats, CostWhatTheyAreSaidToAndLessThanTheNextNarrower) {
  // The published shape: 40 layers, 2 kv heads of 128.
  ModelConfig zaya;
  zaya.layers = 40;
  zaya.heads = 8;
  zaya.kv_heads = 2;
  zaya.head_dim = 128;
  zaya.sliding.assign(40, false);
  const auto bytes = [&](const char* name) {
    return StateLayout(zaya, uniform_kv_policy(zaya, name)).bytes_per_token();
  };
  EXPECT_EQ(bytes("bf16"), 40U * 1024);
  EXPECT_EQ(bytes("fp8"), 20U * 1024);
  EXPECT_EQ(bytes("int8"), 20U * 1024 + 320);        // a bf16 scale a head and position
  EXPECT_EQ(bytes("int4"), 10U * 1024 + 320 + 640);  // and four multiples
  const auto checkpoint = golden("native");
  const ModelConfig& config = checkpoint->config();
  const double none = mean_kl(checkpoint, uniform_kv_policy(config, "bf16"));
  const double int8 = mean_kl(checkpoint, uniform_kv_policy(config, "int8"));
  const double fp8 = mean_kl(checkpoint, uniform_kv_policy(config, "fp8"));
  const double int4 = mean_kl(checkpoint, uniform_kv_policy(config, "int4"));
  EXPECT_EQ(none, 0);
  EXPECT_LT(int8, fp8);
  EXPECT_LT(fp8, int4);
  EXPECT_GT(int8, 0);
  EXPECT_LT(int4, 0.5);
}

TEST(KvFormats, ACalibratedPolicyBeatsUniformOnesOfItsSize) {
  const auto checkpoint = golden("native");
  const ModelConfig& config = checkpoint->config();
  const KvDivergence divergence(checkpoint, {.compute = Compute::f32, .threads = 2},
                                random_tokens(600, 8), 150);
  std::map<KvChoice, double> measured;
  for (const KvChoice& choice : kv_choices(config.layers)) {
    KvPolicy one = uniform_kv_policy(config, "bf16");
    (choice.keys ? one[choice.layer].keys : one[choice.layer].values) = choice.format;
    measured[choice] = divergence.measure(one).mean_kl;
  }
  for (const KvLayer uniform :
       {KvLayer{KvFormat::int8, KvFormat::int4}, KvLayer{KvFormat::int4, KvFormat::int8}}) {
    const KvPolicy same(config.layers, uniform);
    const std::size_t budget = StateLayout(config, same).bytes_per_token();
    const KvPolicy chosen = choose_kv_policy(config, measured, budget);
    EXPECT_LE(StateLayout(config, chosen).bytes_per_token(), budget);
    // On other text than it was chosen on.
    EXPECT_LE(mean_kl(checkpoint, chosen), mean_kl(checkpoint, same));
  }
}

TEST(KvFormats, ThePolicyKeepsItsBudgetOrSaysWhatIsLeast) {
  ModelConfig config;
  config.layers = 3;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 64;
  config.sliding.assign(3, false);
  Random random(1);
  std::map<KvChoice, double> divergence;
  for (const KvChoice& choice : kv_choices(config.layers)) divergence[choice] = random.uniform();
  const auto bytes = [&](const KvPolicy& policy) {
    return StateLayout(config, policy).bytes_per_token();
  };
  const std::size_t least = bytes(uniform_kv_policy(config, "int4"));
  for (std::size_t budget = least; budget <= 3 * 2 * 2 * 64 * 2; budget += 32) {
    EXPECT_LE(bytes(choose_kv_policy(config, divergence, budget)), budget);
  }
  EXPECT_EQ(choose_kv_policy(config, divergence, 1 << 20), uniform_kv_policy(config, "bf16"));
  EXPECT_EQ(choose_kv_policy(config, divergence, least), uniform_kv_policy(config, "int4"));
  EXPECT_THROW(choose_kv_policy(config, divergence, least - 1), Error);
  // The cheapest step is taken first: one layer's values cost nothing.
  for (auto& [choice, d] : divergence) d = 1;
  divergence[{1, false, KvFormat::int4}] = 0;
  const KvPolicy first = choose_kv_policy(config, divergence, 3 * 2 * 2 * 64 * 2 - 1);
  KvPolicy want = uniform_kv_policy(config, "bf16");
  want[1].values = KvFormat::int4;
  EXPECT_EQ(first, want);
}

TEST(SlidingWindow, PagesItHasPassedAreLetGoAndNoBitChanges) {
  const auto checkpoint = golden("native-sliding");
  Runner runner(checkpoint, {.compute = Compute::f32, .threads = 2, .deterministic = true});
  const StateLayout& layout = runner.model().layout();
  const std::vector<TokenId> tokens = random_tokens(400, 6);
  const std::size_t vocab = runner.config().vocab;
  // In one step nothing is let go before the end.
  Sequence whole = runner.new_sequence();
  const std::vector<float> want = all_logits(runner, whole, tokens, 1000);
  Sequence small = runner.new_sequence();
  const std::size_t before = runner.pages().bytes_in_use();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto logits = runner.feed(small, {&tokens[i], 1});
    ASSERT_TRUE(
        std::equal(logits.begin(), logits.end(), want.begin() + static_cast<long>(i * vocab)))
        << i;
    ASSERT_LE(runner.pages().bytes_in_use() - before, layout.bytes_held(i + 1, 1)) << i;
  }
  const std::size_t pages = (tokens.size() + 31) / 32;
  EXPECT_LT(runner.pages().bytes_in_use() - before, pages * layout.page_bytes());
  // Back by as much as is promised, and no further than the window allows; to nothing always.
  const std::size_t least = tokens.size() - StateLayout::kKept;
  for (const std::size_t keep : {least, least + 1, tokens.size() - 1}) {
    Sequence fork = small.fork();
    ASSERT_TRUE(fork.can_roll_back(keep));
    runner.rollback(fork, tokens.size() - keep);
    ASSERT_EQ(all_logits(runner, fork, std::span(tokens).subspan(keep), 1000),
              std::vector<float>(want.begin() + static_cast<long>(keep * vocab), want.end()))
        << keep;
  }
  EXPECT_FALSE(small.can_roll_back(100));
  Sequence fork = small.fork();
  EXPECT_THROW(runner.rollback(fork, 300), Error);
  EXPECT_TRUE(small.can_roll_back(0));
  runner.rollback(small, tokens.size());
  EXPECT_EQ(all_logits(runner, small, tokens, 1000), want);
}

TEST(SlidingWindow, ThePrefixCacheFindsOnlyWhatCanBeRolledBack) {
  const auto checkpoint = golden("native-sliding");
  Runner runner(checkpoint, {.compute = Compute::f32, .threads = 2});
  const std::vector<TokenId> tokens = random_tokens(400, 6);
  PrefixCache cache(8, runner.model().layout().replay_tokens());
  Sequence sequence = runner.new_sequence();
  runner.feed(sequence, std::span(tokens).first(200));
  cache.insert(sequence.fork());
  runner.feed(sequence, std::span(tokens).subspan(200));
  cache.insert(std::move(sequence));
  std::vector<TokenId> other = tokens;
  other[390] = 1;
  EXPECT_EQ(cache.find(other)->common, 390U) << "near the end of a kept one";
  other[300] = 1;
  EXPECT_EQ(cache.find(other)->common, 200U) << "where a kept one ends";
  other[100] = 1;
  EXPECT_FALSE(cache.find(other)) << "the window has let go of it";
}

}  // namespace
}  // namespace zaya
