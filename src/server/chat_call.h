#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/json.h"
#include "server/fields.h"
#include "server/output_fields.h"
#include "server/sampling_fields.h"
#include "text/chat.h"
#include "text/tools/tool_set.h"
#include "zaya/sampling_params.h"

namespace zaya {

/// A conversation to go on with, whichever API asked for it.
struct ChatCall {
  std::string model;  ///< empty: not said
  ChatRequest chat;
  SamplingParams params;
  std::size_t n = 1;
  Streaming streaming;
  bool include_reasoning = true;
  std::shared_ptr<const ToolSet> tools = nullptr;  ///< null: no calls are looked for
  bool parallel_calls = true;
};

/// A body of /v1/chat/completions; also of /tokenize and /apply-template, which have messages too.
/// `kwargs`: template variables that the request's own go over. Throws ApiError.
ChatCall read_chat_call(const Json& body, const SamplingParams& defaults, const Json& kwargs);

/// Messages in OpenAI's form as a chat template wants them: content as one text, arguments of tool
/// calls as objects. Throws ApiError for what is malformed or no text.
Json read_messages(const Json& messages, const std::string& path);

/// Declares functions, null or a list in OpenAI's form, to the template and to the parser of the
/// output, and holds the output to a call where one must be made. The call's parallel_calls and the
/// format of its output must be known. Throws ApiError.
void use_tools(ChatCall& call, Json tools, const ToolChoice& choice);

/// "chat_template_kwargs", over what is set already.
void read_template_kwargs(const Fields& fields, ChatCall& call);

/// Sets what thinking is to be: the template's variable and the budget.
void apply_effort(ChatCall& call, const Effort& effort);

}  // namespace zaya
