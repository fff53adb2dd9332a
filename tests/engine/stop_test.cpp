#include "engine/stop.h"

#include <gtest/gtest.h>

#include "zaya/request.h"

namespace zaya {
namespace {

TEST(StringFinder, ReadsUpToTheMatchAndStartsAgain) {
  StringFinder finder({"</t>", ""});
  EXPECT_EQ(finder.read("a</t>b"), 5U);
  ASSERT_NE(finder.found(), nullptr);
  EXPECT_EQ(*finder.found(), "</t>");
  EXPECT_EQ(finder.read("b"), 0U);
  finder.reset();
  EXPECT_EQ(finder.read("b<"), 2U);
  EXPECT_EQ(finder.pending(), 1U);
  EXPECT_EQ(finder.found(), nullptr);
}

TEST(StringFinder, PendingIsTheLongestPossibleBeginning) {
  StringFinder finder({"abab!", "b"});
  StringFinder borders({"ababc"});
  borders.read("ababab");
  EXPECT_EQ(borders.pending(), 4U);
  borders.read("c");
  EXPECT_NE(borders.found(), nullptr);
  finder.read("a");
  EXPECT_EQ(finder.pending(), 1U);
}

TEST(FinishReason, HasOpenAisNames) {
  EXPECT_STREQ(finish_reason_name(FinishReason::stop), "stop");
  EXPECT_STREQ(finish_reason_name(FinishReason::length), "length");
  EXPECT_STREQ(finish_reason_name(FinishReason::cancelled), "cancelled");
}

}  // namespace
}  // namespace zaya
