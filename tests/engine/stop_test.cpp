#include "engine/stop.h"

#include <vector>

#include <gtest/gtest.h>

namespace zaya {
namespace {

struct Seen {
  std::string text;
  bool stopped = false;
};

// Pushes `text` in two or three pieces.
Seen run(const std::vector<std::string>& stops, const std::string& text, std::size_t first,
         std::size_t second) {
  StopStrings filter(stops);
  Seen seen;
  seen.text += filter.push(text.substr(0, first));
  seen.text += filter.push(text.substr(first, second - first));
  seen.text += filter.push(text.substr(second));
  seen.stopped = filter.stopped();
  seen.text += filter.finish();
  return seen;
}

void expect_at_every_split(const std::vector<std::string>& stops, const std::string& text,
                           const std::string& expected, bool stopped) {
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      const Seen seen = run(stops, text, first, second);
      ASSERT_EQ(seen.text, expected) << first << ' ' << second;
      ASSERT_EQ(seen.stopped, stopped) << first << ' ' << second;
    }
  }
}

TEST(StopStrings, EndTheTextWhereverItIsSplit) {
  expect_at_every_split({"END"}, "abcENDdef", "abc", true);
  expect_at_every_split({"END"}, "abcENEND", "abcEN", true);
  expect_at_every_split({"END"}, "abcEN", "abcEN", false);
  expect_at_every_split({"aab"}, "aaaaab!", "aaa", true);  // the match begins inside a failed one
  expect_at_every_split({"\n\n"}, "a\nb\n\nc", "a\nb", true);
  expect_at_every_split({"\u20ac"}, "5 \u20ac", "5 ", true);
  expect_at_every_split({}, "abc", "abc", false);
}

TEST(StopStrings, TheOneCompleteFirstWins) {
  expect_at_every_split({"long stop", "g s"}, "a long stop", "a lon", true);
  expect_at_every_split({"b", "ab"}, "xxab", "xx", true);  // both end here, one began earlier
  expect_at_every_split({"ab", "b"}, "xxab", "xx", true);
  expect_at_every_split({"abcd", "zz"}, "abczz", "abc", true);
}

TEST(StopStrings, HoldBackOnlyWhatMayBecomeOne) {
  StopStrings filter({"<end>", "e!"});
  EXPECT_EQ(filter.push("text <"), "text ");
  EXPECT_EQ(filter.push("e"), "");
  EXPECT_EQ(filter.push("x"), "<ex");
  EXPECT_EQ(filter.push("e"), "");
  EXPECT_EQ(filter.push(" "), "e ");
  EXPECT_EQ(filter.push("<en"), "");
  EXPECT_EQ(filter.matched(), nullptr);
  EXPECT_EQ(filter.push("d> more"), "");
  ASSERT_NE(filter.matched(), nullptr);
  EXPECT_EQ(*filter.matched(), "<end>");
  EXPECT_EQ(filter.push("more"), "");
  EXPECT_EQ(filter.finish(), "");
}

TEST(StringFinder, ReadsUpToTheMatchAndStartsAgain) {
  StringFinder finder({"</t>"});
  EXPECT_EQ(finder.read("a</t>b"), 5U);
  EXPECT_EQ(finder.read("b"), 0U);
  finder.reset();
  EXPECT_EQ(finder.read("b<"), 2U);
  EXPECT_EQ(finder.pending(), 1U);
  EXPECT_EQ(finder.found(), nullptr);
}

}  // namespace
}  // namespace zaya
