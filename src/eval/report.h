#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "eval/metrics.h"
#include "plot/plot.h"

namespace zaya::eval {

/// One run over a data set.
struct Report {
  std::string name;  ///< what the table calls it
  Summary summary;
};

Json to_json(const Summary& summary);
/// Reads to_json()'s form; throws Error naming `where`.
Summary summary_from_json(const Json& json, const std::string& where);

/// A table, a row a run.
std::string markdown(const std::vector<Report>& reports);
/// Accuracy of the chosen answer over generated tokens a problem (on a logarithmic axis), a point a
/// run with its confidence interval.
plot::Plot accuracy_plot(const std::vector<Report>& reports);

}  // namespace zaya::eval
