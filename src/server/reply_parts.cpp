#include "server/reply_parts.h"

#include <chrono>

#include <fmt/format.h>

#include "server/api_error.h"
#include "server/sampling_fields.h"

namespace zaya {
namespace {

double per_second(std::size_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0.0;
}

double each(std::size_t count, double milliseconds) {
  return count > 0 ? milliseconds / static_cast<double>(count) : 0.0;
}

}  // namespace

std::string new_id(const char* prefix) {
  return fmt::format("{}{:016x}{:08x}", prefix, random_seed(),
                     static_cast<std::uint32_t>(random_seed()));
}

std::int64_t unix_time() {
  using namespace std::chrono;
  return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}

void Usage::add(const RequestStats& stats, bool first_of_prompt) {
  if (first_of_prompt) {
    prompt += stats.prompt_tokens;
    cached += stats.cached_tokens;
    if (timings.is_null()) timings = timings_json(stats);
  }
  completion += stats.output_tokens;
  reasoning += stats.reasoning_tokens;
}

Json usage_json(const Usage& u) {
  return {{"prompt_tokens", u.prompt},
          {"completion_tokens", u.completion},
          {"total_tokens", u.prompt + u.completion},
          {"prompt_tokens_details", {{"cached_tokens", u.cached}}},
          {"completion_tokens_details", {{"reasoning_tokens", u.reasoning}}},
          {"timings", u.timings}};
}

Json timings_json(const RequestStats& s) {
  const std::size_t read = s.prompt_tokens - s.cached_tokens;
  // The first token comes out of the prompt's own pass.
  const std::size_t steps = s.output_tokens > 0 ? s.output_tokens - 1 : 0;
  const double prompt_ms = s.prefill_seconds * 1000;
  const double output_ms = s.decode_seconds * 1000;
  return {{"queue_ms", s.queue_seconds * 1000},
          {"cache_n", s.cached_tokens},
          {"prompt_n", read},
          {"prompt_ms", prompt_ms},
          {"prompt_per_token_ms", each(read, prompt_ms)},
          {"prompt_per_second", per_second(read, s.prefill_seconds)},
          {"predicted_n", s.output_tokens},
          {"predicted_ms", output_ms},
          {"predicted_per_token_ms", each(steps, output_ms)},
          {"predicted_per_second", per_second(steps, s.decode_seconds)},
          {"draft_n", s.drafted_tokens},
          {"draft_n_accepted", s.accepted_tokens}};
}

const char* openai_finish_reason(FinishReason reason) {
  return reason == FinishReason::length ? "length" : "stop";
}

std::string token_text(const ModelText& text, TokenId id) {
  return text.tokenizer ? text.tokenizer->decode({&id, 1}) : std::string();
}

std::string sse(const Json& data, const char* name) {
  std::string out;
  if (name != nullptr) out = fmt::format("event: {}\n", name);
  out += "data: ";
  out += to_wire(data);  // JSON has no line breaks of its own
  return out += "\n\n";
}

void begin_sse(Exchange& exchange) {
  exchange.begin({.content_type = "text/event-stream",
                  .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}},
                 ": still at work\n\n");
}

}  // namespace zaya
