#include "rsa/prompts.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file.h"
#include "base/json.h"
#include "zaya/error.h"

namespace zaya::rsa {
namespace {

constexpr std::uint64_t kMostBytes = 1U << 20;

}  // namespace

AggregationPrompt::AggregationPrompt(std::string source, const std::string& name)
    : source_(std::move(source)), name_(name), parsed_(source_, name) {}

const std::vector<std::string>& AggregationPrompt::kinds() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, text] : builtin_prompts()) all.emplace_back(name);
    return all;
  }();
  return names;
}

AggregationPrompt AggregationPrompt::builtin(std::string_view kind) {
  for (const auto& [name, text] : builtin_prompts()) {
    if (kind == name) return {text, fmt::format("prompt '{}'", name)};
  }
  throw Error({.where = "aggregation prompt",
               .what = "there is none of this name",
               .expected = fmt::format("{}", fmt::join(kinds(), ", ")),
               .found = std::string(kind.substr(0, 100))});
}

AggregationPrompt AggregationPrompt::load(const std::string& kind_or_file) {
  const auto& names = kinds();
  if (std::find(names.begin(), names.end(), kind_or_file) != names.end()) {
    return builtin(kind_or_file);
  }
  if (!std::filesystem::exists(kind_or_file)) {
    throw Error({.where = kind_or_file,
                 .what = "neither a file nor a built-in aggregation prompt",
                 .expected = fmt::format("a Jinja template, or {}", fmt::join(names, ", "))});
  }
  return {read_file(kind_or_file, kMostBytes), kind_or_file};
}

std::string AggregationPrompt::render(const std::string& problem,
                                      const std::vector<std::string>& candidates, bool last) const {
  std::string text =
      parsed_.render({{"problem", problem}, {"candidates", candidates}, {"last", last}});
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error({.where = name_, .what = "the aggregation prompt is empty"});
  }
  return text;
}

}  // namespace zaya::rsa
