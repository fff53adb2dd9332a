#pragma once

#include <memory>

#include "server/chat_call.h"
#include "server/chat_output.h"
#include "server/generation_job.h"
#include "server/reply_parts.h"

namespace zaya {

ChatOutput::Options output_options(const ChatCall& call);

/// The answer to /v1/chat/completions, as one JSON object or as a stream.
std::unique_ptr<Reply> make_chat_reply(ReplyContext context, const ChatCall& call);

}  // namespace zaya
