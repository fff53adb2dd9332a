#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "zaya/output_format.h"
#include "zaya/token.h"

namespace zaya {

/// Added to the logit of one token; minus infinity bans it.
struct LogitBias {
  TokenId id;
  float bias;
};

/// How one sequence is generated. The defaults change nothing: plain sampling from the model's
/// distribution until it stops by itself. Names and meaning are those of Transformers and of
/// OpenAI's API; engine/sampler.h states the order in which they act.
struct SamplingParams {
  double temperature = 1.0;         ///< 0: greedy, the likeliest token
  std::size_t top_k = 0;            ///< 0: off
  double top_p = 1.0;               ///< 1: off
  double min_p = 0.0;               ///< 0: off
  double repetition_penalty = 1.0;  ///< over prompt and output; 1: off
  double presence_penalty = 0.0;    ///< over the output; 0: off
  double frequency_penalty = 0.0;   ///< over the output; 0: off
  std::vector<LogitBias> logit_bias = {};
  /// Same seed, same output. A caller that was given none draws one.
  std::uint64_t seed = 0;

  std::optional<std::size_t> max_tokens = {};    ///< none: as far as the context reaches
  std::optional<std::size_t> think_budget = {};  ///< tokens inside think blocks; none: no limit
  std::vector<std::string> stop = {};            ///< texts that end the output; not part of it
  std::vector<TokenId> stop_ids = {};  ///< more tokens that end it, besides the model's own
  bool ignore_eos = false;             ///< the model's own end tokens are like any other
  /// Log-probabilities are wanted: of each token taken and of this many likeliest ones.
  std::optional<std::size_t> top_logprobs = {};
  OutputFormat format = {};  ///< what the output must look like

  /// Speculation, for outputs that repeat their prompt or themselves: up to so many tokens are
  /// drafted from an earlier place of the text and checked in one step, 16 at most. 0: off. The
  /// output is the same, or sampled from the same distribution; it only comes faster, or, where
  /// drafts are seldom right, a little slower.
  std::size_t draft_tokens = 0;

  bool greedy() const { return temperature == 0.0; }
};

/// Throws Error naming the first parameter that is out of its range. Token ids must be below
/// `vocab`.
void validate(const SamplingParams& params, std::size_t vocab);

}  // namespace zaya
