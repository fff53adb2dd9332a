// The model that the repository ships: it answers, thinks, and profits from Markovian RSA. What it
// scores is in models/zaya-mini/README.md; these tests take tasks that it is sure of.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/cli/run.h"

namespace zaya {
namespace {

const std::string kModel = ZAYA_SOURCE_DIR "/models/zaya-mini";

TEST(DefaultModel, ThinksAndAnswers) {
  const RunResult r =
      run({"generate", kModel, "--chat", "What is 12 + 25?", "--greedy", "-n", "60"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out.find("2+5+0=7\n1+2+0=3\n37\n"), 0U) << r.out;
  EXPECT_TRUE(contains(r.out, "\\boxed{37}")) << r.out;
}

TEST(DefaultModel, SolvesByMarkovianRsa) {
  const RunResult r = run({"solve",
                           kModel,
                           "What is 648 * 7 + 95 * 6 + 312 * 4 + 573 * 8?",
                           "-T",
                           "2",
                           "-N",
                           "8",
                           "-C",
                           "4",
                           "--beta",
                           "256",
                           "--tau",
                           "256",
                           "--final-tokens",
                           "256",
                           "--seed",
                           "1",
                           "--deterministic",
                           "-q",
                           "--json"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(parse_json(r.out, "solve")["answer"], "10938") << r.out;
}

}  // namespace
}  // namespace zaya
