#include "server/completion_call.h"

#include <limits>
#include <utility>

#include <fmt/format.h>

#include "server/api_error.h"
#include "server/output_fields.h"

namespace zaya {
namespace {

constexpr std::size_t kDefaultMaxTokens = 16;  // OpenAI's

}  // namespace

std::vector<TextOrIds> read_prompts(const Json& json, const std::string& path) {
  if (json.is_string()) return {json.get<std::string>()};
  if (!json.is_array() || json.empty()) {
    throw ApiError({.message = fmt::format("'{}': expected a string, a list of strings, a list of "
                                           "token ids or a list of such lists",
                                           path),
                    .param = path,
                    .code = "invalid_value"});
  }
  if (json.front().is_number()) return {read_token_ids(json, path)};
  std::vector<TextOrIds> out;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (json[i].is_string()) {
      out.emplace_back(json[i].get<std::string>());
    } else {
      out.emplace_back(read_token_ids(json[i], fmt::format("{}[{}]", path, i)));
    }
  }
  return out;
}

CompletionCall read_completion_call(const Json& body, const SamplingParams& defaults) {
  const Fields f(body);
  constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();
  CompletionCall call;
  call.model = f.string("model").value_or("");
  call.prompts = read_prompts(f.at("prompt"), "prompt");
  call.params = read_sampling(f, defaults);
  if (!call.params.max_tokens) call.params.max_tokens = kDefaultMaxTokens;
  constexpr std::int64_t kMostTop = 20;
  if (const auto top = f.integer("logprobs", 0, kMostTop)) {
    call.params.top_logprobs = static_cast<std::size_t>(*top);
  }
  call.n = read_choices(f);
  if (call.prompts.size() * call.n > static_cast<std::size_t>(kMostChoices)) {
    f.fail("prompt", fmt::format("at most {} outputs, n of each prompt", kMostChoices));
  }
  if (f.integer("best_of", 1, kAny).value_or(1) > static_cast<std::int64_t>(call.n)) {
    f.refuse("best_of", "outputs are not ranked");
  }
  if (!f.string("suffix").value_or("").empty()) {
    f.refuse("suffix", "the model only goes on with a text");
  }
  if (f.has("response_format")) call.params.format = read_format(f.object("response_format"));
  call.streaming = read_streaming(f);
  call.echo = f.boolean("echo", false);
  if (call.echo && call.params.top_logprobs) {
    f.refuse("echo", "there are no log-probabilities of prompts; leave out echo or logprobs");
  }
  return call;
}

}  // namespace zaya
