#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/fields.h"
#include "zaya/sampling_params.h"

namespace zaya {

/// Most choices a call may ask for, over all of its prompts.
inline constexpr std::int64_t kMostChoices = 128;

/// The sampling parameters that /v1/chat/completions and /v1/completions share, over the model's
/// own defaults. A seed is drawn where none is given. Ranges that the engine checks are left to it.
SamplingParams read_sampling(const Fields& fields, const SamplingParams& defaults);

/// "n". Throws ApiError for what is out of range.
std::size_t read_choices(const Fields& fields);

/// {"5": -100, ...}
std::vector<LogitBias> read_logit_bias(const Fields& fields);

/// What OpenAI's word for an effort means here: whether to think at all, and for how many tokens.
/// The numbers are ours.
struct Effort {
  bool think = true;
  std::optional<std::size_t> budget = {};
};
/// none, minimal, low, medium, high, xhigh. Throws ApiError naming `param` for another word.
Effort read_effort(const std::string& word, const std::string& param);

/// "stream" and "stream_options" of OpenAI's calls.
struct Streaming {
  bool stream = false;
  bool include_usage = false;
};
Streaming read_streaming(const Fields& fields);

std::uint64_t random_seed();

}  // namespace zaya
