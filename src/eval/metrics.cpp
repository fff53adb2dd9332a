#include "eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

namespace zaya::eval {

Score score(const Item& item, const rsa::Result& result, const CodeChecker* code) {
  Score s{.tokens = result.usage.output_tokens};
  std::map<std::string, bool> programs;
  const auto right = [&](const std::string& answer) {
    if (item.kind != answers::Kind::code) {
      return answers::equivalent(item.answer, answer, item.kind);
    }
    const auto [at, added] = programs.try_emplace(answer);
    if (added) at->second = code->check(answer, item.tests).right;
    return at->second;
  };
  for (const rsa::Candidate& c : result.stages.back()) {
    ++s.candidates;
    if (c.answer && right(*c.answer)) ++s.right;
  }
  // What was interrupted has not answered.
  if (result.answer_stage + 1 != result.stages.size()) return s;
  s.majority_right = !result.votes.empty() && right(result.votes.front().answer);
  const rsa::Candidate* choice = result.choice();
  s.chosen_right = choice != nullptr && choice->answer && right(*choice->answer);
  return s;
}

Estimate estimate(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double v : values) sum += v;
  const double mean = sum / n;
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  // Of one problem nothing is known about the spread.
  const double half = values.size() > 1 ? 1.96 * std::sqrt(squares / (n - 1) / n) : 1.0;
  return {mean, std::max(0.0, mean - half), std::min(1.0, mean + half)};
}

double pass_at(std::size_t n, std::size_t c, std::size_t k) {
  if (n - c < k) return 1.0;
  double none = 1.0;
  for (std::size_t i = n - c + 1; i <= n; ++i) {
    none *= 1.0 - static_cast<double>(k) / static_cast<double>(i);
  }
  return 1.0 - none;
}

Summary summarize(const std::vector<Score>& scores) {
  Summary out{.problems = scores.size()};
  std::vector<double> average;
  std::vector<double> majority;
  std::vector<double> chosen;
  std::size_t fewest = scores.empty() ? 0 : scores.front().candidates;
  for (const Score& s : scores) {
    out.candidates = std::max(out.candidates, s.candidates);
    fewest = std::min(fewest, s.candidates);
    const double n = static_cast<double>(std::max<std::size_t>(1, s.candidates));
    average.push_back(static_cast<double>(s.right) / n);
    majority.push_back(s.majority_right ? 1 : 0);
    chosen.push_back(s.chosen_right ? 1 : 0);
    out.tokens += static_cast<double>(s.tokens) / static_cast<double>(scores.size());
  }
  out.average = estimate(average);
  out.majority = estimate(majority);
  out.chosen = estimate(chosen);
  for (std::size_t k = 1; k <= fewest; k = k < fewest ? std::min(2 * k, fewest) : fewest + 1) {
    std::vector<double> values;
    for (const Score& s : scores) values.push_back(pass_at(s.candidates, s.right, k));
    out.pass.emplace_back(k, estimate(values));
  }
  return out;
}

}  // namespace zaya::eval
