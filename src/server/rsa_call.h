#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "rsa/settings.h"
#include "server/chat_call.h"
#include "zaya/engine.h"

namespace zaya {

/// A body of /v1/chat/completions that asks for Markovian RSA.
struct RsaCall {
  ChatCall chat;  ///< what the answer is made by; n: candidates that are answers
  std::vector<ChatMessage> messages;
  bool thinking = true;
  rsa::Settings settings;
  std::string prompt_kind = "mathematics";  ///< of AggregationPrompt::kinds()
  bool tau_given = false;                   ///< else it is a preset's
  bool stream_candidates = false;           ///< events have the text of candidates
};

/// Whether a body does: by "rsa", or by a positive "rsa_t", the reference proxy's name.
bool asks_for_rsa(const Json& body);

/// Reads "rsa": true, the name of a preset, or an object with the members of rsa::Settings,
/// "prompt" and "stream_candidates"; or the fields of the reference proxy (rsa_t, rsa_n, rsa_k,
/// short_resp_len, ...). The call's own sampling parameters are those of every stage. Throws
/// ApiError, also for what a run of many generations cannot honour: tools, n, stop strings.
RsaCall read_rsa_call(const Json& body, const SamplingParams& defaults, const Json& kwargs);

/// Lowers the limits of generations to what the model's context leaves beside the prompts; before
/// that a preset's tau, so that tails take half of it at most. Throws ApiError when the prompts
/// alone do not fit. `prompt`: tokens of stage 0's; `frame`: of the aggregation prompt without
/// candidates.
void fit_context(RsaCall& call, std::size_t prompt, std::size_t frame, std::size_t context);

}  // namespace zaya
