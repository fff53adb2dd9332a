#include <gtest/gtest.h>

#include "answers/answers.h"
#include "zaya/error.h"

namespace zaya::answers {
namespace {

std::string mathematics(const char* text) {
  return extract(text, Kind::mathematics).value_or("(none)");
}

TEST(AnswersExtract, TheLastBoxThatIsClosed) {
  EXPECT_EQ(mathematics("so \\boxed{5}"), "5");
  EXPECT_EQ(mathematics("first \\boxed{1}, no: $\\boxed{\\frac{1}{2}}$."), "\\frac{1}{2}");
  EXPECT_EQ(mathematics("\\boxed{\\{1, 2\\}}"), "\\{1, 2\\}");
  EXPECT_EQ(mathematics("\\boxed{ 5 }"), "5");
  EXPECT_EQ(mathematics("\\fbox{7}"), "7");
  EXPECT_EQ(mathematics("\\boxed 7 is it"), "7");
  EXPECT_EQ(mathematics("\\boxed{3} and then \\boxed{4"), "3");
  EXPECT_EQ(mathematics("\\boxed{3} and then \\boxed{}"), "3");
  EXPECT_EQ(mathematics("\\boxed{x = \\text{a } \\boxed{b}}"), "b");
  EXPECT_EQ(mathematics("\\boxed"), "(none)");
}

TEST(AnswersExtract, TagsAndWordsWhereThereIsNoBox) {
  EXPECT_EQ(mathematics("<answer>1</answer> no <answer> 2 </answer>"), "2");
  EXPECT_EQ(mathematics("<answer>1</answer> \\boxed{3}"), "3");
  EXPECT_EQ(mathematics("The answer is 3.5. Done"), "3.5");
  EXPECT_EQ(mathematics("Answer: 12"), "12");
  EXPECT_EQ(mathematics("**Final Answer:** 12\n"), "12");
  EXPECT_EQ(mathematics("**Final Answer**\n\nthe answer is $\\frac12$."), "$\\frac12$");
  EXPECT_EQ(mathematics("It is 5, I think\n#### 72"), "72");
  EXPECT_EQ(mathematics("The answer is 1. Wait: the answer is 2"), "2");
  EXPECT_EQ(mathematics("there is none"), "(none)");
  EXPECT_EQ(mathematics(""), "(none)");
  EXPECT_EQ(mathematics("the answer is"), "(none)");
  EXPECT_EQ(mathematics("<answer></answer>"), "(none)");
}

TEST(AnswersExtract, Letters) {
  const auto letter = [](const char* text) {
    return extract(text, Kind::choice).value_or("(none)");
  };
  EXPECT_EQ(letter("\\boxed{C}"), "C");
  EXPECT_EQ(letter("\\boxed{\\text{(D) } 5}"), "D");
  EXPECT_EQ(letter("\\boxed{\\text{C}}"), "C");
  EXPECT_EQ(letter("The answer is (B)."), "B");
  EXPECT_EQ(letter("Answer: B) the second"), "B");
  EXPECT_EQ(letter("I weigh them all.\nA"), "A");
  EXPECT_EQ(letter("I weigh them all.\nA cat."), "(none)");
  EXPECT_EQ(letter("nothing"), "(none)");
}

TEST(AnswersExtract, TheLastWholeBlockOfCode) {
  const auto code = [](const char* text) { return extract(text, Kind::code).value_or("(none)"); };
  EXPECT_EQ(code("```python\nprint(1)\n```\nor\n```\nprint(2)\nprint(3)\n```\n"),
            "print(2)\nprint(3)\n");
  EXPECT_EQ(code("```python\nprint(1)\n```\n```python\nprint("), "print(1)\n");
  EXPECT_EQ(code("print(1)"), "(none)");
  EXPECT_EQ(code("```\n```"), "");
}

TEST(AnswersExtract, KindsHaveNames) {
  for (const Kind kind : {Kind::mathematics, Kind::choice, Kind::code, Kind::text}) {
    EXPECT_EQ(parse_kind(kind_name(kind)), kind);
  }
  EXPECT_THROW(parse_kind("maths"), Error);
}

}  // namespace
}  // namespace zaya::answers
