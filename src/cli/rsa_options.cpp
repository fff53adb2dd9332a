#include "cli/rsa_options.h"

#include <random>

#include "zaya/error.h"

namespace zaya::cli {

void RsaOptions::add_to(CLI::App& command) {
  CLI::Option_group& group = *command.add_option_group(
      "Markovian RSA", "See docs/markovian-rsa.md; the letters are the technical report's");
  auto* effort =
      group
          .add_option(
              "--effort", effort_,
              "How much to compute: low, medium, high or xhigh (presets light, recommended, "
              "headline, extra-high; default: low)")
          ->check(CLI::IsMember(rsa::effort_names()));
  group.add_option("--preset", preset_, "Settings of the technical report, by name")
      ->check(CLI::IsMember(rsa::preset_names()))
      ->excludes(effort);
  group.add_option("-T,--rounds", rounds_, "Aggregation rounds; there is one stage more");
  group.add_option("-N,--population", population_, "Candidates of a stage");
  group.add_option("-C,--subset", subset_, "Candidates that an aggregation sees");
  group.add_option("--beta", beta_, "Most tokens of a candidate, but for the last stage");
  group.add_option("--tau", tau_, "Tokens of the tail that a candidate hands on");
  group.add_option("--final-tokens", final_tokens_, "Most tokens of a candidate of the last stage");
  group.add_option("--final-think-budget", final_think_,
                   "Of those, most that are reasoning; then the think block is closed by force");
  group
      .add_option(
          "--carry", carry_,
          "What is handed on: reasoning_tail, answer_or_tail, full, or own_tail (with -C 1)")
      ->check(CLI::IsMember({"reasoning_tail", "answer_or_tail", "full", "own_tail"}));
  group
      .add_option("--select", select_,
                  "What the answer is: majority of the last stage, single (one last generation), "
                  "pick (one at random), or all")
      ->check(CLI::IsMember({"majority", "single", "pick", "all"}));
  group.add_option("--budget", budget_, "Most tokens to generate for one problem");
  group.add_option("--temp,--temperature", temperature_, "Sampling temperature (default: 1)");
  group.add_option("--top-p", top_p_, "Sampling top-p (default: 1, off)");
  group.add_option("--top-k", top_k_, "Sampling top-k (default: 0, off)");
  group.add_option("--min-p", min_p_, "Sampling min-p (default: 0, off)");
  group.add_option("--final-temperature", final_temperature_, "Temperature of the last stage");
  group.add_option("--final-top-p", final_top_p_, "top-p of the last stage");
  group.add_option("--final-top-k", final_top_k_, "top-k of the last stage");
  group.add_option("--seed", seed_, "Same seed, same run (default: a new one each time)");
}

rsa::Settings RsaOptions::settings() const {
  rsa::Settings s = rsa::preset(
      !preset_.empty() ? preset_ : rsa::effort_preset(effort_.empty() ? "low" : effort_));
  const auto set = [](auto& to, const auto& from) {
    if (from) to = *from;
  };
  set(s.rounds, rounds_);
  set(s.population, population_);
  if (!carry_.empty()) s.carry = rsa::parse_carry(carry_);
  if (!select_.empty()) s.selection = rsa::parse_selection(select_);
  // A small population, or Delethink, implies a smaller subset than the preset's.
  s.subset = s.carry == rsa::Carry::own_tail ? 1 : std::min(s.subset, s.population);
  set(s.subset, subset_);
  set(s.beta, beta_);
  if (!tau_) s.tau = std::min(s.tau, s.beta);
  set(s.tau, tau_);
  set(s.final_tokens, final_tokens_);
  if (final_think_) s.final_think_tokens = final_think_;
  if (budget_) s.budget_tokens = budget_;
  set(s.sampling[0].temperature, temperature_);
  set(s.sampling[0].top_p, top_p_);
  set(s.sampling[0].top_k, top_k_);
  set(s.sampling[0].min_p, min_p_);
  if (final_temperature_ || final_top_p_ || final_top_k_) {
    s.final_sampling = s.sampling[0];
    set(s.final_sampling->temperature, final_temperature_);
    set(s.final_sampling->top_p, final_top_p_);
    set(s.final_sampling->top_k, final_top_k_);
  }
  std::random_device device;
  // 53 bits: every JSON reader keeps such a number exactly.
  s.seed = seed_.value_or(((static_cast<std::uint64_t>(device()) << 32) | device()) >> 11);
  try {
    rsa::validate(s);
  } catch (const Error& e) {
    throw UsageError(e.what());
  }
  return s;
}

}  // namespace zaya::cli
