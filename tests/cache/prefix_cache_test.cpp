// Pages within a budget, and the prefix cache against a plain search.
#include "cache/prefix_cache.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "model/adapter.h"
#include "tests/checkpoint/adapter_files.h"
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

struct AdapterCache : Cache {
  static ModelConfig four_layers() {
    ModelConfig c = tiny_config();
    c.layers = 4;
    c.experts = 1;
    c.sliding.assign(c.layers, false);
    return c;
  }
  AdapterCache() {
    config = four_layers();
    layout = StateLayout(config, KvFormat::f32);
    tail = std::make_shared<const std::vector<float>>(layout.layers() * layout.tail_floats());
  }
  ~AdapterCache() override { std::filesystem::remove_all(folder); }

  /// One that changes K and V from a layer on.
  std::shared_ptr<const Adapter> adapter(std::size_t layer) {
    AdapterFiles files;
    files.config["target_modules"] = nullptr;
    files.add_layer(config, Layout::native, layer, {Projection::k}, 1);
    files.write(folder);
    return std::make_shared<const Adapter>(AdapterFile(folder, config, Layout::native), config,
                                           Compute::f32);
  }
  Sequence computed(const std::vector<TokenId>& tokens, std::shared_ptr<const Adapter> with) {
    Sequence out(layout, pool, tail, std::move(with));
    out.begin_step(tokens.size());
    out.end_step(tokens);
    return out;
  }

  std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "zaya-adapter-cache";
};

std::vector<TokenId> counting(std::size_t count, TokenId last = 0) {
  std::vector<TokenId> out(count);
  std::iota(out.begin(), out.end(), TokenId{1});
  if (last != 0) out.back() = last;
  return out;
}

TEST_F(AdapterCache, FindsOnlyWhatTheSameAdapterComputed) {
  const auto a = adapter(0);
  const auto b = adapter(0);
  PrefixCache cache(8, kReplay);
  const auto tokens = counting(50);
  cache.insert(computed(tokens, a));
  EXPECT_FALSE(cache.find(tokens));
  EXPECT_FALSE(cache.find(tokens, b.get()));
  ASSERT_TRUE(cache.find(tokens, a.get()));
  EXPECT_EQ(cache.find(tokens, a.get())->sequence.adapter(), a);
  cache.insert(computed(tokens, nullptr));
  EXPECT_EQ(cache.size(), 2U) << "the same tokens of two adapters";
  EXPECT_EQ(cache.find(tokens)->sequence.adapter(), nullptr);
  cache.drop(b.get());
  EXPECT_EQ(cache.size(), 2U);
  cache.drop(a.get());
  EXPECT_EQ(cache.size(), 1U);
  EXPECT_FALSE(cache.find(tokens, a.get()));
  EXPECT_TRUE(cache.find(tokens));
  while (cache.evict()) {
  }
  EXPECT_EQ(pool->pages_in_use(), 0U);
}

TEST_F(AdapterCache, LayersThatTwoAdaptersLeaveAloneAreShared) {
  const auto early = adapter(1);
  const auto late = adapter(3);
  PrefixCache cache(8, kReplay);
  const auto tokens = counting(5 * kPage + 3);
  const auto known = [&](const Adapter* of, std::size_t have, std::size_t length = 5 * kPage + 3) {
    const KnownPrefix prefix = cache.find_known(std::span(tokens).first(length), of, have);
    const std::size_t pages = prefix.pages.empty() ? 0 : prefix.pages.front().size();
    EXPECT_EQ(prefix.tokens.size(), pages * kPage);
    return std::pair(prefix.pages.size(), pages);
  };
  using Shared = std::pair<std::size_t, std::size_t>;  // layers, pages
  EXPECT_EQ(known(late.get(), 0), (Shared{0, 0}));
  cache.insert(computed(counting(3 * kPage, 9), nullptr));
  EXPECT_EQ(known(late.get(), 0), (Shared{3, 2})) << "whole pages of what is common";
  EXPECT_EQ(known(early.get(), 0), (Shared{1, 2}));
  EXPECT_EQ(known(nullptr, 0), (Shared{0, 0})) << "its own tree is find()'s";
  EXPECT_EQ(known(late.get(), kPage), (Shared{3, 2}));
  EXPECT_EQ(known(late.get(), 2 * kPage + 5), (Shared{0, 0})) << "it has as much";
  EXPECT_EQ(known(late.get(), 0, kPage + 4), (Shared{3, 1}));
  // Of another adapter: what both leave alone, where that saves more.
  cache.insert(computed(tokens, early));
  EXPECT_EQ(known(late.get(), 0), (Shared{3, 2})) << "6 pages rather than 5";
  EXPECT_EQ(known(late.get(), kPage), (Shared{1, 5})) << "4 more rather than 3";
  EXPECT_EQ(known(nullptr, 0), (Shared{1, 5}));
}

TEST_F(AdapterCache, AnAdoptedPrefixTakesNoPagesAndIsNotWritten) {
  const auto late = adapter(3);
  const auto tokens = counting(4 * kPage);
  const Sequence base = computed(tokens, nullptr);
  const std::size_t before = pool->pages_in_use();
  const std::size_t page = layout.page_bytes(0);
  Sequence other(layout, pool, tail, late);
  other.adopt(base.known_prefix(3, 3 * kPage + 1));
  EXPECT_EQ(pool->pages_in_use(), before);
  EXPECT_EQ(other.bytes_for_step(2 * kPage), 2 * page) << "of the last layer only";
  EXPECT_EQ(other.bytes_for_step(4 * kPage), (4 + 3) * page);
  const SequenceView view = other.begin_step(kPage + 5);
  EXPECT_EQ(pool->pages_in_use(), before + 2);
  EXPECT_FALSE(view.writes(0, 0));
  EXPECT_FALSE(view.writes(2, 3 * kPage - 1));
  EXPECT_TRUE(view.writes(2, 3 * kPage));
  EXPECT_TRUE(view.writes(3, 0));
  other.end_step(std::span(tokens).first(kPage + 5));
  // A part full page that is known is not copied; a fork may go on otherwise, and copies.
  EXPECT_EQ(other.bytes_for_step(1), 0U);
  Sequence fork = other.fork();
  EXPECT_EQ(fork.bytes_for_step(1), 4 * page);
  EXPECT_TRUE(fork.begin_step(1).writes(0, kPage + 5));
  // Neither does a roll-back keep the promise.
  Sequence back = other.fork();
  back.begin_rollback(kPage);
  back.end_rollback();
  EXPECT_EQ(back.bytes_for_step(1), 4 * page);
  // Other tokens than those that were adopted are refused.
  other.begin_step(1);
  const std::vector<TokenId> wrong{99};
  EXPECT_THROW(other.end_step(wrong), Error);
}

TEST_F(AdapterCache, AnAdoptedPrefixReplacesAPartFullPage) {
  const auto late = adapter(3);
  const auto tokens = counting(3 * kPage);
  const Sequence base = computed(tokens, nullptr);
  Sequence other = computed(counting(kPage + 7), late);
  const std::size_t before = pool->pages_in_use();
  other.adopt(base.known_prefix(3, 3 * kPage));
  EXPECT_EQ(pool->pages_in_use(), before - 3) << "its own second page of three layers";
  EXPECT_FALSE(other.begin_step(1).writes(0, kPage + 7));
  other.cancel_step();
  other.begin_step(2 * kPage - 7);
  other.end_step(std::span(tokens).subspan(kPage + 7));
  EXPECT_TRUE(other.begin_step(1).writes(0, 3 * kPage)) << "its own again";
}

}  // namespace
}  // namespace zaya
