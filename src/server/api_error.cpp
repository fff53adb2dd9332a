#include "server/api_error.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace zaya {
namespace {

std::string_view openai_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string_view anthropic_type(int status) {
  if (status == 413) return "request_too_large";
  if (status == 503) return "overloaded_error";
  return status >= 500 ? "api_error" : openai_type(status);
}

Json or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

}  // namespace

ApiError from_request(const Error& error) {
  // The engine's errors name the parameter where they can (validate() of SamplingParams).
  static constexpr std::array<std::string_view, 16> kParams = {"temperature",
                                                               "top_k",
                                                               "top_p",
                                                               "min_p",
                                                               "repetition_penalty",
                                                               "presence_penalty",
                                                               "frequency_penalty",
                                                               "logit_bias",
                                                               "max_tokens",
                                                               "stop_ids",
                                                               "logprobs",
                                                               "draft_tokens",
                                                               "stop",
                                                               "n",
                                                               "messages",
                                                               "tools"};
  ApiError::Detail detail{.message = error.what()};
  const std::string& where = error.detail().where;
  if (std::find(kParams.begin(), kParams.end(), where) != kParams.end() ||
      where.starts_with("messages[")) {
    detail.param = where;
  }
  if (where.starts_with("json_schema")) detail.code = "invalid_json_schema";
  if (where.starts_with("tool \"")) detail.param = "tools";
  if (where == "KV memory") detail.code = "context_length_exceeded";
  return ApiError(std::move(detail));
}

Json error_json(const ApiError::Detail& error, Dialect dialect) {
  if (dialect == Dialect::anthropic) {
    return {{"type", "error"},
            {"error", {{"type", anthropic_type(error.status)}, {"message", error.message}}}};
  }
  return {{"error",
           {{"message", error.message},
            {"type", openai_type(error.status)},
            {"param", or_null(error.param)},
            {"code", or_null(error.code)}}}};
}

HttpResponse error_response(const ApiError::Detail& error, Dialect dialect) {
  HttpResponse response{.status = error.status, .body = to_wire(error_json(error, dialect))};
  if (error.retry_after) {
    response.headers.emplace_back("Retry-After", std::to_string(*error.retry_after));
  }
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

std::string to_wire(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace zaya
