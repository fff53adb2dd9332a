#pragma once

#include <memory>

#include "server/chat_call.h"
#include "server/generation_job.h"
#include "server/reply_parts.h"

namespace zaya {

/// A body of /v1/responses.
struct ResponsesCall {
  ChatCall chat;
  Json echo;  ///< what of the call the answer repeats
};

/// Throws ApiError. Nothing is stored, so a call carries its whole conversation.
ResponsesCall read_responses_call(const Json& body, const SamplingParams& defaults,
                                  const Json& kwargs);

std::unique_ptr<Reply> make_responses_reply(ReplyContext context, const ResponsesCall& call);

}  // namespace zaya
