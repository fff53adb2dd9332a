#include "rsa/prompts.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya::rsa {
namespace {

TEST(RsaPrompts, BuiltinOnesArePlain) {
  EXPECT_EQ(AggregationPrompt::kinds(),
            (std::vector<std::string>{"choice", "code", "mathematics", "open"}));
  for (const std::string& kind : AggregationPrompt::kinds()) {
    const AggregationPrompt prompt = AggregationPrompt::builtin(kind);
    EXPECT_EQ(prompt.source(),
              read_file(std::string(ZAYA_SOURCE_DIR "/src/rsa/prompts/") + kind + ".jinja"));
    const std::string two = prompt.render("<P & {{ x }}>", {"first\n", " second"}, false);
    // Nothing in the texts is taken for a template or escaped.
    const auto p = two.find("<P & {{ x }}>");
    const auto a = two.find("1 ----\nfirst\n");
    const auto b = two.find("2 ----\n second\n");
    EXPECT_LT(p, a);
    EXPECT_LT(a, b);
    EXPECT_NE(b, std::string::npos) << two;
    EXPECT_EQ(two.find("\n\n\n"), std::string::npos) << two;
    const std::string one = prompt.render("P", {"only"}, true);
    EXPECT_NE(one.find("---- Candidate ----\nonly\n"), std::string::npos) << one;
  }
  EXPECT_THROW(AggregationPrompt::builtin("poetry"), Error);
}

TEST(RsaPrompts, MathematicsToTheByte) {
  EXPECT_EQ(AggregationPrompt::builtin("mathematics").render("1 + 1?", {"A", "B"}, false),
            "Below are a mathematics problem and 2 candidate solutions. Some of them may be wrong, "
            "unfinished, or cut off at their beginning. Take what is sound in them and build one "
            "correct, well-argued solution from it. Think it through step by step. Where the "
            "candidates contradict each other, find out which of them is right; where none of them "
            "is, look for a different way. Do not repeat the problem or the candidates.\n\n"
            "[[ Problem ]]:\n1 + 1?\n\n"
            "[[ Candidate solutions (may contain mistakes) ]]:\n"
            "---- Solution 1 ----\nA\n---- Solution 2 ----\nB\n\n"
            "Now give one improved solution with clear reasoning, and put the final answer in "
            "\\boxed{}.\n");
}

TEST(RsaPrompts, AUsersFileTakesTheirPlace) {
  const auto file = std::filesystem::path(testing::TempDir()) / "zaya-prompt.jinja";
  write_file(file, "{{ problem }}|{% for c in candidates %}{{ c }}/{% endfor %}{{ last }}");
  EXPECT_EQ(AggregationPrompt::load(file.string()).render("P", {"a", "b"}, true), "P|a/b/True");
  write_file(file, "{% if %}");
  EXPECT_THROW(AggregationPrompt::load(file.string()), Error);
  write_file(file, "  \n");
  EXPECT_THROW(AggregationPrompt::load(file.string()).render("P", {"a"}, true), Error);
  std::filesystem::remove(file);
  EXPECT_THROW(AggregationPrompt::load(file.string()), Error);
}

}  // namespace
}  // namespace zaya::rsa
