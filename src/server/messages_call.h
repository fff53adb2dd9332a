#pragma once

#include <memory>

#include "server/chat_call.h"
#include "server/generation_job.h"
#include "server/reply_parts.h"

namespace zaya {

/// A body of Anthropic's /v1/messages, or of /v1/messages/count_tokens, which has no max_tokens.
/// Throws ApiError.
ChatCall read_messages_call(const Json& body, const SamplingParams& defaults, const Json& kwargs,
                            bool counts_only = false);

std::unique_ptr<Reply> make_messages_reply(ReplyContext context, const ChatCall& call);

}  // namespace zaya
