// The example programs, which know of the library only what is in include/.
#include <string>

#include <gtest/gtest.h>

#include "tests/cli/demo_model.h"

namespace zaya {
namespace {

TEST(Example, CompletePrintsTokensOfBothChoicesAndStatistics) {
  const RunResult r = run({demo_model(), "Once upon a time", "5"}, "", "complete");
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.err, "");
  const auto count = [&](const std::string& part) {
    std::size_t n = 0;
    for (auto at = r.out.find(part); at != std::string::npos; at = r.out.find(part, at + 1)) ++n;
    return n;
  };
  // Two choices, side by side: five tokens each and two lines of statistics.
  EXPECT_EQ(count("\n"), 14U) << r.out;
  EXPECT_EQ(count("0: "), 7U) << r.out;
  EXPECT_EQ(count(": length, 5 tokens; prompt 6, of which shared or cached 0\n"), 1U) << r.out;
  EXPECT_EQ(count(": length, 5 tokens; prompt 6, of which shared or cached 6\n"), 1U) << r.out;
  EXPECT_EQ(count(" s for the output\n"), 2U) << r.out;
}

TEST(Example, CompleteSaysWhatIsWrong) {
  expect_failure(run({"/nowhere", "text"}, "", "complete"), 1, "/nowhere");
  expect_failure(run({demo_model()}, "", "complete"), 2, "usage");
}

}  // namespace
}  // namespace zaya
