// Markovian RSA in two plots; see run.sh.
//   rsa_bench noisy OUT          accuracy over tokens, of a generator that errs at a known rate
//   rsa_bench memory MODEL OUT   largest context and KV pages over 20 rounds
// OUT.svg (of memory: OUT-context.svg and OUT-pages.svg) and, on stdout, a table in Markdown.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/rsa/noisy.h"
#include "eval/metrics.h"
#include "plot/plot.h"
#include "rsa/answer_rule.h"
#include "rsa/engine_generator.h"
#include "rsa/forecast.h"
#include "rsa/solver.h"
#include "tests/rsa/scripted_generator.h"

namespace zaya::bench {
namespace {

constexpr std::uint64_t kSeed = 1;

std::shared_ptr<const rsa::AggregationPrompt> mathematics() {
  return std::make_shared<const rsa::AggregationPrompt>(
      rsa::AggregationPrompt::builtin("mathematics"));
}

plot::Point point(double tokens, const eval::Estimate& e) {
  return {tokens, e.mean, e.low, e.high};
}

// Runs all puzzles through the solver and scores them as zaya eval does.
class NoisyRuns {
 public:
  explicit NoisyRuns(std::size_t count) {
    const auto prompt = mathematics();
    for (std::size_t i = 0; i < count; ++i) {
      puzzles_.push_back(make_puzzle(i, noise_, kSeed));
      items_.push_back(
          {.id = std::to_string(i), .problem = puzzles_[i].text, .answer = puzzles_[i].answer});
      problems_.push_back({.id = items_[i].id,
                           .messages = {{"user", puzzles_[i].text}},
                           .prompt = prompt,
                           .answers = rsa::answer_rule(answers::Kind::mathematics),
                           .number = i});
    }
  }

  eval::Summary run(const rsa::Settings& settings) {
    rsa::test::ScriptedGenerator generator(
        [&](const rsa::Call& call, std::size_t) { return solve_noisily(call, puzzles_, noise_); },
        {.slots = 64});
    const auto results = rsa::solve(generator, problems_, settings);
    std::vector<eval::Score> scores;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      scores.push_back(eval::score(items_[i], results[i]));
    }
    return eval::summarize(scores);
  }

 private:
  Noise noise_;
  std::vector<Puzzle> puzzles_;
  std::vector<eval::Item> items_;
  std::vector<rsa::Problem> problems_;
};

void noisy(const std::string& out) {
  NoisyRuns runs(200);
  const rsa::Settings base = {
      .population = 16, .subset = 4, .beta = 1024, .tau = 40, .final_tokens = 1024, .seed = kSeed};
  plot::Series single{.name = "one sample (avg@k)", .points = {}, .marks = true};
  plot::Series majority{.name = "majority of k", .points = {}, .marks = true};
  plot::Series best{.name = "best of k, by an oracle", .points = {}, .marks = true};
  plot::Series mean{.name = "RSA: mean of last stage", .points = {}, .marks = true};
  plot::Series vote{.name = "RSA: majority of last stage", .points = {}, .marks = true};
  fmt::print(
      "| run | tokens a problem | mean | majority | best (oracle) |\n|---|---|---|---|---|\n");
  const auto row = [](const std::string& name, const eval::Summary& s) {
    fmt::print("| {} | {:.0f} | {:.1f} | {:.1f} | {:.1f} |\n", name, s.tokens, 100 * s.average.mean,
               100 * s.majority.mean, 100 * s.pass.back().second.mean);
    std::fflush(stdout);
  };
  // As many samples as RSA's stages have together, so that a column of points has equal tokens.
  for (const std::size_t k : {1, 4, 16, 32, 48, 64, 80, 112}) {
    rsa::Settings s = base;
    s.rounds = 0;
    s.population = k;
    s.subset = 1;
    const eval::Summary got = runs.run(s);
    row(fmt::format("{} samples", k), got);
    single.points.push_back(point(got.tokens, got.average));
    majority.points.push_back(point(got.tokens, got.majority));
    best.points.push_back(point(got.tokens, got.pass.back().second));
  }
  for (const std::size_t rounds : {1, 2, 3, 4, 6}) {
    rsa::Settings s = base;
    s.rounds = rounds;
    const eval::Summary got = runs.run(s);
    row(fmt::format("RSA T={} N=16 C=4", rounds), got);
    mean.points.push_back(point(got.tokens, got.average));
    vote.points.push_back(point(got.tokens, got.majority));
  }
  plot::write({.title = "",
               .x = {.label = "generated tokens a problem", .logarithmic = true},
               .y = {.label = "right answers", .percent = true, .include = {0, 1}},
               .series = {single, majority, best, mean, vote}},
              out + ".svg");
}

void memory(const std::string& model, const std::string& out) {
  const rsa::Settings s = {.rounds = 20,
                           .population = 8,
                           .subset = 4,
                           .beta = 256,
                           .tau = 64,
                           .final_tokens = 256,
                           .seed = kSeed};
  Engine engine(model, {.scheduler = {.max_running = 8, .cached_sequences = 1}});
  rsa::EngineGenerator generator(engine, {.slots = 8});
  const auto prompt = mathematics();
  const rsa::Problem problem{
      .messages = {{"user", "How many primes are there below one thousand? Explain each step."}},
      .prompt = prompt,
      .answers = rsa::answer_rule(answers::Kind::mathematics)};
  const std::string& text = problem.messages[0].content;
  const std::size_t bare = generator.count_tokens(text);
  const std::size_t framed =
      generator.count_tokens(prompt->render(text, std::vector<std::string>(s.subset), true));
  const rsa::Forecast forecast =
      rsa::forecast(s, {.prompt_tokens = engine.encode_chat(problem.messages, true).size(),
                        .template_tokens = framed - std::min(bare, framed),
                        .slots = 8,
                        .problems = 1,
                        .context = engine.context(),
                        .kv_memory = engine.kv_memory(),
                        .kv_bytes = [&](std::size_t n) { return engine.kv_bytes(n); }});

  const double kib = 1024;
  plot::Series context{.name = "largest context", .points = {}, .marks = true};
  plot::Series pages{.name = "peak so far", .points = {}, .marks = true};
  std::size_t bound = 0;
  const auto last = static_cast<double>(s.last_stage());
  fmt::print("| stage | largest context, tokens | peak KV pages so far, KiB |\n|---|---|---|\n");
  rsa::solve(generator, {problem}, s, {.observer = [&](const rsa::Event& e) {
               if (e.kind != rsa::Event::Kind::stage_done) return;
               std::size_t largest = 0;
               for (const rsa::Candidate& c : e.result->stages[e.stage]) {
                 largest = std::max(largest, c.output.prompt_tokens + c.output.output_tokens);
               }
               bound = e.result->context_bound;
               const auto at = static_cast<double>(e.stage);
               const double peak = static_cast<double>(generator.peak_kv_bytes()) / kib;
               const auto tokens = static_cast<double>(largest);
               context.points.push_back({at, tokens, tokens, tokens});
               pages.points.push_back({at, peak, peak, peak});
               fmt::print("| {} | {} | {:.0f} |\n", e.stage, largest, peak);
               std::fflush(stdout);
             }});
  const double forecast_kib = static_cast<double>(forecast.peak_bytes) / kib;
  fmt::print("| bound | {} | {:.0f} |\n", bound, forecast_kib);
  const auto draw = [&](const char* name, const char* label, const plot::Series& reached,
                        const char* bound_name, double most) {
    const plot::Series line = {.name = bound_name,
                               .points = {{0, most, most, most}, {last, most, most, most}}};
    plot::write({.title = "",
                 .x = {.label = "stage"},
                 .y = {.label = label, .include = {0}},
                 .series = {reached, line}},
                out + name);
  };
  draw("-context.svg", "tokens", context, "problem + C tau + beta", static_cast<double>(bound));
  draw("-pages.svg", "KV pages, KiB", pages, "forecast", forecast_kib);
}

}  // namespace
}  // namespace zaya::bench

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 2 && words[0] == "noisy") {
      zaya::bench::noisy(words[1]);
    } else if (words.size() == 3 && words[0] == "memory") {
      zaya::bench::memory(words[1], words[2]);
    } else {
      fmt::print(stderr, "usage: rsa_bench noisy OUT | rsa_bench memory MODEL OUT\n");
      return 2;
    }
  } catch (const std::exception& e) {
    fmt::print(stderr, "rsa_bench: {}\n", e.what());
    return 1;
  }
  return 0;
}
