#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/demo_model.h"
#include "tests/cli/pseudo_terminal.h"
#include "tests/cli/run.h"

namespace zaya {
namespace {

// A small run whose bits depend on nothing but its seed.
std::vector<std::string> small_run(std::vector<std::string> more) {
  std::vector<std::string> all = {"solve", demo_model(), "--compute", "f32", "--deterministic"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
const std::vector<std::string> kSmall = {
    "What is 1 + 1?", "-T", "1",      "-N", "3", "-C", "2", "--beta", "40", "--tau", "10",
    "--final-tokens", "50", "--seed", "7"};

std::vector<std::string> with(std::vector<std::string> list, const std::vector<std::string>& more) {
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

std::filesystem::path file(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) /
         ("zaya-solve-" + std::to_string(::getpid()) + "-" + name);
}

// What a run came to, without times.
Json outcome(const Json& json) {
  Json out = {json["stages"], json["usage"]["output_tokens"], json["chosen"], json["text"]};
  for (Json& stage : out[0]) {
    stage.erase("usage");
    for (Json& candidate : stage["candidates"]) {
      for (const char* key : {"seconds", "cached_tokens"}) candidate.erase(key);
    }
  }
  return out;
}

std::vector<Json> lines_of(const std::filesystem::path& path) {
  std::vector<Json> out;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) out.push_back(parse_json(line, "line"));
  return out;
}

TEST(SolveCommand, PrintsOneJsonObject) {
  const RunResult r = run(small_run(with(kSmall, {"--json"})));
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const Json json = parse_json(r.out, "stdout");
  EXPECT_EQ(json["stages"].size(), 2U);
  EXPECT_EQ(json["stages"][1]["candidates"].size(), 3U);
  EXPECT_EQ(json["stages"][1]["candidates"][0]["sources"].size(), 2U);
  EXPECT_EQ(json["usage"]["calls"], 6);
  EXPECT_EQ(json["settings"]["rounds"], 1);
  EXPECT_EQ(json["settings"]["seed"], 7);
  EXPECT_EQ(json["stopped"], false);
  EXPECT_LE(json["largest_context"], json["context_bound"]);
  EXPECT_GT(json["kv"]["peak_bytes"], 0);
  EXPECT_LE(json["kv"]["peak_bytes"], json["kv"]["forecast_bytes"]);
  EXPECT_TRUE(json["text"].is_string());
  // The forecast comes first, a line for each stage, what it came to last.
  EXPECT_TRUE(contains(r.err, "T=1 N=3 C=2 beta=40 tau=10"));
  EXPECT_TRUE(contains(r.err, "at most 270 tokens"));
  EXPECT_TRUE(contains(r.err, "zaya: stage 1 of 1: 3 candidates"));
  EXPECT_TRUE(contains(r.err, "longest context"));
}

TEST(SolveCommand, SameSeedSameRunWhereverTheProblemComesFrom) {
  const auto solve = [](std::vector<std::string> arguments, const std::string& input = {}) {
    const RunResult r = run(small_run(with(std::move(arguments), {"--json", "-q"})), input);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(r.err, "");
    return outcome(parse_json(r.out, "stdout"));
  };
  const Json first = solve(kSmall);
  std::vector<std::string> rest(kSmall.begin() + 1, kSmall.end());
  EXPECT_EQ(solve(rest, kSmall[0]), first);
  write_file(file("problem"), kSmall[0]);
  EXPECT_EQ(solve(with(rest, {"--file", file("problem").string()})), first);
  EXPECT_EQ(solve(with(kSmall, {"--slots", "1"})), first);
  rest.back() = "8";
  EXPECT_NE(solve(rest, kSmall[0]), first);
  EXPECT_NE(solve(with(kSmall, {"--system", "Be brief."})), first);
}

TEST(SolveCommand, TraceKeepsPromptsAndTexts) {
  const RunResult r =
      run(small_run(with(kSmall, {"--json", "-q", "--trace", file("trace").string()})));
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const std::vector<Json> trace = lines_of(file("trace"));
  ASSERT_EQ(trace.size(), 6U + 6U + 2U + 1U);
  int aggregations = 0;
  for (const Json& event : trace) {
    if (event["event"] != "started" || event["stage"] != 1) continue;
    const auto prompt = event["messages"][0]["content"].get<std::string>();
    EXPECT_TRUE(contains(prompt, "[[ Problem ]]:\nWhat is 1 + 1?\n")) << prompt;
    EXPECT_TRUE(contains(prompt, "---- Solution 2 ----\n"));
    ++aggregations;
  }
  EXPECT_EQ(aggregations, 3);
  EXPECT_EQ(trace.back()["event"], "problem_done");
}

TEST(SolveCommand, ResumesAfterBeingKilled) {
  const std::vector<std::string> longer = {
      "Count.",         "-T",  "2",      "-N", "3",  "-C",    "2", "--beta", "150", "--tau", "30",
      "--final-tokens", "150", "--seed", "3",  "-q", "--json"};
  const RunResult whole = run(small_run(longer));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const Json want = outcome(parse_json(whole.out, "stdout"));
  const std::string journal = file("journal").string();
  std::filesystem::remove(journal);
  // Killed when so many candidates are in the journal; then again.
  int kills = 0;
  for (const std::size_t lines : {3U, 7U}) {
    std::vector<std::string> arguments =
        small_run(kills == 0 ? with(longer, {"--journal", journal})
                             : std::vector<std::string>{"--resume", journal, "-q", "--json"});
    arguments.insert(arguments.begin(), ZAYA_BUILD_DIR "/bin/zaya");
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    int status = 0;
    for (;;) {
      if (::waitpid(child, &status, WNOHANG) == child) break;
      const std::string text = std::filesystem::exists(journal) ? read_file(journal) : "";
      if (static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) >= lines) {
        ::kill(child, SIGKILL);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    if (WIFSIGNALED(status)) ++kills;
  }
  EXPECT_GE(kills, 1);
  const RunResult resumed = run(small_run({"--resume", journal, "-q", "--json"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(outcome(parse_json(resumed.out, "stdout")), want);
  expect_failure(run(small_run(with(longer, {"--journal", journal}))), 1, "--resume");
}

TEST(SolveCommand, ShowsAGridOnATerminalAndStopsAtControlC) {
  PseudoTerminal terminal({"solve", demo_model(), "Count.", "-T", "2", "-N", "4", "--beta", "3000",
                           "--tau", "100", "--final-tokens", "3000", "--seed", "5"});
  const std::string seen = terminal.read_until("tokens/s");
  EXPECT_TRUE(contains(seen, "stage 0")) << seen;
  EXPECT_TRUE(contains(seen, "stage 2")) << seen;
  terminal.type("\x03");
  EXPECT_TRUE(contains(terminal.read_until("stopped;"), "stopped;"));
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(SolveCommand, PresetsEffortsAndModes) {
  const auto settings = [](std::vector<std::string> more) {
    // Long limits, but few tokens: the whole is held to a budget.
    std::vector<std::string> all = {"solve", demo_model(), "Hi", "--json", "-q", "--seed", "1"};
    const RunResult r = run(with(std::move(all), more));
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return parse_json(r.out, "stdout");
  };
  const Json medium = settings({"--effort", "medium", "--budget", "480"});
  EXPECT_EQ(medium["settings"]["population"], 16);
  EXPECT_EQ(medium["settings"]["beta"], 16384);
  EXPECT_LE(medium["usage"]["output_tokens"], 480);
  EXPECT_EQ(medium["usage"]["calls"], 48);
  const Json single = settings(
      {"--preset", "light", "--select", "single", "--budget", "200", "--carry", "own_tail"});
  EXPECT_EQ(single["usage"]["calls"], 17);
  EXPECT_EQ(single["settings"]["subset"], 1);
}

TEST(SolveCommand, PrintsItsPrompts) {
  const RunResult r = run({"solve", "--print-prompt", "mathematics"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out, read_file(ZAYA_SOURCE_DIR "/src/rsa/prompts/mathematics.jinja"));
  write_file(file("prompt"), "{{ problem }} {{ candidates | length }} MINE");
  const RunResult own = run(small_run(with(
      kSmall, {"--prompt", file("prompt").string(), "-q", "--trace", file("trace").string()})));
  ASSERT_EQ(own.exit_code, 0) << own.err;
  EXPECT_TRUE(contains(read_file(file("trace")), "What is 1 + 1? 2 MINE"));
}

TEST(SolveCommand, SaysWhatIsWrong) {
  expect_failure(run({"solve"}), 2, "model");
  expect_failure(run({"solve", demo_model(), "a", "--file", "b"}), 2, "one problem");
  expect_failure(run({"solve", demo_model(), "a", "-N", "2", "-C", "3"}), 2, "subset");
  expect_failure(run({"solve", demo_model(), "a", "--beta", "10", "--tau", "20"}), 2, "tau");
  expect_failure(run({"solve", demo_model(), "a", "--effort", "max"}), 2, "effort");
  expect_failure(run({"solve", demo_model(), "a", "--resume", "x"}), 2, "--resume");
  expect_failure(run({"solve", demo_model(), "--resume", "/no/such"}), 1, "/no/such");
  expect_failure(run({"solve", demo_model(), ""}), 1, "empty");
  expect_failure(run({"solve", demo_model(), "\xff"}), 1, "UTF-8");
  expect_failure(run({"solve", "/no/such", "a"}), 1, "/no/such");
  expect_failure(run({"solve", demo_model(), "a", "--prompt", "/no/such"}), 1, "/no/such");
  write_file(file("bad"), "{% if %}");
  expect_failure(run({"solve", demo_model(), "a", "--prompt", file("bad").string()}), 1, "line 1");
  EXPECT_TRUE(contains(run({"solve", "--help"}).out, "Markovian RSA"));
}

}  // namespace
}  // namespace zaya
