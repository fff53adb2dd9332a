#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "server/generation_job.h"
#include "server/reply_parts.h"
#include "server/sampling_fields.h"
#include "zaya/sampling_params.h"

namespace zaya {

/// A prompt as text, or as token ids that are taken as they are.
using TextOrIds = std::variant<std::string, std::vector<TokenId>>;

/// A body of /v1/completions.
struct CompletionCall {
  std::string model;  ///< empty: not said
  std::vector<TextOrIds> prompts;
  SamplingParams params;
  std::size_t n = 1;  ///< choices of each prompt
  Streaming streaming;
  bool echo = false;  ///< the prompt's text goes before the output's
};

/// Throws ApiError.
CompletionCall read_completion_call(const Json& body, const SamplingParams& defaults);
/// A string, a list of strings, a list of ids or a list of lists of ids.
std::vector<TextOrIds> read_prompts(const Json& json, const std::string& path);

/// `prompts`: the text of each prompt, for echo.
std::unique_ptr<Reply> make_completion_reply(ReplyContext context, const CompletionCall& call,
                                             std::vector<std::string> prompts);

}  // namespace zaya
