#include "server/rsa_call.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "rsa/prompts.h"
#include "server/api_error.h"

namespace zaya {
namespace {

constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();

[[noreturn]] void refuse(const std::string& param, const std::string& message) {
  throw ApiError({.message = message, .param = param, .code = "invalid_value"});
}

void refuse_what_no_run_can(const Fields& body, const ChatCall& chat) {
  const auto never = [](const char* param, bool asked) {
    if (asked) refuse(param, fmt::format("'{}' cannot be had with Markovian RSA", param));
  };
  const SamplingParams& p = chat.params;
  never("tools", chat.tools != nullptr);
  never("n", chat.n > 1);
  never("logprobs", p.top_logprobs.has_value());
  never("response_format", p.format.kind != OutputFormat::Kind::text);
  never("stop", !p.stop.empty());
  for (const char* key : {"stop_token_ids", "logit_bias", "repetition_penalty", "presence_penalty",
                          "frequency_penalty", "ignore_eos"}) {
    const Json* value = body.find(key);
    never(key, value != nullptr && !value->empty() && *value != Json(0) && *value != Json(0.0) &&
                   *value != Json(false) &&
                   !(std::string_view(key) == "repetition_penalty" && *value == Json(1)));
  }
}

std::vector<ChatMessage> plain_messages(const Json& messages) {
  std::vector<ChatMessage> out;
  for (const Json& message : messages) {
    auto role = message.at("role").get<std::string>();
    if (role == "tool" || message.contains("tool_calls")) {
      refuse("messages", "conversations with tool calls cannot be had with Markovian RSA");
    }
    out.push_back({std::move(role), message.at("content").get<std::string>()});
  }
  return out;
}

// What the call says of sampling is for every stage.
void read_stage_sampling(const Fields& body, const SamplingParams& params, rsa::Settings& s) {
  rsa::Sampling& sampling = s.sampling.front();
  if (body.has("temperature")) sampling.temperature = params.temperature;
  if (body.has("top_p")) sampling.top_p = params.top_p;
  if (body.has("top_k")) sampling.top_k = params.top_k;
  if (body.has("min_p")) sampling.min_p = params.min_p;
}

std::size_t count(const Fields& body, const char* key, std::size_t absent) {
  return static_cast<std::size_t>(
      body.integer(key, 0, kAny).value_or(static_cast<std::int64_t>(absent)));
}

// The fields of Zyphra's reference proxy (rsa_proxy_server.py of its vLLM fork), with its defaults.
void read_proxy_fields(const Fields& body, rsa::Settings& s) {
  if (body.boolean("rsa_summarize", false)) {
    body.refuse("rsa_summarize", "there are tails, no summaries");
  }
  s.rounds = count(body, "rsa_t", 8);
  s.population = count(body, "rsa_n", 32);
  s.subset = count(body, "rsa_k", 4);
  s.beta = count(body, "short_resp_len", 32768);
  s.tau = count(body, "tail_window_len", 4096);
  if (!body.boolean("rsa_tail_window", true)) s.carry = rsa::Carry::full;
  if (body.boolean("use_pacore", false)) s.carry = rsa::Carry::answer_or_tail;
  const char* last = body.has("rsa_final_n") ? "rsa_final_n" : "final_aggregation_prompts";
  const std::size_t answers = count(body, last, 1);
  if (answers == 1) {
    s.selection = rsa::Selection::single;
  } else if (answers == 0 || answers == s.population) {
    s.selection = rsa::Selection::all;
  } else {
    body.fail(last, "1, or 0 for as many as rsa_n");
  }
  rsa::Sampling end{.temperature = 0.6, .top_p = 0.95, .top_k = 40};
  end.temperature = body.number("final_temperature").value_or(end.temperature);
  end.top_p = body.number("final_top_p").value_or(end.top_p);
  end.top_k = count(body, "final_top_k", end.top_k);
  s.final_sampling = end;
}

rsa::Settings preset_of_effort(const Fields& body) {
  const std::string effort = body.string("reasoning_effort").value_or("");
  const auto& known = rsa::effort_names();
  const bool named = std::find(known.begin(), known.end(), effort) != known.end();
  return rsa::preset(named ? rsa::effort_preset(effort) : "recommended");
}

// Reads "rsa" itself.
void read_own_fields(const Fields& body, RsaCall& call) {
  rsa::Settings& s = call.settings;
  const Json& rsa = body.at("rsa");
  if (rsa.is_string()) {
    const auto sampling = std::move(s.sampling);
    s = rsa::preset(rsa.get<std::string>());
    s.sampling = sampling;
    return;
  }
  if (rsa.is_boolean()) return;
  if (!rsa.is_object()) body.fail("rsa", "true, the name of a preset, or an object");
  const Fields own(rsa, "rsa");
  call.stream_candidates = own.boolean("stream_candidates", false);
  call.prompt_kind = own.string("prompt").value_or(call.prompt_kind);
  const auto& kinds = rsa::AggregationPrompt::kinds();
  if (std::find(kinds.begin(), kinds.end(), call.prompt_kind) == kinds.end()) {
    own.fail("prompt", fmt::format("{}", fmt::join(kinds, ", ")));
  }
  call.tau_given = own.has("tau");
  Json settings = Json::object();
  for (const auto& [key, value] : rsa.items()) {
    if (key != "prompt" && key != "stream_candidates" && !value.is_null()) settings[key] = value;
  }
  const auto sampling = s.sampling;
  s = rsa::settings_from_json(settings, "rsa", s);
  // A preset of the object has its own; the call's go over it, and the object's own over these.
  if (!settings.contains("sampling")) s.sampling = sampling;
}

}  // namespace

bool asks_for_rsa(const Json& body) {
  if (!body.is_object()) return false;
  const auto at = body.find("rsa");
  if (at != body.end()) return !at->is_null() && *at != Json(false);
  const auto rounds = body.find("rsa_t");
  return rounds != body.end() && rounds->is_number() && rounds->get<double>() > 0;
}

RsaCall read_rsa_call(const Json& body, const SamplingParams& defaults, const Json& kwargs) {
  const Fields f(body);
  RsaCall call;
  call.chat = read_chat_call(body, defaults, kwargs);
  refuse_what_no_run_can(f, call.chat);
  call.messages = plain_messages(call.chat.chat.messages);
  for (const auto& [key, value] : call.chat.chat.kwargs.items()) {
    if (key != "enable_thinking" || !value.is_boolean()) {
      if (f.has("chat_template_kwargs") && f.at("chat_template_kwargs").contains(key)) {
        refuse("chat_template_kwargs", "only a true or false enable_thinking can be had here");
      }
      continue;
    }
    call.thinking = value.get<bool>();
  }
  rsa::Settings& s = call.settings;
  try {
    s = preset_of_effort(f);
    read_stage_sampling(f, call.chat.params, s);
    if (f.has("rsa")) {
      read_own_fields(f, call);
    } else {
      read_proxy_fields(f, s);
      call.tau_given = f.has("tail_window_len");
    }
    if (f.has("max_tokens") || f.has("max_completion_tokens")) {
      s.final_tokens = *call.chat.params.max_tokens;
    }
    if (f.has("thinking_token_budget")) s.final_think_tokens = call.chat.params.think_budget;
    // 53 bits: a seed of more would not be the same in every reader of JSON.
    const bool own_seed = f.has("rsa") && f.at("rsa").is_object() && f.at("rsa").contains("seed");
    if (!own_seed) s.seed = call.chat.params.seed >> (f.has("seed") ? 0 : 11);
    rsa::validate(s);
  } catch (const Error& error) {
    refuse("rsa", error.what());
  }
  call.chat.n = s.selection == rsa::Selection::all ? s.population : 1;
  return call;
}

void fit_context(RsaCall& call, std::size_t prompt, std::size_t frame, std::size_t context) {
  rsa::Settings& s = call.settings;
  const bool aggregates = s.rounds > 0;
  const bool full = s.carry == rsa::Carry::full;
  const std::size_t fixed = prompt + (aggregates ? frame : 0);
  if (aggregates && !full && !call.tau_given && fixed < context) {
    s.tau = std::clamp<std::size_t>((context - fixed) / 2 / s.subset, 1, s.tau);
  }
  const std::size_t tails = aggregates ? s.subset * (full ? s.beta : s.tau) : 0;
  const std::size_t read = fixed + tails;
  if (read >= context) {
    throw ApiError(
        {.message = fmt::format("the prompt has {} tokens, and {} of candidates go with it; this "
                                "model's maximum context length is {} tokens",
                                fixed, tails, context),
         .param = "rsa",
         .code = "context_length_exceeded"});
  }
  s.final_tokens = std::min(s.final_tokens, context - read);
  if (!full) {
    s.beta = std::min(s.beta, context - read);
    s.tau = std::min(s.tau, s.beta);
  }
}

}  // namespace zaya
