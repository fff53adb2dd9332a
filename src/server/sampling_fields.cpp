#include "server/sampling_fields.h"

#include <array>
#include <charconv>
#include <limits>
#include <random>

#include "server/api_error.h"

namespace zaya {
namespace {

constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();

template <typename To, typename From>
void set(To& to, const std::optional<From>& from) {
  if (from) to = static_cast<To>(*from);
}

// Known to other servers and changing what comes out: better refused than ignored.
void refuse_unsupported(const Fields& f) {
  if (f.boolean("use_beam_search", false)) f.refuse("use_beam_search", "there is only sampling");
  if (f.integer("min_tokens", 0, kAny).value_or(0) > 0) {
    f.refuse("min_tokens", "use ignore_eos or logit_bias");
  }
  for (const char* key : {"guided_regex", "guided_grammar", "guided_choice", "guided_json",
                          "structured_outputs", "prompt_logprobs"}) {
    if (f.has(key)) f.refuse(key, "this server does not have it");
  }
}

}  // namespace

std::uint64_t random_seed() {
  static thread_local std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

std::vector<LogitBias> read_logit_bias(const Fields& fields) {
  std::vector<LogitBias> out;
  const Json* bias = fields.find("logit_bias");
  if (bias == nullptr) return out;
  if (!bias->is_object()) fields.fail("logit_bias", "an object of token ids and numbers");
  for (const auto& [key, value] : bias->items()) {
    TokenId id = 0;
    const char* end = key.data() + key.size();
    const auto [stop, error] = std::from_chars(key.data(), end, id);
    if (error != std::errc{} || stop != end || !value.is_number()) {
      fields.fail("logit_bias", "an object of token ids and numbers");
    }
    out.push_back({id, value.get<float>()});
  }
  return out;
}

SamplingParams read_sampling(const Fields& f, const SamplingParams& defaults) {
  refuse_unsupported(f);
  SamplingParams p = defaults;
  set(p.temperature, f.number("temperature"));
  set(p.top_p, f.number("top_p"));
  set(p.min_p, f.number("min_p"));
  set(p.repetition_penalty, f.number("repetition_penalty"));
  set(p.presence_penalty, f.number("presence_penalty"));
  set(p.frequency_penalty, f.number("frequency_penalty"));
  // -1 turns it off in vLLM, 0 elsewhere.
  if (const auto k = f.integer("top_k", -1, kAny)) {
    p.top_k = *k < 0 ? 0 : static_cast<std::size_t>(*k);
  }
  p.logit_bias = read_logit_bias(f);
  p.seed = random_seed();
  set(p.seed, f.integer("seed", std::numeric_limits<std::int64_t>::min(), kAny));
  set(p.max_tokens, f.integer("max_tokens", 1, kAny));
  p.stop = f.strings("stop");
  std::erase(p.stop, "");
  if (const Json* ids = f.find("stop_token_ids")) {
    const auto more = read_token_ids(*ids, f.name("stop_token_ids"));
    p.stop_ids.insert(p.stop_ids.end(), more.begin(), more.end());
  }
  p.ignore_eos = f.boolean("ignore_eos", p.ignore_eos);
  set(p.draft_tokens, f.integer("draft_tokens", 0, kAny));
  return p;
}

std::size_t read_choices(const Fields& fields) {
  return static_cast<std::size_t>(fields.integer("n", 1, kMostChoices).value_or(1));
}

Effort read_effort(const std::string& word, const std::string& param) {
  struct Named {
    const char* word;
    Effort effort;
  };
  static const std::array kEfforts = std::to_array<Named>({{"none", {.think = false}},
                                                           {"minimal", {.budget = 256}},
                                                           {"low", {.budget = 1024}},
                                                           {"medium", {.budget = 4096}},
                                                           {"high", {}},
                                                           {"xhigh", {}}});
  for (const Named& n : kEfforts) {
    if (word == n.word) return n.effort;
  }
  throw ApiError({.message = "'" + param + "': expected none, minimal, low, medium, high or xhigh",
                  .param = param,
                  .code = "invalid_value"});
}

Streaming read_streaming(const Fields& fields) {
  Streaming out{.stream = fields.boolean("stream", false)};
  if (!fields.has("stream_options")) return out;
  if (!out.stream) {
    throw ApiError({.message = "'stream_options' is only for 'stream': true",
                    .param = "stream_options",
                    .code = "invalid_value"});
  }
  out.include_usage = fields.object("stream_options").boolean("include_usage", false);
  return out;
}

}  // namespace zaya
