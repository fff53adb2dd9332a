#include "cli/sampling_options.h"

#include <charconv>
#include <limits>
#include <random>

#include <fmt/format.h>

#include "cli/model_options.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

// "106=-2.5", "106:-2.5"; "-inf" bans the token.
LogitBias parse_bias(const std::string& text) {
  const auto cut = text.find_first_of("=:");
  const char* end = text.data() + text.size();
  LogitBias bias{};
  if (cut != std::string::npos) {
    const char* middle = text.data() + cut;
    const auto [id_end, id_error] = std::from_chars(text.data(), middle, bias.id);
    const auto [value_end, value_error] = std::from_chars(middle + 1, end, bias.bias);
    if (id_error == std::errc{} && id_end == middle && value_error == std::errc{} &&
        value_end == end) {
      return bias;
    }
  }
  throw UsageError(
      fmt::format("--logit-bias '{}': give ID=NUMBER, as in 106=-2.5 or 106=-inf", text));
}

// CLI11 reads unsigned numbers with strtoull, which takes -1 for a very large one.
std::string whole_number_problem(const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && stop == end ? "" : fmt::format("'{}' is no whole number", text);
}

std::uint64_t random_seed() {
  std::random_device device;
  // 53 bits: every JSON reader keeps such a number exactly.
  return ((static_cast<std::uint64_t>(device()) << 32) | device()) >> 11;
}

}  // namespace

void SamplingOptions::add_to(CLI::App& command) {
  CLI::Option_group& group = *command.add_option_group(
      "Sampling", "What is not given comes from the model's generation_config.json");
  const auto add_count = [&](const char* names, auto& to, const char* help) {
    group.add_option(names, to, help)->check(CLI::Validator(whole_number_problem, ""));
  };
  auto* greedy = group.add_flag("--greedy", greedy_, "Take the likeliest token every time");
  group.add_option("--temp,--temperature", temperature_, "0 is greedy, 1 the model's distribution")
      ->excludes(greedy);
  add_count("--top-k", top_k_, "Only the K likeliest tokens; 0 turns it off");
  group.add_option("--top-p", top_p_,
                   "Only the likeliest tokens that reach probability P together");
  group.add_option("--min-p", min_p_, "Only tokens at least P times as likely as the likeliest");
  group.add_option(
      "--repetition-penalty", repetition_penalty_,
      "Divides positive and multiplies negative logits of tokens seen; 1 turns it off");
  group.add_option("--presence-penalty", presence_penalty_,
                   "Taken from the logits of tokens already in the output, -2 to 2");
  group.add_option("--frequency-penalty", frequency_penalty_,
                   "The same for each time a token is in the output, -2 to 2");
  group
      .add_option("--logit-bias", logit_bias_,
                  "ID=NUMBER: added to a token's logit; -inf bans it. May be repeated")
      ->type_name("ID=NUMBER")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_count("--seed", seed_, "Same seed, same output (default: a new one each time)");
  add_count("-n,--max-tokens", max_tokens_,
            "Most tokens to generate (default: until the model stops or its context is full)");
  group.add_option("--stop", stop_, "Text that ends the output; not part of it. May be repeated")
      ->type_name("TEXT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  group.add_option("--stop-tokens", stop_ids_, "More token ids that end the output: 5,9,2")
      ->type_name("IDS");
  group.add_flag("--ignore-eos", ignore_eos_, "Do not stop at the model's own end tokens");
  add_count("--think-budget", think_budget_,
            "Most tokens of reasoning; then the think block is closed by force");
  add_count("--logprobs", logprobs_,
            "Report log-probabilities of each token and of the N likeliest (with --json)");
  add_count("--draft-tokens", draft_tokens_,
            "Speculate: draft up to N tokens, 16 at most, where the text repeats itself, and check "
            "them in one step; the output is the same. 0 turns it off (default)");
  group.add_flag("--no-generation-config", no_generation_config_,
                 "Do not read generation_config.json");
}

void SamplingOptions::check() const {
  SamplingParams params;
  apply(params);
  try {
    // Ids are checked against the real vocabulary once it is known.
    validate(params, std::numeric_limits<TokenId>::max());
  } catch (const Error& e) {
    throw UsageError(e.what());
  }
}

SamplingParams SamplingOptions::over(const SamplingParams& defaults) const {
  SamplingParams params = defaults;
  params.seed = random_seed();
  apply(params);
  return params;
}

void SamplingOptions::apply(SamplingParams& p) const {
  const auto set = [](auto& to, const auto& from) {
    if (from) to = *from;
  };
  set(p.temperature, temperature_);
  set(p.top_k, top_k_);
  set(p.top_p, top_p_);
  set(p.min_p, min_p_);
  set(p.repetition_penalty, repetition_penalty_);
  set(p.presence_penalty, presence_penalty_);
  set(p.frequency_penalty, frequency_penalty_);
  set(p.seed, seed_);
  set(p.max_tokens, max_tokens_);
  set(p.think_budget, think_budget_);
  set(p.top_logprobs, logprobs_);
  set(p.draft_tokens, draft_tokens_);
  if (greedy_) p.temperature = 0.0;
  p.ignore_eos = ignore_eos_;
  p.stop.insert(p.stop.end(), stop_.begin(), stop_.end());
  for (const TokenId id : parse_token_list(stop_ids_)) p.stop_ids.push_back(id);
  for (const std::string& text : logit_bias_) p.logit_bias.push_back(parse_bias(text));
}

}  // namespace zaya::cli
