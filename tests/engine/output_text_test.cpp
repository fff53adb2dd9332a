#include "engine/output_text.h"

#include <gtest/gtest.h>

namespace zaya {
namespace {

struct Shown {
  std::string reasoning = {};
  std::string answer = {};
  bool stopped = false;
  bool inside = false;

  bool operator==(const Shown&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Shown& s) {
  return out << '[' << s.reasoning << "|" << s.answer << (s.stopped ? "] stopped" : "]")
             << (s.inside ? " inside" : "");
}

// Text in pieces; "<think>" and "</think>" as a piece of their own are tag tokens when tags are.
Shown show(const OutputText::Options& options, const std::vector<std::string>& pieces) {
  OutputText text(options);
  Shown shown;
  const auto add = [&](const TextPiece& piece) {
    shown.reasoning += piece.reasoning;
    shown.answer += piece.answer;
  };
  for (const std::string& piece : pieces) {
    if (options.tags_are_tokens && piece == kThinkOpen) {
      add(text.push_tag(OutputText::Tag::open, piece));
    } else if (options.tags_are_tokens && piece == kThinkClose) {
      add(text.push_tag(OutputText::Tag::close, piece));
    } else {
      add(text.push(piece));
    }
  }
  add(text.finish());
  shown.stopped = text.stopped();
  shown.inside = text.inside();
  return shown;
}

void expect_at_every_split(const OutputText::Options& options, const std::string& text,
                           const Shown& expected) {
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      ASSERT_EQ(show(options, {text.substr(0, first), text.substr(first, second - first),
                               text.substr(second)}),
                expected)
          << first << ' ' << second;
    }
  }
}

void expect_stop(const std::vector<std::string>& stops, const std::string& text,
                 const std::string& expected, bool stopped) {
  expect_at_every_split({.stop = stops}, text, {.answer = expected, .stopped = stopped});
}

TEST(OutputText, StopStringsEndItWhereverItIsSplit) {
  expect_stop({"END"}, "abcENDdef", "abc", true);
  expect_stop({"END"}, "abcENEND", "abcEN", true);
  expect_stop({"END"}, "abcEN", "abcEN", false);
  expect_stop({"aab"}, "aaaaab!", "aaa", true);  // the match begins inside a failed one
  expect_stop({"\n\n"}, "a\nb\n\nc", "a\nb", true);
  expect_stop({"\u20ac"}, "5 \u20ac", "5 ", true);
  expect_stop({}, "abc", "abc", false);
}

TEST(OutputText, TheStopStringCompleteFirstWins) {
  expect_stop({"long stop", "g s"}, "a long stop", "a lon", true);
  expect_stop({"b", "ab"}, "xxab", "xx", true);  // both end here, one began earlier
  expect_stop({"ab", "b"}, "xxab", "xx", true);
  expect_stop({"abcd", "zz"}, "abczz", "abc", true);
}

TEST(OutputText, HoldsBackOnlyWhatMayBecomeAStopString) {
  OutputText text({.stop = {"<end>", "e!"}});
  EXPECT_EQ(text.push("text <").answer, "text ");
  EXPECT_EQ(text.push("e").answer, "");
  EXPECT_EQ(text.push("x").answer, "<ex");
  EXPECT_EQ(text.push("e").answer, "");
  EXPECT_EQ(text.push(" ").answer, "e ");
  EXPECT_EQ(text.push("<en").answer, "");
  EXPECT_EQ(text.stop_string(), nullptr);
  EXPECT_EQ(text.push("d> more").answer, "");
  ASSERT_NE(text.stop_string(), nullptr);
  EXPECT_EQ(*text.stop_string(), "<end>");
  EXPECT_EQ(text.push("more").answer, "");
  EXPECT_EQ(text.finish().answer, "");
}

TEST(OutputText, TagTokensSplitReasoningFromAnswer) {
  EXPECT_EQ(show({.inside = true, .split = true}, {"so", " so", "</think>", "\n\nYes"}),
            (Shown{.reasoning = "so so", .answer = "\n\nYes"}));
  EXPECT_EQ(show({.split = true}, {"<think>", "a", "</think>", "b", "<think>", "c"}),
            (Shown{.reasoning = "ac", .answer = "b", .inside = true}));
  // A tag spelled out in other tokens is text where tags are tokens.
  EXPECT_EQ(show({.inside = true, .split = true}, {"a</thi", "nk>b"}),
            (Shown{.reasoning = "a</think>b", .inside = true}));
  // Hidden tags, as decoders leave special tokens out.
  OutputText text({.inside = true, .split = true});
  EXPECT_EQ(text.push("a").reasoning, "a");
  text.push_tag(OutputText::Tag::close, "");
  EXPECT_EQ(text.push("b").answer, "b");
}

TEST(OutputText, WithoutSplittingTagsAreText) {
  EXPECT_EQ(show({}, {"<think>", "a", "</think>", "b"}), (Shown{.answer = "<think>a</think>b"}));
  EXPECT_EQ(show({}, {"<think>", "a"}), (Shown{.answer = "<think>a", .inside = true}));
}

TEST(OutputText, TagsAreFoundInTextWhereTheyAreNoTokens) {
  const OutputText::Options inside = {.inside = true, .split = true, .tags_are_tokens = false};
  expect_at_every_split(inside, "so so</think>Yes", {.reasoning = "so so", .answer = "Yes"});
  expect_at_every_split(inside, "a</thin", {.reasoning = "a</thin", .inside = true});
  const OutputText::Options outside = {.split = true, .tags_are_tokens = false};
  expect_at_every_split(outside, "<think>a</think>b", {.reasoning = "a", .answer = "b"});
  expect_at_every_split({.tags_are_tokens = false}, "<think>a",
                        {.answer = "<think>a", .inside = true});
}

TEST(OutputText, TagsWithinACallAreText) {
  const std::string call = "<zyphra_tool_call>\n<think>x</think></zyphra_tool_call>";
  const OutputText::Options in_text = {.inside = true, .split = true, .tags_are_tokens = false};
  expect_at_every_split(in_text, "a</think>" + call + "<think>b",
                        {.reasoning = "ab", .answer = call, .inside = true});
  // A call in the reasoning does not keep it open.
  expect_at_every_split(in_text, "a<zyphra_tool_call></think>b",
                        {.reasoning = "a<zyphra_tool_call>", .answer = "b"});
  EXPECT_EQ(show({.split = true}, {"<zyphra_tool", "_call>\n", "<think>", "x", "</think>",
                                   "</zyphra_tool_call>", "<think>", "b"}),
            (Shown{.reasoning = "b", .answer = call, .inside = true}));
  // Their spelling is text even where decoding leaves the tokens out.
  OutputText text({.split = true});
  EXPECT_EQ(text.push("<zyphra_tool_call>").answer, "<zyphra_tool_call>");
  EXPECT_EQ(text.push_tag(OutputText::Tag::open, "").answer, "<think>");
  EXPECT_FALSE(text.inside());
}

TEST(OutputText, StopStringsReachOverTags) {
  EXPECT_EQ(show({.stop = {"</think>"}, .inside = true, .split = true}, {"a", "</think>", "b"}),
            (Shown{.reasoning = "a", .stopped = true}));
  EXPECT_EQ(
      show({.stop = {"a</think>b"}, .inside = true, .split = true}, {"xa", "</think>", "b", "c"}),
      (Shown{.reasoning = "x", .stopped = true}));
  EXPECT_EQ(show({.stop = {"a</think>b"}, .inside = true, .split = true}, {"xa", "</think>", "no"}),
            (Shown{.reasoning = "xa", .answer = "no"}));
  // Held back in the middle of a tag, then let go.
  EXPECT_EQ(show({.stop = {"nk>!"}, .inside = true, .split = true}, {"a", "</think>", "b"}),
            (Shown{.reasoning = "a", .answer = "b"}));
  expect_at_every_split({.stop = {"END"}, .inside = true, .split = true, .tags_are_tokens = false},
                        "a</think>bENDc", {.reasoning = "a", .answer = "b", .stopped = true});
}

}  // namespace
}  // namespace zaya
