#include "rsa/settings.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya::rsa {
namespace {

// Bounds of what is asked for, so that no product of settings overflows and no request from outside
// makes a run that cannot be held in memory.
constexpr std::size_t kMostRounds = 1000;
constexpr std::size_t kMostPopulation = 1024;
constexpr std::size_t kMostTokens = 1U << 24;
constexpr std::size_t kMostBudget = std::size_t{1} << 40;

constexpr std::array kCarries = {
    std::pair{Carry::reasoning_tail, "reasoning_tail"},
    std::pair{Carry::answer_or_tail, "answer_or_tail"},
    std::pair{Carry::full, "full"},
    std::pair{Carry::own_tail, "own_tail"},
};
constexpr std::array kSelections = {
    std::pair{Selection::all, "all"},
    std::pair{Selection::single, "single"},
    std::pair{Selection::majority, "majority"},
    std::pair{Selection::pick, "pick"},
};

template <class Table>
auto parse_name(const Table& table, std::string_view name, const char* where) {
  std::string expected;
  for (const auto& [value, text] : table) {
    if (name == text) return value;
    expected += (expected.empty() ? "" : ", ") + std::string(text);
  }
  throw Error({.where = where,
               .what = "there is none of this name",
               .expected = expected,
               .found = std::string(name.substr(0, 100))});
}

template <class Table, class Value>
const char* name_in(const Table& table, Value wanted) {
  for (const auto& [value, text] : table) {
    if (value == wanted) return text;
  }
  return "";
}

struct Preset {
  std::string name;
  std::size_t rounds, population, beta;
};
// C = 4, tau = 4096 and a last answer of 40,960 tokens in all of them (report, tables XI to XIII;
// "K" is 1024: the report's limit of 20,480 tokens for training prompts is 4 x 4096 + 4096).
const std::vector<Preset>& presets() {
  static const std::vector<Preset> table = {
      {"light", 2, 8, 8192},       {"recommended", 2, 16, 16384}, {"headline", 2, 16, 40960},
      {"apex-high", 8, 16, 16384}, {"extra-high", 8, 32, 32768},
  };
  return table;
}

void check_range(const char* name, std::size_t value, std::size_t least, std::size_t most) {
  if (value >= least && value <= most) return;
  throw Error({.where = name,
               .what = "out of range",
               .expected = fmt::format("{} to {}", least, most),
               .found = fmt::format("{}", value)});
}

void check_sampling(const Sampling& s) {
  const auto check = [](const char* name, double value, double least, double most) {
    if (value >= least && value <= most) return;  // false for NaN
    throw Error({.where = name,
                 .what = "out of range",
                 .expected = fmt::format("{} to {}", least, most),
                 .found = fmt::format("{}", value)});
  };
  check("temperature", s.temperature, 0.0, 100.0);
  check("top_p", s.top_p, std::numeric_limits<double>::min(), 1.0);
  check("min_p", s.min_p, 0.0, 1.0);
}

Json sampling_json(const Sampling& s) {
  return {
      {"temperature", s.temperature}, {"top_p", s.top_p}, {"top_k", s.top_k}, {"min_p", s.min_p}};
}

void refuse_others(const Json& json, const std::string& where,
                   const std::vector<std::string_view>& known) {
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw Error({.where = where,
                   .what = fmt::format("'{}' is no setting", key.substr(0, 100)),
                   .expected = fmt::format("{}", fmt::join(known, ", "))});
    }
  }
}

Sampling sampling_from(const Json& json, const std::string& where) {
  const JsonView view(json, where);
  refuse_others(json, where, {"temperature", "top_p", "top_k", "min_p"});
  Sampling s;
  s.temperature = view.number("temperature", s.temperature);
  s.top_p = view.number("top_p", s.top_p);
  s.top_k = static_cast<std::size_t>(view.integer("top_k", 0, 1 << 30, 0));
  s.min_p = view.number("min_p", s.min_p);
  return s;
}

}  // namespace

const Sampling& Settings::sampling_of(std::size_t stage) const {
  if (stage == last_stage() && final_sampling) return *final_sampling;
  return sampling[std::min(stage, sampling.size() - 1)];
}

std::size_t Settings::generations_from(std::size_t stage) const {
  return (last_stage() - stage) * population + width(last_stage());
}

void validate(const Settings& s) {
  check_range("rounds", s.rounds, 0, kMostRounds);
  check_range("population", s.population, 1, kMostPopulation);
  check_range("subset", s.subset, 1, s.population);
  check_range("beta", s.beta, 1, kMostTokens);
  check_range("tau", s.tau, 1, kMostTokens);
  check_range("final_tokens", s.final_tokens, 1, kMostTokens);
  if (s.final_think_tokens)
    check_range("final_think_tokens", *s.final_think_tokens, 0, kMostTokens);
  if (s.tau > s.beta && s.carry != Carry::full) {
    throw Error({.where = "tau",
                 .what = "a tail is longer than what it is cut from",
                 .expected = fmt::format("at most beta, {}", s.beta),
                 .found = fmt::format("{}", s.tau)});
  }
  if (s.carry == Carry::own_tail && s.subset != 1) {
    throw Error({.where = "subset",
                 .what = "a candidate that sees only its own tail sees one",
                 .expected = "1 with carry own_tail",
                 .found = fmt::format("{}", s.subset)});
  }
  if (s.sampling.empty()) throw Error({.where = "sampling", .what = "no stage has any"});
  for (const Sampling& sampling : s.sampling) check_sampling(sampling);
  if (s.final_sampling) check_sampling(*s.final_sampling);
  if (s.budget_tokens) {
    check_range("budget_tokens", *s.budget_tokens, s.generations_from(0), kMostBudget);
  }
}

Settings preset(std::string_view name) {
  for (const Preset& p : presets()) {
    if (p.name == name) {
      return {.rounds = p.rounds, .population = p.population, .beta = p.beta};
    }
  }
  throw Error({.where = "preset",
               .what = "there is none of this name",
               .expected = fmt::format("{}", fmt::join(preset_names(), ", ")),
               .found = std::string(name.substr(0, 100))});
}

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Preset& p : presets()) all.push_back(p.name);
    return all;
  }();
  return names;
}

const std::vector<std::string>& effort_names() {
  static const std::vector<std::string> names = {"low", "medium", "high", "xhigh"};
  return names;
}

const std::string& effort_preset(std::string_view effort) {
  static const std::vector<std::string> of = {"light", "recommended", "headline", "extra-high"};
  const auto& names = effort_names();
  const auto at = std::find(names.begin(), names.end(), effort);
  if (at == names.end()) {
    throw Error({.where = "effort",
                 .what = "there is none of this name",
                 .expected = fmt::format("{}", fmt::join(names, ", ")),
                 .found = std::string(effort.substr(0, 100))});
  }
  return of[static_cast<std::size_t>(at - names.begin())];
}

const char* carry_name(Carry carry) {
  return name_in(kCarries, carry);
}

const char* selection_name(Selection selection) {
  return name_in(kSelections, selection);
}

Carry parse_carry(std::string_view name) {
  return parse_name(kCarries, name, "carry");
}

Selection parse_selection(std::string_view name) {
  return parse_name(kSelections, name, "selection");
}

Json to_json(const Settings& s) {
  Json json = {{"rounds", s.rounds},
               {"population", s.population},
               {"subset", s.subset},
               {"beta", s.beta},
               {"tau", s.tau},
               {"final_tokens", s.final_tokens},
               {"carry", carry_name(s.carry)},
               {"selection", selection_name(s.selection)},
               {"sampling", Json::array()}};
  for (const Sampling& sampling : s.sampling) json["sampling"].push_back(sampling_json(sampling));
  if (s.final_sampling) json["final_sampling"] = sampling_json(*s.final_sampling);
  if (s.final_think_tokens) json["final_think_tokens"] = *s.final_think_tokens;
  if (s.budget_tokens) json["budget_tokens"] = *s.budget_tokens;
  json["seed"] = s.seed;
  return json;
}

Settings settings_from_json(const Json& json, const std::string& where, Settings s) {
  const JsonView view(json, where);
  refuse_others(json, where,
                {"preset", "rounds", "population", "subset", "beta", "tau", "final_tokens",
                 "final_think_tokens", "carry", "selection", "sampling", "final_sampling",
                 "budget_tokens", "seed"});
  if (view.has("preset")) {
    const std::uint64_t seed = s.seed;
    s = preset(view.string("preset"));
    s.seed = seed;
  }
  const auto read = [&](const char* key, std::size_t most, std::size_t fallback) {
    return static_cast<std::size_t>(
        view.integer(key, 0, static_cast<std::int64_t>(most), static_cast<std::int64_t>(fallback)));
  };
  s.rounds = read("rounds", kMostRounds, s.rounds);
  s.population = read("population", kMostPopulation, s.population);
  s.subset = read("subset", kMostPopulation, std::min(s.subset, s.population));
  s.beta = read("beta", kMostTokens, s.beta);
  s.tau = read("tau", kMostTokens, s.tau);
  s.final_tokens = read("final_tokens", kMostTokens, s.final_tokens);
  if (view.has("final_think_tokens")) {
    s.final_think_tokens = read("final_think_tokens", kMostTokens, 0);
  }
  if (view.has("carry")) s.carry = parse_carry(view.string("carry"));
  if (view.has("selection")) s.selection = parse_selection(view.string("selection"));
  if (const Json* list = view.find("sampling")) {
    s.sampling.clear();
    const std::string place = where + ": sampling";
    if (list->is_object()) {
      s.sampling.push_back(sampling_from(*list, place));
    } else if (list->is_array()) {
      for (const Json& one : *list) s.sampling.push_back(sampling_from(one, place));
    } else {
      view.fail("sampling", "an object, or a list with one for each stage");
    }
  }
  if (const Json* one = view.find("final_sampling")) {
    s.final_sampling = sampling_from(*one, where + ": final_sampling");
  }
  if (view.has("budget_tokens")) s.budget_tokens = read("budget_tokens", kMostBudget, 0);
  if (view.has("seed")) {
    s.seed = static_cast<std::uint64_t>(view.integer("seed", 0, std::int64_t{1} << 53));
  }
  validate(s);
  return s;
}

}  // namespace zaya::rsa
