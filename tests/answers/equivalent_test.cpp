#include <chrono>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "answers/answers.h"
#include "base/file.h"

namespace zaya::answers {
namespace {

// Hand-made, by the definition of equivalent(): tests/data/answers/pairs.tsv.
TEST(Answers, HandMadePairs) {
  std::istringstream lines(read_file(ZAYA_TEST_DATA "/answers/pairs.tsv"));
  int same = 0;
  int different = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    const auto tab = line.find('\t', 2);
    ASSERT_NE(tab, std::string::npos) << line;
    const std::string a = line.substr(2, tab - 2);
    const std::string b = line.substr(tab + 1);
    const bool want = line[0] == '=';
    (want ? same : different) += 1;
    EXPECT_EQ(equivalent(a, b, Kind::mathematics), want) << a << "   with   " << b;
    EXPECT_EQ(equivalent(b, a, Kind::mathematics), want) << b << "   with   " << a;
    EXPECT_TRUE(a.empty() || !want || equivalent(a, a, Kind::mathematics)) << a;
  }
  EXPECT_GE(same, 200);
  EXPECT_GE(different, 180);
  EXPECT_GE(same + different, 400);
}

TEST(Answers, OptionsAreLetters) {
  for (const char* b : {"B", "b", "(B)", "B.", "B)", "\\text{B}", "\\textbf{(B)}", "**B**", "B) 42",
                        "(B) a cat", "option B", "$B$"}) {
    EXPECT_TRUE(equivalent("B", b, Kind::choice)) << b;
    EXPECT_FALSE(equivalent("C", b, Kind::choice)) << b;
  }
  EXPECT_FALSE(equivalent("B", "BC", Kind::choice));
  EXPECT_FALSE(equivalent("A", "A cat", Kind::choice));
  EXPECT_FALSE(equivalent("", "", Kind::choice));
}

TEST(Answers, TextAndCodeAreComparedAsSuch) {
  EXPECT_TRUE(equivalent("The  Cat.", "the cat", Kind::text));
  EXPECT_FALSE(equivalent("1/2", "0.5", Kind::text));
  EXPECT_TRUE(equivalent("a\n", "a\n", Kind::code));
  EXPECT_FALSE(equivalent("a", "A", Kind::code));
}

// Nothing that a model may write takes long.
TEST(Answers, HostileTextsTakeBoundedTime) {
  const auto many = [](const std::string& piece, std::size_t n) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += piece;
    return out;
  };
  const std::vector<std::string> texts = {many("(", 100'000),
                                          many("9", 100'000),
                                          many("9", 3'900),
                                          many("9^", 1000) + "9",
                                          many("\\sqrt{", 1000) + "2" + many("}", 1000),
                                          many("x+", 1500) + "x",
                                          "2" + many("!", 900),
                                          many("\\sin(", 40) + "10^{99999}" + many(")", 40),
                                          many("\\gamma! + ", 200) + "1",
                                          many("1,", 1500),
                                          "\\{" + many("x,", 1000) + "1\\}",
                                          many("\\pm 1", 300),
                                          many("{", 50),
                                          many("\\frac{", 2000),
                                          many("\\text{", 2000),
                                          many("\\boxed{", 50'000),
                                          many("\\begin{pmatrix}", 100),
                                          many("a_", 900),
                                          many("|", 900),
                                          many("e^", 500) + "x",
                                          many("\\binom{n}{", 50) + "k" + many("}", 50),
                                          "1e99999",
                                          "1e-99999",
                                          "9999999999!",
                                          many("\\pm x+", 200) + "1",
                                          many("(1,2) \\cup", 200) + "(3,4)"};
  for (const std::string& text : texts) {
    const auto begin = std::chrono::steady_clock::now();
    (void)equivalent(text, "x+1", Kind::mathematics);
    (void)equivalent(text, text + "+x", Kind::mathematics);
    (void)extract(text, Kind::mathematics);
    (void)extract(text, Kind::choice);
    (void)extract(text, Kind::code);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    // Most take milliseconds. A loaded machine is slow; without bounds some would never end.
    EXPECT_LT(seconds.count(), 20.0) << text.substr(0, 60);
  }
}

// No reading makes sense of these; equal texts are equal answers all the same.
TEST(Answers, TextsWithoutMeaning) {
  EXPECT_TRUE(equivalent("*, *", "*, *", Kind::mathematics));
  EXPECT_FALSE(equivalent("*, *", "*, +", Kind::mathematics));
  EXPECT_FALSE(equivalent("", "", Kind::mathematics));
}

}  // namespace
}  // namespace zaya::answers
