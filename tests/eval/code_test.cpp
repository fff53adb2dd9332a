// Problems of code: data sets, outputs that are the same, and programs that are run.
#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "eval/code_checker.h"
#include "eval/dataset.h"
#include "eval/metrics.h"
#include "zaya/error.h"

namespace zaya::eval {
namespace {

Item item_of(const std::string& row) {
  const auto path = std::filesystem::path(testing::TempDir()) /
                    fmt::format("zaya-eval-code-{}.jsonl", ::getpid());
  write_file(path, row + "\n");
  return load_dataset(path, {}).at(0);
}

TEST(EvalCodeDataset, ReadsPlainTests) {
  const Item item = item_of(
      R"({"problem": "Add.", "tests": [{"input": "1 2\n", "output": "3\n"}, {"input": "2 2", "output": "4"}]})");
  EXPECT_EQ(item.kind, answers::Kind::code);
  ASSERT_EQ(item.tests.tests.size(), 2U);
  EXPECT_EQ(item.tests.tests[0].input, "1 2\n");
  EXPECT_EQ(item.tests.tests[1].expected, "4");
  EXPECT_TRUE(item.problem.starts_with("Add.\n\n")) << item.problem;
  EXPECT_NE(item.problem.find("standard input"), std::string::npos);
  EXPECT_NE(item.problem.find("```python"), std::string::npos);
  const Item call = item_of(
      R"({"problem": "p", "function": "f", "tests": [{"input": [[1, 2], "x"], "output": {"a": 1}}]})");
  EXPECT_EQ(call.tests.tests[0].input, R"([[1,2],"x"])");
  EXPECT_EQ(call.tests.tests[0].expected, R"({"a":1})");
  // Beside problems of another kind.
  EXPECT_EQ(
      item_of(
          R"({"problem": "p", "answer": "", "kind": "code", "tests": "[{\"input\": \"\", \"output\": \"1\"}]"})")
          .tests.tests[0]
          .expected,
      "1");
}

TEST(EvalCodeDataset, ReadsLiveCodeBench) {
  const Item item = item_of(
      R"({"question_title": "t", "question_content": "Sum.", "question_id": "q1", )"
      R"("starter_code": "class Solution:\n    def f(self, a: List[int], b: int) -> int:\n        ", )"
      R"("metadata": "{\"func_name\": \"f\"}", )"
      R"("public_test_cases": "[{\"input\": \"[1, 2]\\n3\", \"output\": \"6\", \"testtype\": \"functional\"}]", )"
      R"("private_test_cases": "[{\"input\": \"[]\\n0\", \"output\": \"0\", \"testtype\": \"functional\"}]"})");
  EXPECT_EQ(item.id, "q1");
  EXPECT_EQ(item.tests.function, "f");
  ASSERT_EQ(item.tests.tests.size(), 2U);
  EXPECT_EQ(item.tests.tests[0].input, "[[1,2],3]");
  EXPECT_EQ(item.tests.tests[1].expected, "0");
  EXPECT_NE(item.problem.find("class Solution:"), std::string::npos);
}

TEST(EvalCodeDataset, NamesWhatIsWrong) {
  const auto refused = [](const std::string& row, const std::string& part) {
    try {
      item_of(row);
      ADD_FAILURE() << row;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  refused(R"({"problem": "p", "answer": "1", "kind": "code"})", "no tests");
  refused(R"({"problem": "p", "tests": []})", "no tests");
  refused(R"({"problem": "p", "tests": 5})", "list of tests");
  refused(R"({"problem": "p", "tests": "[1]"})", "tests");
  refused(R"({"problem": "p", "tests": [{"input": "1"}]})", "output");
  refused(R"({"problem": "p", "tests": [{"input": 1, "output": "1"}]})", "input");
  refused(R"({"problem": "p", "function": "f", "tests": [{"input": 1, "output": 1}]})", "list");
  refused(R"({"problem": "p", "language": "cobol", "tests": [{"input": "", "output": ""}]})",
          "cobol");
}

TEST(EvalCode, ComparesOutputs) {
  EXPECT_TRUE(same_output("1 2\n3\n", "1 2\n3"));
  EXPECT_TRUE(same_output("1 2\n3\n", "1  2 \r\n3 \n\n"));
  EXPECT_TRUE(same_output("1.50", "1.5"));
  EXPECT_TRUE(same_output("-0.0 7", "0 007.000"));
  EXPECT_TRUE(same_output("", "\n\n"));
  EXPECT_FALSE(same_output("1 2", "1\n2"));
  EXPECT_FALSE(same_output("1\n\n2", "1\n2"));
  EXPECT_FALSE(same_output("YES", "Yes"));
  EXPECT_FALSE(same_output("1", "1 1"));
  EXPECT_FALSE(same_output("1.5", "1.500001"));
  EXPECT_FALSE(same_output("9007199254740993", "9007199254740992"));
  EXPECT_FALSE(same_output("1", "-1"));
  EXPECT_FALSE(same_output("1", ""));
  EXPECT_FALSE(same_output(".", "0"));
  EXPECT_TRUE(same_value("[1, 2]", "[1.0,2]"));
  EXPECT_TRUE(same_value(R"({"a":1,"b":2})", R"({"b":2,"a":1})"));
  EXPECT_FALSE(same_value("[1,2]", "[2,1]"));
  EXPECT_FALSE(same_value("1", "\"1\""));
  EXPECT_FALSE(same_value("1", "NaN"));
  EXPECT_FALSE(same_value("1", ""));
}

class EvalCodeChecker : public testing::Test {
 protected:
  void SetUp() override {
    try {
      checker_.emplace(sandbox::Limits{.cpu_seconds = 2, .wall_seconds = 60});
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();
    }
  }
  CodeVerdict check(const std::string& program, const CodeTests& tests) {
    return checker_->check(program, tests);
  }

  std::optional<CodeChecker> checker_;
  const CodeTests sum_ = {.tests = {{"1 2\n", "3\n"}, {"20 22\n", "42\n"}}};
};

TEST_F(EvalCodeChecker, RunsPrograms) {
  const CodeVerdict right = check("print(sum(map(int, input().split())))", sum_);
  EXPECT_TRUE(right.right) << right.why;
  EXPECT_EQ(right.passed, 2U);
  const CodeVerdict wrong = check("print(3)", sum_);
  EXPECT_FALSE(wrong.right);
  EXPECT_EQ(wrong.passed, 1U);
  EXPECT_EQ(wrong.why, "wrong");
  EXPECT_EQ(check("print(3", sum_).why, "exited");
  EXPECT_EQ(check("print(3)\nraise SystemExit(1)", sum_).why, "exited");
  EXPECT_EQ(check("import time\nwhile time.process_time() < 20: pass", sum_).why, "cpu_time");
  EXPECT_EQ(check("", sum_).why, "wrong");
}

TEST_F(EvalCodeChecker, CallsFunctions) {
  const CodeTests tests = {.function = "f", .tests = {{"[[1,2],3]", "[6]"}, {"[[],0]", "[0]"}}};
  EXPECT_TRUE(check("def f(a, b):\n  return [sum(a) + b]", tests).right);
  EXPECT_TRUE(check("class Solution:\n"
                    "  def f(self, a: List[int], b: int) -> List[int]:\n"
                    "    print('[7]')\n"
                    "    return (sum(a) + b,)\n",
                    tests)
                  .right);
  EXPECT_TRUE(check("def f(a, b): return [reduce(lambda x, y: x + y, a, b)]", tests).right);
  EXPECT_EQ(check("def g(a, b): return [sum(a) + b]", tests).why, "exited");
  EXPECT_EQ(check("def f(a, b): return sum(a) + b", tests).why, "wrong");
  EXPECT_EQ(check("def f(a, b): return {1, 2}", tests).why, "exited");
  EXPECT_EQ(check("def f(a, b): return float('nan')", tests).why, "wrong");
}

// What is expected is nowhere to be read.
TEST_F(EvalCodeChecker, ShowsNoAnswers) {
  EXPECT_FALSE(check("import os, sys\n"
                     "seen = sys.stdin.read() + ' '.join(sys.argv) + str(dict(os.environ))\n"
                     "for folder in ('/program', '/scratch', '/'):\n"
                     "  for name in os.listdir(folder):\n"
                     "    try: seen += open(folder + '/' + name).read()\n"
                     "    except OSError: pass\n"
                     "print('4' + '2' if '4' + '2' in seen else 'not seen')",
                     {.tests = {{"question", "42"}}})
                   .right);
}

TEST_F(EvalCodeChecker, UnpacksPrivateTests) {
  // By Python: base64(zlib(pickle(json.dumps([{"input": "1", "output": "2"}])))).
  const Item item =
      item_of(R"({"question_content": "p", "question_id": "1", "public_test_cases": "[]", )"
              R"("private_test_cases": ")"
              "eJxrYJmqzAABPfLR1UqZeQWlJUpWCkqGSjoKSvmlJVCukVJt7BQ9APfMC64="
              R"("})");
  ASSERT_EQ(item.tests.tests.size(), 1U);
  EXPECT_EQ(item.tests.tests[0].expected, "2");
  // A pickle that would run a command, and what is no pickle.
  EXPECT_THROW(
      item_of(
          R"({"question_content": "p", "public_test_cases": "[]", )"
          R"("private_test_cases": ")"
          "eJxrYJlqyAABPawF+cWZFVN62Iori0tSc6dMntIjVpJfmpyhoF+SW6BflViZqFuQmZydkzqldUrQFD0AQIUVRA=="
          R"("})"),
      Error);
  EXPECT_FALSE(std::filesystem::exists("/tmp/zaya-pickle"));
  EXPECT_THROW(item_of(R"({"question_content": "p", "public_test_cases": "nonsense"})"), Error);
}

TEST_F(EvalCodeChecker, ScoresCandidates) {
  Item item{.id = "1", .problem = "p", .answer = {}, .kind = answers::Kind::code, .tests = sum_};
  rsa::Result result;
  result.stages.resize(1);
  const std::string right = "print(sum(map(int, input().split())))";
  for (const std::string& program : {right, std::string("print(3)"), right, std::string()}) {
    rsa::Candidate c{.slot = result.stages[0].size()};
    if (!program.empty()) c.answer = program;
    result.stages[0].push_back(c);
  }
  result.votes = rsa::count_votes(result.stages[0], {});
  result.chosen = 0;
  const Score s = score(item, result, &*checker_);
  EXPECT_EQ(s.candidates, 4U);
  EXPECT_EQ(s.right, 2U);
  EXPECT_TRUE(s.majority_right);
  EXPECT_TRUE(s.chosen_right);
}

}  // namespace
}  // namespace zaya::eval
