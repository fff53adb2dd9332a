#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "zaya/sampling_params.h"
#include "zaya/token.h"

namespace zaya {

/// generation_config.json, understood: how the checkpoint wants to be sampled.
struct GenerationConfig {
  SamplingParams params;
  std::vector<TokenId> eos;
  std::vector<std::string> notes;  ///< what was ignored, for people
};

/// The keys are Transformers'. As in vLLM, sampling is on unless do_sample is false, and a key that
/// is not there changes nothing. A file that says nothing of sampling gets the model card's advice.
/// Throws Error for a value out of range, and for a key that would change the output in a way that
/// is not supported (beam search, say). `vocab`: the token ids the model knows.
GenerationConfig parse_generation_config(const Json& json, const std::string& where,
                                         std::size_t vocab);

/// The file of a checkpoint folder; the model card's advice when there is none: temperature 1.0 and
/// top-p 0.95.
GenerationConfig load_generation_config(const std::filesystem::path& folder, std::size_t vocab);

}  // namespace zaya
