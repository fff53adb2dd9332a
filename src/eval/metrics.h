#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "eval/code_checker.h"
#include "eval/dataset.h"
#include "rsa/result.h"

namespace zaya::eval {

/// How one problem fared.
struct Score {
  std::size_t candidates = 0;   ///< of the last stage
  std::size_t right = 0;        ///< of these
  bool majority_right = false;  ///< the answer that most of them give
  bool chosen_right = false;    ///< what the run's selection chose
  std::size_t tokens = 0;       ///< generated for the problem, all stages
};
/// The candidates of the last stage against the right answer; one without an answer is wrong. Code
/// is run against its tests by `code`, which nothing else needs; equal programs once.
Score score(const Item& item, const rsa::Result& result, const CodeChecker* code = nullptr);

/// A mean over problems, and its 95 % confidence interval by the spread between them (the problems
/// are the sample, as a benchmark's are of all it might have asked): mean +- 1.96 s / sqrt(n),
/// cut to [0, 1].
struct Estimate {
  double mean = 0;
  double low = 0;
  double high = 0;
};
Estimate estimate(const std::vector<double>& of_problems);

/// The chance that of k samples, drawn from n of which c are right, one is right, without bias:
/// 1 - C(n - c, k) / C(n, k) (Chen et al., arXiv:2107.03374, equation 1). k is at most n.
double pass_at(std::size_t n, std::size_t c, std::size_t k);

struct Summary {
  std::size_t problems = 0;
  std::size_t candidates = 0;  ///< k: most of a problem's last stage
  Estimate average = {};       ///< avg@k: what the report's tables have
  Estimate majority = {};      ///< maj@k
  Estimate chosen = {};        ///< what the selection chose
  std::vector<std::pair<std::size_t, Estimate>> pass = {};  ///< pass@1, 2, 4, ... and k
  double tokens = 0;                                        ///< generated, mean of a problem
};
Summary summarize(const std::vector<Score>& scores);

}  // namespace zaya::eval
