#include <cmath>
#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "eval/dataset.h"
#include "eval/metrics.h"
#include "eval/report.h"
#include "zaya/error.h"

namespace zaya::eval {
namespace {

std::filesystem::path file(const std::string& name, const std::string& text) {
  const auto path =
      std::filesystem::path(testing::TempDir()) / fmt::format("zaya-eval-{}-{}", ::getpid(), name);
  write_file(path, text);
  return path;
}

TEST(EvalDataset, KnowsTheUsualFields) {
  const auto one = [](const std::string& name, const std::string& text) {
    const auto items = load_dataset(file(name, text), {});
    EXPECT_EQ(items.size(), 1U);
    return items.at(0);
  };
  const Item aime = one("a.jsonl", R"({"id": "2025-I-1", "problem": "P?", "answer": 70})"
                                   "\n\n");
  EXPECT_EQ(aime.id, "2025-I-1");
  EXPECT_EQ(aime.problem, "P?");
  EXPECT_EQ(aime.answer, "70");
  const Item math =
      one("m.json", R"([{"problem": "P?", "solution": "so \\boxed{\\frac12}", "level": 5}])");
  EXPECT_EQ(math.answer, "\\frac12");
  EXPECT_EQ(math.id, "1");
  const Item imo =
      one("i.csv", "Problem ID,Problem,Short Answer\r\nx-1,\"a, \"\"b\"\"\nc\",$3$\r\n");
  EXPECT_EQ(imo.id, "x-1");
  EXPECT_EQ(imo.problem, "a, \"b\"\nc");
  EXPECT_EQ(imo.answer, "$3$");
  EXPECT_EQ(
      one("h.jsonl", R"({"problem_idx": 3, "problem": "P?", "answer": "1", "kind": "text"})").kind,
      answers::Kind::text);
}

TEST(EvalDataset, ShufflesOptionsTheSameEveryTime) {
  std::string text =
      "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3,Record "
      "ID\n";
  for (int i = 0; i < 200; ++i) text += fmt::format("Q{0},right,w1,w2,w3,r{0}\n", i);
  const auto path = file("g.csv", text);
  const auto items = load_dataset(path, {.seed = 5});
  int letters[4] = {};
  for (const Item& item : items) {
    EXPECT_EQ(item.kind, answers::Kind::choice);
    EXPECT_NE(item.problem.find("(" + item.answer + ") right"), std::string::npos);
    ++letters[item.answer[0] - 'A'];
  }
  for (const int n : letters) EXPECT_GT(n, 25);
  const auto again = load_dataset(path, {.seed = 5, .limit = 10});
  ASSERT_EQ(again.size(), 10U);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(again[i].problem, items[i].problem);
}

TEST(EvalDataset, NamesWhatIsWrong) {
  const auto refused = [](const std::string& name, const std::string& text, const std::string& part,
                          const DatasetOptions& options = {}) {
    try {
      load_dataset(file(name, text), options);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  refused("a.jsonl", "", "no problems");
  refused("a.jsonl", "{\n", "line 1");
  refused("a.jsonl", "[1]\n", "problem 1");
  refused("a.jsonl", R"({"q": 1})", "no preset");
  refused("a.jsonl",
          R"({"problem": "p", "answer": "1"})"
          "\n"
          R"({"problem": "p"})",
          "problem 2");
  refused("a.jsonl", R"({"problem": "p", "solution": "none"})", "boxed");
  refused("a.jsonl", "{\"problem\": \"\xff\"}", "UTF-8");
  refused("a.csv", "a,b\n\"open", "quote");
  refused("a.csv", "problem,answer\nx\n", "row 1");
  refused("a.json", "{}", "list");
  EXPECT_THROW(fields_of("nothing"), Error);
  EXPECT_EQ(load_dataset(file("a.jsonl", R"({"frage": "p", "antwort": "1"})"),
                         {.fields = Fields{.problem = "frage", .answer = "antwort"}})
                .at(0)
                .answer,
            "1");
}

TEST(EvalDataset, Csv) {
  using Rows = std::vector<std::vector<std::string>>;
  EXPECT_EQ(parse_csv("a,b\n1,2\n", "t"), (Rows{{"a", "b"}, {"1", "2"}}));
  EXPECT_EQ(parse_csv("\xef\xbb\xbf"
                      "a,b\r\n,\r\n",
                      "t"),
            (Rows{{"a", "b"}, {"", ""}}));
  EXPECT_EQ(parse_csv("\"a\"\"\",\"x\ny\"", "t"), (Rows{{"a\"", "x\ny"}}));
  EXPECT_EQ(parse_csv("\n\na\n", "t"), (Rows{{"a"}}));
  EXPECT_EQ(parse_csv("", "t"), Rows{});
}

// By counting subsets.
double pass_by_hand(std::size_t n, std::size_t c, std::size_t k) {
  std::size_t hits = 0;
  std::size_t all = 0;
  for (std::size_t mask = 0; mask < (std::size_t{1} << n); ++mask) {
    if (static_cast<std::size_t>(__builtin_popcountll(mask)) != k) continue;
    ++all;
    if ((mask & ((std::size_t{1} << c) - 1)) != 0) ++hits;
  }
  return static_cast<double>(hits) / static_cast<double>(all);
}

TEST(EvalMetrics, PassAtKIsUnbiased) {
  for (std::size_t n = 1; n <= 9; ++n) {
    for (std::size_t c = 0; c <= n; ++c) {
      for (std::size_t k = 1; k <= n; ++k) {
        EXPECT_NEAR(pass_at(n, c, k), pass_by_hand(n, c, k), 1e-12);
      }
    }
  }
}

TEST(EvalMetrics, IntervalsAreOfTheSpreadBetweenProblems) {
  const Estimate e = estimate({0, 1, 0, 1, 0, 1, 0, 1});
  EXPECT_DOUBLE_EQ(e.mean, 0.5);
  EXPECT_NEAR(e.high - e.mean, 1.96 * std::sqrt(2.0 / 7 / 8), 1e-12);
  EXPECT_EQ(estimate({1, 1, 1}).low, 1.0);
  EXPECT_EQ(estimate({1}).low, 0.0);
  EXPECT_EQ(estimate({}).mean, 0.0);
}

rsa::Result result_with(const std::vector<const char*>& answers) {
  rsa::Result r;
  r.stages.resize(2);
  r.answer_stage = 1;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    rsa::Candidate c{.stage = 1, .slot = i};
    if (*answers[i] != '\0') c.answer = answers[i];
    r.stages[1].push_back(c);
  }
  r.votes = rsa::count_votes(r.stages[1], {});
  if (!r.votes.empty()) r.chosen = r.votes[0].slots[0];
  r.usage.output_tokens = 100;
  return r;
}

TEST(EvalMetrics, ScoresCandidates) {
  const Item item{.id = "1", .problem = "p", .answer = "1/2"};
  const Score s = score(item, result_with({"0.5", "\\frac12", "3", "", "0.5"}));
  EXPECT_EQ(s.candidates, 5U);
  EXPECT_EQ(s.right, 3U);
  EXPECT_TRUE(s.majority_right);
  EXPECT_TRUE(s.chosen_right);
  EXPECT_EQ(s.tokens, 100U);
  const Score wrong = score(item, result_with({"3", "3", "1/2", ""}));
  EXPECT_EQ(wrong.right, 1U);
  EXPECT_FALSE(wrong.majority_right);
  const Summary summary = summarize({s, wrong});
  EXPECT_DOUBLE_EQ(summary.average.mean, (0.6 + 0.25) / 2);
  EXPECT_DOUBLE_EQ(summary.majority.mean, 0.5);
  ASSERT_EQ(summary.pass.size(), 3U);  // 1, 2, 4
  EXPECT_EQ(summary.pass[2].first, 4U);
  EXPECT_DOUBLE_EQ(summary.pass[0].second.mean, summary.average.mean);
  EXPECT_DOUBLE_EQ(summary.pass[2].second.mean, 1.0);
}

TEST(EvalReport, TableAndPlotHaveEveryRun) {
  const Summary summary =
      summarize({{.candidates = 4, .right = 3, .majority_right = true, .tokens = 2000},
                 {.candidates = 4, .right = 1, .tokens = 4000}});
  const std::vector<Report> reports = {{"single", summary}, {"a|b <c>", summary}};
  const std::string table = markdown(reports);
  EXPECT_NE(table.find("| single | 2 | 4 | 50.0 ("), std::string::npos) << table;
  EXPECT_NE(table.find("a\\|b <c>"), std::string::npos);
  EXPECT_NE(table.find(" 3000 |"), std::string::npos);
  const plot::Plot plot = accuracy_plot(reports);
  ASSERT_EQ(plot.series.size(), 2U);
  EXPECT_EQ(plot.series[1].name, "a|b <c>");
  EXPECT_EQ(plot.series[1].points[0].x, 3000);
  EXPECT_EQ(plot.series[1].points[0].y, summary.chosen.mean);
  const Summary back = summary_from_json(to_json(summary), "t");
  EXPECT_EQ(to_json(back), to_json(summary));
}

}  // namespace
}  // namespace zaya::eval
