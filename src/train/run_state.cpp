#include "train/run_state.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "checkpoint/adapter.h"
#include "checkpoint/convert.h"
#include "checkpoint/identity.h"
#include "checkpoint/output_folder.h"
#include "checkpoint/safetensors.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";
constexpr const char* kStateFile = "optimizer.safetensors";

fs::path step_folder(const fs::path& out, std::uint64_t step) {
  return out / fmt::format("{}{:08}", kPrefix, step);
}

/// Steps of the complete checkpoints, sorted.
std::vector<std::uint64_t> saved_steps(const fs::path& out) {
  std::vector<std::uint64_t> steps;
  std::error_code error;
  for (fs::directory_iterator it(out, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::uint64_t step = 0;
    const char* first = name.data() + std::min(name.size(), kPrefix.size());
    const auto parsed = std::from_chars(first, name.data() + name.size(), step);
    if (name.starts_with(kPrefix) && parsed.ec == std::errc{} &&
        step_folder(out, step) == it->path()) {
      steps.push_back(step);
    }
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

/// Makes a rename in this folder last.
void sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

void append_values(std::span<const float> values, DType dtype, SafetensorsWriter& writer) {
  if (dtype == DType::f32) {
    writer.append(std::as_bytes(values));
    return;
  }
  std::vector<bf16> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
  writer.append(std::as_bytes(std::span<const bf16>(rounded)));
}

/// An array of a checkpoint, and what this rank has of it.
struct StateArray {
  Placement placement;
  std::vector<float>* own;

  std::size_t size() const { return placement.back().whole + placement.back().count; }
};

constexpr const char* kParameters = "parameters";

/// The tensors of the state file, by name.
std::map<std::string, StateArray> state_arrays(const RunState& state) {
  const auto everywhere = [](std::vector<float>& values) -> StateArray {
    return {{{Segment::kEverywhere, 0, 0, values.size()}}, &values};
  };
  return {{"first_moments", {state.optimizer.first_placement(), &state.optimizer.state().first}},
          {"second_moments", {state.optimizer.second_placement(), &state.optimizer.state().second}},
          {"balancer_first_moments", everywhere(state.balancer.state().first)},
          {"balancer_second_moments", everywhere(state.balancer.state().second)},
          {kParameters, {state.model.placement(), &state.model.parameters()}}};
}

/// What all ranks have together, for rank 0 to write: it asks, in the order of its files, and the
/// others answer until it has everything.
class Collector {
 public:
  explicit Collector(const RunState& state) : ranks_(state.ranks), arrays_(state_arrays(state)) {}

  using Sink = std::function<void(std::span<const float>)>;
  /// Of rank 0.
  void fetch(const std::string& name, std::size_t begin, std::size_t end, const Sink& sink) const {
    const auto array = arrays_.find(name);
    tell({static_cast<std::uint64_t>(std::distance(arrays_.begin(), array)), begin, end});
    collect(ranks_, array->second.placement, *array->second.own, begin, end, sink);
  }
  void finish() const { tell({arrays_.size(), 0, 0}); }

  /// Of the others.
  void answer() const {
    for (;;) {
      Question question{};
      ranks_.broadcast(0, std::as_writable_bytes(std::span(question)));
      const auto [index, begin, end] = question;
      if (index == arrays_.size()) return;
      const StateArray& array = std::next(arrays_.begin(), static_cast<long>(index))->second;
      collect(ranks_, array.placement, *array.own, begin, end, {});
    }
  }

 private:
  using Question = std::array<std::uint64_t, 3>;  // array, begin, end

  void tell(Question question) const {
    ranks_.broadcast(0, std::as_writable_bytes(std::span(question)));
  }

  Communicator& ranks_;
  std::map<std::string, StateArray> arrays_;
};

void write_model(const RunConfig& config, const Model<float>& model, const Collector& collector,
                 const OutputFolder& out) {
  std::vector<TensorSpec> specs;
  std::unordered_map<std::string, const TensorInfo*> by_name;
  for (const TensorInfo& t : model.layout()) {
    specs.push_back({t.name, t.balancing() ? DType::f32 : config.checkpoints.dtype, t.shape});
    by_name.emplace(t.name, &t);
  }
  out.write_tensors(
      specs, kDefaultShardBytes, [&](const TensorSpec& spec, SafetensorsWriter& writer) {
        const TensorInfo& t = *by_name.at(spec.name);
        collector.fetch(
            kParameters, t.offset, t.offset + t.elements,
            [&](std::span<const float> values) { append_values(values, spec.dtype, writer); });
      });
  const bool wide = config.checkpoints.dtype == DType::f32;
  const Json json = native_config_json(model.config(), wide ? "float32" : "bfloat16");
  out.copy_texts(config.model);
  write_file(out.staging() / "config.json", json.dump(2) + "\n");
}

void write_adapter(const RunConfig& config, const Model<float>& model, const Collector& collector,
                   const OutputFolder& out) {
  std::vector<TensorSpec> specs;
  std::unordered_map<std::string, const TensorInfo*> by_name;
  for (const TensorInfo& t : model.layout()) {
    specs.push_back({t.name, config.checkpoints.dtype, t.shape});
    by_name.emplace(t.name, &t);
  }
  SafetensorsWriter writer(out.staging() / AdapterFile::kTensors, specs);
  for (const TensorSpec& spec : writer.tensors()) {
    const TensorInfo& t = *by_name.at(spec.name);
    collector.fetch(
        kParameters, t.offset, t.offset + t.elements,
        [&](std::span<const float> values) { append_values(values, spec.dtype, writer); });
  }
  writer.commit();
  const Json json = lora_config_json(*config.lora, model.config(),
                                     model.base()->config_file().layout, config.model.string());
  write_file(out.staging() / AdapterFile::kConfig, json.dump(2) + "\n");
}

/// What an adapter's run must go on with; null without one.
Json lora_json(const RunConfig& config, const Model<float>& model) {
  if (!config.lora) return nullptr;
  return {{"rank", config.lora->rank},
          {"alpha", config.lora->alpha},
          {"targets", config.lora->targets},
          {"base", checkpoint_identity(*model.base())}};
}

void write_state(const RunConfig& config, std::uint64_t step, const RunState& state,
                 const Collector& collector, const fs::path& path) {
  const Loader::Position& at = state.loader.position();
  const Json json = {
      {"step", step},
      {"lora", lora_json(config, state.model)},
      {"optimizer_steps", state.optimizer.state().steps},
      {"balancer_steps", state.balancer.state().steps},
      {"data",
       {{"examples", at.examples}, {"rows", at.rows}, {"window", at.window}, {"batch", at.batch}}}};
  std::vector<TensorSpec> specs;
  for (const auto& [name, array] : state_arrays(state)) {
    specs.push_back({name, DType::f32, {array.size()}});
  }
  SafetensorsWriter writer(path, specs, {{"zaya_training_state", json.dump()}});
  for (const TensorSpec& spec : writer.tensors()) {
    collector.fetch(spec.name, 0, spec.shape[0],
                    [&](std::span<const float> values) { writer.append(std::as_bytes(values)); });
  }
  writer.commit();
}

void remove_old(const RunConfig& config) {
  const std::vector<std::uint64_t> steps = saved_steps(config.out);
  const std::size_t keep = config.checkpoints.keep;
  for (std::size_t i = 0; i + keep < steps.size(); ++i) {
    const std::uint64_t every = config.checkpoints.keep_every;
    if (every != 0 && steps[i] % every == 0) continue;
    // Under another name first: half a checkpoint must not look like a whole one.
    const fs::path folder = step_folder(config.out, steps[i]);
    const fs::path gone = config.out / fmt::format(".{}.old", folder.filename().string());
    std::error_code ignored;
    fs::rename(folder, gone, ignored);
    fs::remove_all(gone, ignored);
  }
}

}  // namespace

void save_run(const RunConfig& config, std::uint64_t step, const RunState& state) {
  const Collector collector(state);
  // Nobody goes on, or ends, before it is written.
  const auto wait = [&] {
    double nothing = 0;
    state.ranks.sum({&nothing, 1});
  };
  if (state.ranks.rank() != 0) {
    collector.answer();
    wait();
    return;
  }
  const fs::path folder = step_folder(config.out, step);
  const fs::path part = config.out / fmt::format(".{}.part", folder.filename().string());
  std::error_code error;
  fs::remove_all(part, error);  // of a run that was killed
  OutputFolder out(part);
  if (config.lora) {
    write_adapter(config, state.model, collector, out);
  } else {
    write_model(config, state.model, collector, out);
  }
  write_state(config, step, state, collector, out.staging() / kStateFile);
  collector.finish();
  out.commit();
  sync_folder(part);
  fs::remove_all(folder, error);
  fs::rename(part, folder, error);
  if (error) throw Error({.where = folder.string(), .what = "cannot write: " + error.message()});
  sync_folder(config.out);
  remove_old(config);
  wait();
}

std::optional<SavedRun> latest_run(const fs::path& out) {
  const std::vector<std::uint64_t> steps = saved_steps(out);
  if (steps.empty()) return {};
  return SavedRun{step_folder(out, steps.back()), steps.back()};
}

void load_run(const RunConfig& config, const SavedRun& saved, const RunState& state) {
  const SafetensorsFile file(saved.folder / kStateFile);
  const std::string where = file.path().string();
  const auto text = file.metadata().find("zaya_training_state");
  if (text == file.metadata().end()) {
    throw Error({.where = where, .what = "is no state of a training run"});
  }
  const Json json = parse_json(text->second, where);
  const JsonView view(json, where);
  // Runs of before there were adapters say nothing of them.
  const Json* lora = view.find("lora");
  if ((lora != nullptr ? *lora : Json()) != lora_json(config, state.model)) {
    throw Error({.where = where, .what = "is of another adapter, or on another model"});
  }
  for (const auto& [name, array] : state_arrays(state)) {
    const TensorView& stored = file.tensor(name);
    if (stored.elements() != array.size()) {
      throw Error({.where = where,
                   .what = fmt::format("'{}' is of another model or optimiser", name),
                   .expected = fmt::format("{} numbers", array.size()),
                   .found = fmt::format("{}", stored.elements())});
    }
    take_part(stored, array.placement, state.ranks.rank(), *array.own);
  }
  constexpr std::int64_t kMany = std::int64_t{1} << 60;
  const auto count = [&](const JsonView& from, const char* key) {
    return static_cast<std::uint64_t>(from.integer(key, 0, kMany));
  };
  const auto counts = [&](const JsonView& from, const char* key) {
    const auto list = from.integers(key, 0, kMany);
    return std::vector<std::uint64_t>(list.begin(), list.end());
  };
  state.optimizer.state().steps = count(view, "optimizer_steps");
  state.balancer.state().steps = count(view, "balancer_steps");
  const JsonView data = view.object("data");
  state.loader.seek({counts(data, "examples"), counts(data, "rows"), count(data, "window"),
                     count(data, "batch")});
}

}  // namespace zaya::train
