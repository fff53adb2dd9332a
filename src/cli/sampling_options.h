#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "engine/model_text.h"
#include "zaya/sampling_params.h"

namespace zaya::cli {

/// The sampling options of generate and chat. What is not given keeps the model's own default.
class SamplingOptions {
 public:
  void add_to(CLI::App& command);

  /// Whether generation_config.json is to be read.
  bool use_generation_config() const { return !no_generation_config_; }

  /// Throws UsageError for values out of range; to be called before the model is loaded.
  void check() const;

  /// The options over `defaults`. Without --seed a seed is drawn.
  SamplingParams over(const SamplingParams& defaults) const;

  bool wants_logprobs() const { return logprobs_.has_value(); }

 private:
  void apply(SamplingParams& params) const;

  bool greedy_ = false;
  bool ignore_eos_ = false;
  bool no_generation_config_ = false;
  std::optional<double> temperature_;
  std::optional<std::size_t> top_k_;
  std::optional<double> top_p_;
  std::optional<double> min_p_;
  std::optional<double> repetition_penalty_;
  std::optional<double> presence_penalty_;
  std::optional<double> frequency_penalty_;
  std::optional<std::uint64_t> seed_;
  std::optional<std::size_t> max_tokens_;
  std::optional<std::size_t> think_budget_;
  std::optional<std::size_t> logprobs_;
  std::optional<std::size_t> draft_tokens_;
  std::vector<std::string> stop_;
  std::string stop_ids_;
  std::vector<std::string> logit_bias_;
};

}  // namespace zaya::cli
