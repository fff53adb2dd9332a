#include "train/run_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "checkpoint/hub.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

constexpr std::int64_t kMany = std::int64_t{1} << 40;

/// An object whose keys are all known.
class Section {
 public:
  Section(const Json& json, const std::string& where, std::initializer_list<std::string_view> keys)
      : view_(json, where) {
    for (const auto& [key, value] : json.items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        throw Error({.where = where,
                     .what = fmt::format("there is no setting '{}'", key),
                     .expected = fmt::format("{}", fmt::join(keys, ", "))});
      }
    }
  }

  const JsonView& view() const { return view_; }

  template <class T>
  void count(std::string_view key, T& value, std::int64_t least = 0) const {
    value = static_cast<T>(view_.integer(key, least, kMany, static_cast<std::int64_t>(value)));
  }
  void number(std::string_view key, double& value, double least, double most) const {
    value = view_.number(key, value);
    if (!(value >= least && value <= most)) {
      view_.fail(key, fmt::format("a number from {} to {}", least, most));
    }
  }
  template <class T>
  void choice(std::string_view key, T& value,
              std::initializer_list<std::pair<std::string_view, T>> names) const {
    if (!view_.has(key)) return;
    const std::string name = view_.string(key);
    std::string all;
    for (const auto& [text, meaning] : names) {
      if (text == name) {
        value = meaning;
        return;
      }
      all += fmt::format("{}\"{}\"", all.empty() ? "" : ", ", text);
    }
    view_.fail(key, all);
  }

 private:
  JsonView view_;
};

const Json kNothing = Json::object();

const Json& part(const JsonView& view, std::string_view key) {
  const Json* found = view.find(key);
  return found != nullptr ? *found : kNothing;
}

std::filesystem::path resolved(const std::filesystem::path& folder, const std::string& path) {
  return folder / path;  // an absolute one replaces the folder
}

std::vector<SourceOptions> parse_sources(const JsonView& view,
                                         const std::filesystem::path& folder) {
  std::vector<SourceOptions> sources;
  const Json& list = view.at("data");
  if (!list.is_array() || list.empty()) view.fail("data", "a list of {\"path\", \"weight\"}");
  for (const Json& item : list) {
    const Section source(item, view.where() + ": data", {"path", "weight"});
    SourceOptions options{resolved(folder, source.view().string("path")), 1};
    source.number("weight", options.weight, 1e-6, 1e6);
    sources.push_back(std::move(options));
  }
  return sources;
}

LoraOptions parse_lora(const JsonView& view) {
  const Section section(part(view, "lora"), view.where() + ": lora", {"rank", "alpha", "targets"});
  LoraOptions lora;
  lora.rank = static_cast<std::size_t>(section.view().integer(
      "rank", 1, AdapterConfig::kMaxRank, static_cast<std::int64_t>(lora.rank)));
  lora.alpha = 2 * static_cast<double>(lora.rank);
  section.number("alpha", lora.alpha, 1e-6, 1e6);
  if (!section.view().has("targets")) return lora;
  constexpr const char* kExpected =
      "a list of q_proj, k_proj, v_proj_current, v_proj_delayed and o_proj";
  constexpr std::array kNames{"q_proj", "k_proj", "v_proj_current", "v_proj_delayed", "o_proj"};
  const Json& list = section.view().at("targets");
  if (!list.is_array() || list.empty()) section.view().fail("targets", kExpected);
  lora.targets.clear();
  for (const Json& item : list) {
    const auto* name = std::find(kNames.begin(), kNames.end(), item);
    if (name == kNames.end()) section.view().fail("targets", kExpected);
    lora.targets.push_back(static_cast<Projection>(name - kNames.begin()));
  }
  return lora;
}

}  // namespace

RunConfig parse_run_config(const Json& json, const std::string& where,
                           const std::filesystem::path& folder) {
  constexpr double kMost = 1e6;
  RunConfig c;
  const Section top(
      json, where,
      {"model",         "out",        "steps",       "seed",           "data",
       "context",       "batch_rows", "accumulate",  "long_documents", "rope_theta",
       "max_positions", "evaluation", "optimizer",   "balancing",      "precision",
       "recompute",     "threads",    "checkpoints", "lora",           "expert_parallel"});
  const JsonView& view = top.view();
  c.model = resolved(folder, view.string("model"));
  if (!std::filesystem::exists(c.model)) c.model = resolve_model_folder(view.string("model"));
  c.out = resolved(folder, view.string("out"));
  c.steps = static_cast<std::uint64_t>(view.integer("steps", 1, kMany));
  top.count("seed", c.seed);
  c.data = parse_sources(view, folder);
  c.context = static_cast<std::size_t>(view.integer("context", 2, 1 << 24));
  c.batch_rows = c.context;
  top.count("batch_rows", c.batch_rows, static_cast<std::int64_t>(c.context));
  top.count("accumulate", c.accumulate, 1);
  top.choice("long_documents", c.split, {{"split", true}, {"drop", false}});
  if (view.has("rope_theta")) {
    double theta = 0;
    top.number("rope_theta", theta, 1, 1e12);
    c.rope_theta = theta;
  }
  if (view.has("max_positions")) {
    c.max_positions = static_cast<std::size_t>(view.integer("max_positions", 1, 1 << 24));
  }
  top.choice("precision", c.precision, {{"bf16", GemmKind::bf16}, {"f32", GemmKind::f32}});
  c.options.recompute = view.boolean("recompute", false);
  top.count("threads", c.threads);

  c.expert_parallel = view.boolean("expert_parallel", false);
  if (view.has("lora")) {
    if (c.expert_parallel) view.fail("expert_parallel", "false: with lora experts are not trained");
    c.lora = parse_lora(view);
    for (const char* key : {"rope_theta", "max_positions", "balancing"}) {
      if (view.has(key)) view.fail(key, "nothing: with lora the model stays as it is");
    }
    c.balancing.kind = BalancerKind::none;
    // What is usual for adapters: AdamW at a lower rate, nothing drawn to zero.
    c.optimizer.muon = false;
    c.optimizer.weight_decay = 0;
    c.schedule.peak = 2e-4;
    c.checkpoints.dtype = DType::f32;
  }

  const Section evaluation(part(view, "evaluation"), where + ": evaluation",
                           {"data", "every", "rows"});
  if (view.has("evaluation")) {
    c.evaluation.data = parse_sources(evaluation.view(), folder);
    c.evaluation.every = static_cast<std::uint64_t>(evaluation.view().integer("every", 1, kMany));
    evaluation.count("rows", c.evaluation.rows, 1);
  }

  const Section optimizer(part(view, "optimizer"), where + ": optimizer",
                          {"kind", "rate", "final_rate", "schedule", "warmup", "decay",
                           "weight_decay", "beta1", "beta2", "eps", "momentum", "clip"});
  optimizer.choice("kind", c.optimizer.muon, {{"muon", true}, {"adamw", false}});
  optimizer.number("weight_decay", c.optimizer.weight_decay, 0, kMost);
  optimizer.number("beta1", c.optimizer.beta1, 0, 0.999999);
  optimizer.number("beta2", c.optimizer.beta2, 0, 0.999999);
  optimizer.number("eps", c.optimizer.eps, 0, 1);
  optimizer.number("momentum", c.optimizer.momentum, 0, 0.999999);
  optimizer.number("clip", c.optimizer.clip, 0, kMost);
  optimizer.choice("schedule", c.schedule.kind,
                   {{"constant", ScheduleKind::constant},
                    {"linear", ScheduleKind::linear},
                    {"cosine", ScheduleKind::cosine},
                    {"wsd", ScheduleKind::wsd}});
  optimizer.number("rate", c.schedule.peak, 0, kMost);
  optimizer.number("final_rate", c.schedule.final, 0, kMost);
  optimizer.count("warmup", c.schedule.warmup);
  optimizer.count("decay", c.schedule.decay);
  c.schedule.steps = c.steps;

  const Section balancing(
      part(view, "balancing"), where + ": balancing",
      {"kind", "rate", "beta1", "beta2", "eps", "decay", "include_skip", "auxiliary_loss"});
  balancing.choice("kind", c.balancing.kind,
                   {{"none", BalancerKind::none},
                    {"controller", BalancerKind::controller},
                    {"sign", BalancerKind::sign}});
  balancing.number("rate", c.balancing.rate, 0, kMost);
  balancing.number("beta1", c.balancing.beta1, 0, 0.999999);
  balancing.number("beta2", c.balancing.beta2, 0, 0.999999);
  balancing.number("eps", c.balancing.eps, 0, 1);
  balancing.number("decay", c.balancing.decay, 0, kMost);
  c.balancing.include_skip = balancing.view().boolean("include_skip", false);
  balancing.number("auxiliary_loss", c.options.auxiliary_loss, 0, kMost);

  const Section checkpoints(part(view, "checkpoints"), where + ": checkpoints",
                            {"every", "keep", "keep_every", "dtype"});
  checkpoints.count("every", c.checkpoints.every);
  checkpoints.count("keep", c.checkpoints.keep, 1);
  checkpoints.count("keep_every", c.checkpoints.keep_every);
  checkpoints.choice("dtype", c.checkpoints.dtype, {{"bf16", DType::bf16}, {"f32", DType::f32}});
  return c;
}

RunConfig read_run_config(const std::filesystem::path& file) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20;
  return parse_run_config(read_json_file(file, kMostBytes), file.string(), file.parent_path());
}

}  // namespace zaya::train
