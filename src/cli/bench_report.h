#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/bench.h"

namespace zaya::cli {

/// What was measured with one number of threads.
struct BenchRun {
  int threads = 0;
  double load_seconds = 0;         ///< opening the checkpoint until the model is ready
  double first_token_seconds = 0;  ///< the same and a prompt of kFirstPrompt tokens
  std::vector<BenchLine> lines = {};

  static constexpr std::size_t kFirstPrompt = 16;
};

struct BenchReport {
  std::string model = {};
  std::string compute = {};
  std::string isa = {};
  std::uint64_t file_bytes = 0;         ///< of all tensors
  std::uint64_t peak_memory_bytes = 0;  ///< without the memory that the probe reads
  double stolen = 0;                    ///< share of processor time, over the whole run
  std::vector<BenchRun> runs = {};
};

/// A table with a legend, for people.
std::string bench_table(const BenchReport& report);
/// One JSON object.
std::string bench_json(const BenchReport& report);

}  // namespace zaya::cli
