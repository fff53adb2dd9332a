// What is drafted, and when: the index of repetitions against a plain search, and its cost.
#include "engine/drafter.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace zaya {
namespace {

/// The longest run at the end that stood in the text before, and where it ended last.
std::pair<std::size_t, std::size_t> plain_search(const std::vector<TokenId>& text) {
  for (std::size_t run = PromptLookup::kMost; run >= PromptLookup::kLeast; --run) {
    for (std::size_t end = text.size() - 1; end >= run && text.size() > run; --end) {
      if (std::equal(text.end() - static_cast<long>(run), text.end(),
                     text.begin() + static_cast<long>(end - run))) {
        return {run, end};
      }
    }
  }
  return {0, 0};
}

TEST(PromptLookup, FindsWhatAPlainSearchFinds) {
  for (const std::size_t kinds : {1, 2, 3, 10, 100}) {
    Random random(5, kinds);
    PromptLookup lookup;
    std::vector<std::size_t> matches(PromptLookup::kMost + 1);
    for (int i = 0; i < 1500; ++i) {
      lookup.append(static_cast<TokenId>(random.next() % kinds));
      const std::vector<TokenId>& text = lookup.tokens();
      const auto [run, end] = plain_search(text);
      ASSERT_EQ(lookup.match(), run) << "of " << kinds << " tokens, at " << i;
      ++matches[run];
      for (std::size_t j = 0; run > 0 && j < 5; ++j) {
        const TokenId want =
            end + j < text.size() ? text[end + j] : lookup.next(end + j - text.size());
        ASSERT_EQ(lookup.next(j), want);
      }
    }
    EXPECT_GT(kinds < 100 ? matches[PromptLookup::kMost] + matches[4] : matches[2], 10U);
  }
}

TEST(PromptLookup, WhatIsNotWrittenYetRepeats) {
  PromptLookup lookup;
  for (const TokenId t : {7, 1, 2, 3, 1, 2, 3, 1, 2}) lookup.append(t);
  ASSERT_EQ(lookup.match(), 5U);
  std::vector<TokenId> next(7);
  for (std::size_t i = 0; i < next.size(); ++i) next[i] = lookup.next(i);
  EXPECT_EQ(next, (std::vector<TokenId>{3, 1, 2, 3, 1, 2, 3}));
}

// A rescan for every token would take minutes here. The bound is fifty times what it takes.
TEST(PromptLookup, ALongTextCostsNoMoreATokenThanAShortOne) {
  const auto start = std::chrono::steady_clock::now();
  Random random(6);
  PromptLookup lookup;
  for (int i = 0; i < 300000; ++i) lookup.append(static_cast<TokenId>(random.next() % 100));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 20.0);
  EXPECT_GT(lookup.match(), 0U);
}

/// How drafting a text fared: every step gives what was right of its draft and a token more.
struct Fared {
  std::size_t drafted = 0;
  std::size_t right = 0;
  std::size_t steps = 0;
};
Fared speculate(Drafter& drafter, const std::vector<TokenId>& text) {
  Fared fared;
  for (std::size_t at = 0; at < text.size(); ++fared.steps) {
    const std::vector<TokenId> draft = drafter.draft(text.size() - at - 1);
    std::size_t right = 0;
    while (right < draft.size() && draft[right] == text[at + right]) ++right;
    for (std::size_t i = 0; i <= right; ++i) drafter.append(text[at + i]);
    at += right + 1;
    fared.drafted += draft.size();
    fared.right += right;
  }
  return fared;
}

std::vector<TokenId> noise(std::uint64_t seed, std::size_t count, std::size_t kinds) {
  Random random(seed);
  std::vector<TokenId> out(count);
  for (TokenId& t : out) t = static_cast<TokenId>(random.next() % kinds);
  return out;
}

TEST(Drafter, DraftsWholeCopiesAndLeavesNoiseAlone) {
  const std::vector<TokenId> source = noise(1, 2000, 500);
  Drafter drafter(16, source);
  const Fared copied = speculate(drafter, source);
  EXPECT_LT(copied.steps, 2000U / 12) << "drafts grow while they are right";
  EXPECT_GT(copied.right, copied.drafted * 9 / 10);
  // Of few tokens pairs repeat all the time, and tell nothing.
  const Fared wild = speculate(drafter, noise(2, 2000, 20));
  EXPECT_LT(wild.drafted, 100U) << "it stops where drafts are wrong";
  const Fared again = speculate(drafter, source);
  EXPECT_LT(again.steps, 2000U / 8) << "and begins again where they are right";
}

TEST(Drafter, KeepsToItsBounds) {
  Drafter drafter(5, {});
  EXPECT_TRUE(drafter.draft(5).empty());
  for (int i = 0; i < 100; ++i) drafter.append(i % 3);
  EXPECT_EQ(drafter.draft(100), (std::vector<TokenId>{1, 2, 0, 1, 2}));
  EXPECT_EQ(drafter.draft(2), (std::vector<TokenId>{1, 2}));
  EXPECT_TRUE(drafter.draft(0).empty());
  Drafter none(0, {});
  for (int i = 0; i < 100; ++i) none.append(i % 3);
  EXPECT_TRUE(none.draft(100).empty());
}

}  // namespace
}  // namespace zaya
