#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/demo_model.h"
#include "tests/cli/run.h"
#include "tests/rsa/fake_endpoint.h"

namespace zaya {
namespace {

std::filesystem::path file(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) /
         ("zaya-eval-" + std::to_string(::getpid()) + "-" + name);
}

std::string dataset() {
  const auto path = file("set.jsonl");
  write_file(path,
             "{\"id\": \"a\", \"problem\": \"What is 1 + 1?\", \"answer\": \"2\"}\n"
             "{\"id\": \"b\", \"problem\": \"What is 1 + 2?\", \"answer\": \"3\"}\n"
             "{\"id\": \"c\", \"problem\": \"What is 2 + 2?\", \"answer\": \"4\"}\n");
  return path.string();
}

std::vector<std::string> eval(const std::vector<std::string>& more) {
  std::vector<std::string> all = {
      "eval", demo_model(), dataset(), "--compute",      "f32", "--deterministic", "--beta",
      "30",   "--tau",      "10",      "--final-tokens", "40",  "--seed",          "3",
      "-q"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(EvalCommand, SingleSamples) {
  const RunResult r = run(eval({"--single", "4", "--json"}));
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const Json json = parse_json(r.out, "stdout");
  EXPECT_EQ(json["name"], "single x 4");
  EXPECT_EQ(json["summary"]["problems"], 3);
  EXPECT_EQ(json["summary"]["candidates"], 4);
  EXPECT_EQ(json["summary"]["pass"].size(), 3U);  // 1, 2, 4
  ASSERT_EQ(json["problems"].size(), 3U);
  EXPECT_EQ(json["problems"][1]["id"], "b");
  EXPECT_EQ(json["problems"][0]["usage"]["calls"], 4);
  EXPECT_LE(json["problems"][0]["usage"]["output_tokens"], 160);
}

TEST(EvalCommand, AggregatesAndComparesInTableAndPlot) {
  const std::string first = file("first").string();
  const std::string second = file("second").string();
  ASSERT_EQ(run(eval({"--single", "2", "--out", first})).exit_code, 0);
  const RunResult r = run(eval({"-T", "1", "-N", "2", "-C", "2", "--out", second, "--name", "mine",
                                "--compare", first + "/results.json"}));
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_TRUE(contains(r.out, "| single x 2 | 3 | 2 |")) << r.out;
  EXPECT_TRUE(contains(r.out, "| mine | 3 | 2 |")) << r.out;
  EXPECT_EQ(read_file(second + "/report.md"), r.out);
  EXPECT_TRUE(contains(read_file(second + "/plot.svg"), "</svg>"));
  EXPECT_TRUE(contains(read_file(second + "/plot.png"), "PNG"));
  EXPECT_EQ(read_json_file(second + "/results.json")["settings"]["rounds"], 1);
}

TEST(EvalCommand, ResumesWithTheSameResult) {
  const std::string journal = file("journal").string();
  std::filesystem::remove(journal);
  const std::vector<std::string> small = {"-T", "1", "-N", "2", "-C", "2", "--json"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = small;
    all.insert(all.end(), more.begin(), more.end());
    return run(eval(all));
  };
  const RunResult whole = with({"--journal", journal});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  // As a kill leaves it: some candidates, and half of a line.
  const std::string text = read_file(journal);
  std::size_t cut = 0;
  for (int i = 0; i < 6; ++i) cut = text.find('\n', cut) + 1;
  write_file(journal, text.substr(0, cut + 20));
  const RunResult resumed = with({"--resume", journal});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  const auto outcome = [](const RunResult& r) {
    Json json = parse_json(r.out, "stdout");
    for (Json& p : json["problems"]) p["usage"].erase("cached_tokens");
    return json;
  };
  EXPECT_EQ(outcome(resumed), outcome(whole));
  expect_failure(run(eval({"--resume", journal, "--instruction", "Other."})), 1, "another run");
}

// A model that writes the right program, a wrong one and a fork bomb (of 100 at most), in turn.
TEST(EvalCommand, RunsProgramsOfAnswers) {
  rsa::test::FakeEndpoint endpoint([](const auto& asked, std::size_t number) {
    if (asked.path == "/v1/models") {
      return rsa::test::FakeEndpoint::Reply{.body = R"({"data": [{"id": "m"}]})"};
    }
    static const std::vector<std::string> programs = {
        "print(sum(map(int, input().split())))", "print(5)",
        "import os, time\nfor i in range(100):\n  if os.fork() == 0:\n    time.sleep(9)\n    "
        "os._exit(0)"};
    const std::string answer = "So:\n```python\n" + programs[number % programs.size()] + "\n```\n";
    return rsa::test::FakeEndpoint::Reply{
        .body = Json{{"choices", {{{"message", {{"content", answer}}}, {"finish_reason", "stop"}}}},
                     {"usage", {{"prompt_tokens", 5}, {"completion_tokens", 9}}}}
                    .dump()};
  });
  const auto path = file("code.jsonl");
  write_file(
      path,
      "{\"id\": \"sum\", \"problem\": \"Add two numbers.\", \"tests\": "
      "[{\"input\": \"1 2\", \"output\": \"3\"}, {\"input\": \"2 3\", \"output\": \"5\"}]}\n");
  const std::vector<std::string> asked = {"eval",
                                          ZAYA_SOURCE_DIR "/models/random-tiny",
                                          path,
                                          "--single",
                                          "6",
                                          "--json",
                                          "-q",
                                          "--endpoint",
                                          endpoint.url() + ",slots=1"};
  const RunResult r = run(asked);
  if (contains(r.err, "cannot be isolated")) {
    expect_failure(r, 1, "sandbox");
    GTEST_SKIP() << r.err;
  }
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const Json json = parse_json(r.out, "stdout");
  EXPECT_EQ(json["problems"][0]["candidates"], 6);
  EXPECT_EQ(json["problems"][0]["right"], 2);
}

TEST(EvalCommand, SaysWhatIsWrong) {
  expect_failure(run({"eval", demo_model()}), 2, "dataset");
  expect_failure(run({"eval", demo_model(), "/no/such.jsonl"}), 1, "/no/such.jsonl");
  expect_failure(run(eval({"--problem-field", "x"})), 2, "--answer-field");
  expect_failure(run(eval({"--fields", "nothing"})), 2, "--fields");
  expect_failure(run(eval({"--fields", "gpqa"})), 1, "Question");
}

}  // namespace
}  // namespace zaya
