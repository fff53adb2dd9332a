// Pages within a budget, and the prefix cache against a plain search.
#include "cache/prefix_cache.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::size_t kPage = StateLayout::kPageTokens;
constexpr std::size_t kReplay = 4;

ModelConfig tiny_config() {
  ModelConfig config;
  config.layers = 2;
  config.hidden = 16;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_dim = 8;
  config.sliding = {false, true};
  return config;
}

struct Cache : testing::Test {
  ModelConfig config = tiny_config();
  StateLayout layout{config, KvFormat::f32};
  std::shared_ptr<PagePool> pool = std::make_shared<PagePool>();
  std::shared_ptr<const std::vector<float>> tail =
      std::make_shared<const std::vector<float>>(layout.layers() * layout.tail_floats());

  Sequence sequence(const std::vector<TokenId>& tokens) {
    Sequence out(layout, pool, tail);
    if (!tokens.empty()) out.begin_step(tokens.size());
    out.end_step(tokens);
    return out;
  }
};

std::size_t common(const std::vector<TokenId>& a, const std::vector<TokenId>& b) {
  std::size_t n = 0;
  while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
  return n;
}

TEST_F(Cache, FindsTheLongestCommonPrefixAsAPlainSearchDoes) {
  Random random(3);
  const auto tokens = [&] {
    // Few different tokens, so that prefixes are shared at every length.
    std::vector<TokenId> out(1 + random.next() % 24);
    for (TokenId& t : out) t = static_cast<TokenId>(random.next() % 2);
    return out;
  };
  for (int round = 0; round < 30; ++round) {
    const std::size_t most = 1 + random.next() % 12;
    PrefixCache cache(most, kReplay);
    std::vector<std::vector<TokenId>> kept;  // least recently used first
    for (int i = 0; i < 60; ++i) {
      if (random.next() % 2 == 0) {
        const auto t = tokens();
        cache.insert(sequence(t));
        std::erase(kept, t);
        kept.push_back(t);
        if (kept.size() > most) kept.erase(kept.begin());
        ASSERT_EQ(cache.size(), kept.size());
      } else {
        const auto t = tokens();
        std::size_t longest = 0;
        std::size_t whole = 0;
        for (const auto& k : kept) {
          longest = std::max(longest, common(k, t));
          if (common(k, t) == k.size()) whole = std::max(whole, k.size());
        }
        const auto hit = cache.find(t);
        if (whole == 0 && longest <= kReplay) {
          ASSERT_FALSE(hit);
          continue;
        }
        if (!hit) {
          ASSERT_LE(longest, kReplay);
          continue;
        }
        ASSERT_EQ(hit->common, whole != 0 && longest - whole <= kReplay ? whole : longest);
        const auto& found = hit->sequence.tokens();
        ASSERT_GE(common(found, t), hit->common);
        const auto used = std::find(kept.begin(), kept.end(), found);
        ASSERT_NE(used, kept.end());
        std::rotate(used, used + 1, kept.end());
      }
    }
    while (cache.evict()) {
    }
    ASSERT_EQ(pool->pages_in_use(), 0U);
  }
}

TEST_F(Cache, KeptSequencesShareTheirPages) {
  PrefixCache cache(8, kReplay);
  Sequence first = sequence(std::vector<TokenId>(3 * kPage, 7));
  const std::size_t pages = pool->pages_in_use();
  Sequence second = first.fork();
  cache.insert(std::move(first));
  const std::vector<TokenId> more(1, 8);
  second.begin_step(1);
  second.end_step(more);
  cache.insert(std::move(second));
  EXPECT_EQ(pool->pages_in_use(), pages + 2) << "one more of each layer";
}

TEST(PagePoolTest, BudgetIsNeverExceededAndPagesOfOneSizeMakeRoomForTheOther) {
  const auto tight = std::make_shared<PagePool>(2 * 640);
  for (int round = 0; round < 3; ++round) {
    for (const std::size_t bytes : {640, 448}) {
      const PagePool::Page a = tight->allocate(bytes);
      const PagePool::Page b = tight->allocate(bytes);
      EXPECT_EQ(tight->bytes_in_use(), 2 * bytes);
      EXPECT_TRUE(
          std::all_of(a.get(), a.get() + bytes, [](std::byte v) { return v == std::byte{0}; }));
      std::fill_n(a.get(), bytes, std::byte{1});
      EXPECT_THROW(tight->allocate(bytes), Error);
    }
  }
  EXPECT_EQ(tight->pages_in_use(), 0U);
}

TEST_F(Cache, AStepThatFindsNoRoomChangesNothing) {
  const std::size_t pages = layout.page_bytes();
  const auto tight = std::make_shared<PagePool>(2 * pages);
  Sequence s(layout, tight, tail);
  const std::vector<TokenId> tokens(kPage + 1, 5);
  EXPECT_EQ(s.bytes_for_step(tokens.size()), 2 * pages);
  s.begin_step(tokens.size());
  s.end_step(tokens);
  EXPECT_EQ(s.bytes_for_step(kPage - 1), 0U);
  EXPECT_EQ(s.bytes_for_step(kPage), pages);
  EXPECT_THROW(s.begin_step(kPage), Error);
  EXPECT_EQ(tight->bytes_in_use(), 2 * pages);
  s.begin_step(kPage - 1);
  s.cancel_step();
  EXPECT_EQ(s.length(), tokens.size());
  const Sequence fork = s.fork();
  EXPECT_EQ(s.bytes_for_step(1), pages) << "a shared page is copied before it is written";
  EXPECT_THROW(s.begin_step(1), Error);
}

}  // namespace
}  // namespace zaya
