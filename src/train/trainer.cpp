#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "compute/roofline.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLog = "log.jsonl";

/// The log without lines of steps after `step`, or without a whole line.
std::string log_until(const fs::path& path, std::uint64_t step) {
  std::string kept;
  if (std::error_code ignored; !fs::exists(path, ignored)) return kept;
  const std::string text = read_file(path);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    try {
      const Json json = parse_json(line, path.string());
      if (JsonView(json, path.string()).integer("step", 0, INT64_MAX) >
          static_cast<std::int64_t>(step)) {
        break;
      }
    } catch (const Error&) {
      break;
    }
    kept += line + "\n";
  }
  return kept;
}

Json log_line(const StepReport& report) {
  Json json = {{"step", report.step},       {"loss", report.loss},
               {"rate", report.rate},       {"gradient_norm", report.norm},
               {"rows", report.rows},       {"targets", report.targets},
               {"seconds", report.seconds}, {"load_entropy", report.load_entropy}};
  if (report.evaluation) json["evaluation_loss"] = *report.evaluation;
  return json;
}

}  // namespace

Trainer::Trainer(RunConfig config, const Kernels& kernels, ThreadPool& pool, Communicator& ranks)
    : config_(std::move(config)), pool_(pool), ranks_(ranks) {
  if (config_.accumulate < ranks_.size()) {
    throw Error({.where = "accumulate",
                 .what = "a step has fewer batches than there are processes",
                 .expected = fmt::format("at least {}, with smaller batch_rows for the same step",
                                         ranks_.size()),
                 .found = std::to_string(config_.accumulate)});
  }
  const auto saved = newest();
  auto checkpoint = std::make_shared<const Checkpoint>(
      Checkpoint::open(saved && !config_.lora ? saved->folder : config_.model));
  ModelConfig model = checkpoint->config();
  if (config_.rope_theta) model.rope.theta = *config_.rope_theta;
  if (config_.max_positions) model.max_positions = *config_.max_positions;
  if (config_.context > model.max_positions) {
    throw Error(
        {.where = "context",
         .what = "is longer than the model's",
         .expected = fmt::format("at most {}, or a larger max_positions", model.max_positions),
         .found = std::to_string(config_.context)});
  }
  if (config_.lora) {
    model_ = std::make_unique<Model<float>>(checkpoint, *config_.lora, config_.seed,
                                            config_.options, kernels, config_.precision, pool);
  } else if (in_step()) {
    model_ = std::make_unique<Model<float>>(model, config_.options, kernels, config_.precision,
                                            pool, ranks_);
  } else {
    model_ =
        std::make_unique<Model<float>>(model, config_.options, kernels, config_.precision, pool);
  }
  optimizer_ = std::make_unique<Optimizer>(config_.optimizer, model_->layout(), model_->placement(),
                                           kernels, config_.precision, pool, ranks_);
  balancer_ =
      std::make_unique<Balancer>(config_.balancing, model.layers, model.experts, model.classes());
  loader_ = std::make_unique<Loader>(config_.loader());
  for (const LayerTensors<float>& layer : model_->tensors().layers) {
    biases_.push_back(layer.balancing);
  }
  if (saved) {
    load_run(config_, *saved, state());
    step_ = saved->step;
  } else if (!config_.lora) {
    model_->load(*checkpoint);
  }
}

/// The newest checkpoint, as rank 0 sees it.
std::optional<SavedRun> Trainer::newest() {
  auto saved = latest_run(config_.out);
  std::uint64_t step = saved ? saved->step : 0;
  ranks_.broadcast(0, std::as_writable_bytes(std::span(&step, 1)));
  if (step != (saved ? saved->step : 0)) {
    throw Error({.where = config_.out.string(),
                 .what = "is not the same folder for all processes",
                 .expected = fmt::format("the checkpoint of step {}", step)});
  }
  return saved;
}

bool Trainer::all_go_on(bool go_on) {
  double stopping = go_on ? 0 : 1;
  ranks_.sum({&stopping, 1});
  return stopping == 0;
}

/// f(batch) for this rank's batches, one of every so many. Ranks that need each other's experts
/// all go as many rounds, some with no rows in the last one.
void Trainer::each_own(const std::vector<PackedBatch>& batches,
                       const std::function<void(const PackedBatch&)>& f) {
  for (std::size_t first = 0; first < batches.size(); first += ranks_.size()) {
    const std::size_t own = first + ranks_.rank();
    if (own < batches.size()) {
      f(batches[own]);
    } else if (in_step()) {
      f(PackedBatch{});
    }
  }
}

StepReport Trainer::train_step() {
  const auto start = std::chrono::steady_clock::now();
  StepReport report;
  std::vector<PackedBatch> batches;
  for (std::size_t i = 0; i < config_.accumulate; ++i) {
    batches.push_back(loader_->next());
    report.rows += batches.back().rows();
    report.targets += batches.back().target_count();
  }
  std::vector<float>& gradients = model_->gradients();
  pool_.run_ranges(gradients.size(), std::size_t{1} << 16, [&](std::size_t i, std::size_t end) {
    std::fill(gradients.begin() + static_cast<long>(i), gradients.begin() + static_cast<long>(end),
              0.0F);
  });
  for (auto& load : model_->loads()) std::fill(load.begin(), load.end(), 0);
  const auto targets = static_cast<double>(report.targets);
  each_own(batches, [&](const PackedBatch& batch) {
    report.loss += model_->forward_backward(
        batch, static_cast<float>(1 / targets),
        static_cast<float>(batch.rows()) / static_cast<float>(report.rows));
  });
  ranks_.sum({&report.loss, 1});
  report.loss /= targets;
  report.rate = config_.schedule.rate(step_);
  report.norm = std::isfinite(report.loss)
                    ? optimizer_->step(model_->parameters(), gradients, report.rate)
                    : report.loss;
  if (!std::isfinite(report.norm)) {
    throw Error({.where = fmt::format("step {}", step_ + 1),
                 .what = std::isfinite(report.loss) ? "the gradient is no finite number"
                                                    : "the loss is no finite number",
                 .expected = "a lower learning rate, perhaps"});
  }
  sum_loads();
  balancer_->update(model_->loads(), biases_);
  const std::size_t experts = model_->config().experts;
  for (const auto& load : model_->loads()) {
    report.load_entropy.push_back(load_entropy(load, experts));
  }
  report.step = ++step_;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

/// Over ranks. Counts of rows are exact as doubles.
void Trainer::sum_loads() {
  std::vector<double> counts;
  for (const auto& load : model_->loads()) counts.insert(counts.end(), load.begin(), load.end());
  ranks_.sum(counts);
  auto count = counts.begin();
  for (auto& load : model_->loads()) {
    for (std::uint64_t& rows : load) rows = static_cast<std::uint64_t>(*count++);
  }
}

double Trainer::evaluate() {
  Loader loader(config_.evaluation_loader());
  std::vector<PackedBatch> batches;
  std::size_t targets = 0;
  for (std::size_t rows = 0; rows < config_.evaluation.rows;) {
    batches.push_back(loader.next());
    targets += batches.back().target_count();
    rows += batches.back().rows();
  }
  double loss = 0;
  each_own(batches, [&](const PackedBatch& batch) { loss += model_->evaluate(batch); });
  ranks_.sum({&loss, 1});
  return loss / static_cast<double>(targets);
}

void Trainer::save() {
  save_run(config_, step_, state());
}

void Trainer::open_log() {
  if (ranks_.rank() != 0) return;
  std::error_code error;
  fs::create_directories(config_.out, error);
  const fs::path path = config_.out / kLog;
  write_file(path, log_until(path, step_));
  log_.open(path, std::ios::app);
  if (!log_) throw Error({.where = path.string(), .what = "cannot write"});
}

bool Trainer::run(const std::function<bool(const StepReport&)>& report) {
  open_log();
  while (step_ < config_.steps) {
    StepReport done = train_step();
    const auto due = [&](std::uint64_t every) { return every != 0 && step_ % every == 0; };
    const bool last = step_ == config_.steps;
    if (config_.evaluation.every != 0 && (due(config_.evaluation.every) || last)) {
      done.evaluation = evaluate();
    }
    if (ranks_.rank() == 0) log_ << log_line(done).dump() << std::endl;
    const bool go_on = all_go_on(report(done));
    if (due(config_.checkpoints.every) || last || !go_on) save();
    if (!go_on) return last;
  }
  return true;
}

double matrix_peak(GemmKind kind, Isa isa, ThreadPool& pool) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;  // the speed of memory is not asked for
  const Roofline roofline = RooflineProbe(kBytes).measure(isa, pool);
  return kind == GemmKind::bf16 ? roofline.bf16 : roofline.f32;
}

}  // namespace zaya::train
