#include "train/run_state.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "checkpoint/convert.h"
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

void write_model(const RunConfig& config, const Model<float>& model, const OutputFolder& out) {
  std::vector<TensorSpec> specs;
  std::unordered_map<std::string, const TensorInfo*> by_name;
  for (const TensorInfo& t : model.layout()) {
    specs.push_back({t.name, t.balancing() ? DType::f32 : config.checkpoints.dtype, t.shape});
    by_name.emplace(t.name, &t);
  }
  out.write_tensors(
      specs, kDefaultShardBytes, [&](const TensorSpec& spec, SafetensorsWriter& writer) {
        const TensorInfo& t = *by_name.at(spec.name);
        append_values({model.parameters().data() + t.offset, t.elements}, spec.dtype, writer);
      });
  const bool wide = config.checkpoints.dtype == DType::f32;
  const Json json = native_config_json(model.config(), wide ? "float32" : "bfloat16");
  out.copy_texts(config.model);
  write_file(out.staging() / "config.json", json.dump(2) + "\n");
}

/// The tensors of the state file, by name.
std::map<std::string, std::vector<float>*> state_tensors(const RunState& state) {
  return {{"first_moments", &state.optimizer.state().first},
          {"second_moments", &state.optimizer.state().second},
          {"balancer_first_moments", &state.balancer.state().first},
          {"balancer_second_moments", &state.balancer.state().second},
          {"parameters", &state.model.parameters()}};
}

void write_state(std::uint64_t step, const RunState& state, const fs::path& path) {
  const Loader::Position& at = state.loader.position();
  const Json json = {
      {"step", step},
      {"optimizer_steps", state.optimizer.state().steps},
      {"balancer_steps", state.balancer.state().steps},
      {"data",
       {{"examples", at.examples}, {"rows", at.rows}, {"window", at.window}, {"batch", at.batch}}}};
  std::vector<TensorSpec> specs;
  for (const auto& [name, values] : state_tensors(state)) {
    specs.push_back({name, DType::f32, {values->size()}});
  }
  SafetensorsWriter writer(path, specs, {{"zaya_training_state", json.dump()}});
  for (const TensorSpec& spec : writer.tensors()) {
    writer.append(std::as_bytes(std::span(*state_tensors(state).at(spec.name))));
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
  const fs::path folder = step_folder(config.out, step);
  const fs::path part = config.out / fmt::format(".{}.part", folder.filename().string());
  std::error_code error;
  fs::remove_all(part, error);  // of a run that was killed
  OutputFolder out(part);
  write_model(config, state.model, out);
  write_state(step, state, out.staging() / kStateFile);
  out.commit();
  sync_folder(part);
  fs::remove_all(folder, error);
  fs::rename(part, folder, error);
  if (error) throw Error({.where = folder.string(), .what = "cannot write: " + error.message()});
  sync_folder(config.out);
  remove_old(config);
}

std::optional<SavedRun> latest_run(const fs::path& out) {
  const std::vector<std::uint64_t> steps = saved_steps(out);
  if (steps.empty()) return {};
  return SavedRun{step_folder(out, steps.back()), steps.back()};
}

void load_run(const SavedRun& saved, const RunState& state) {
  const SafetensorsFile file(saved.folder / kStateFile);
  const std::string where = file.path().string();
  const auto text = file.metadata().find("zaya_training_state");
  if (text == file.metadata().end()) {
    throw Error({.where = where, .what = "is no state of a training run"});
  }
  const Json json = parse_json(text->second, where);
  const JsonView view(json, where);
  for (const auto& [name, values] : state_tensors(state)) {
    const std::vector<float> stored = to_floats(file.tensor(name));
    if (stored.size() != values->size()) {
      throw Error({.where = where,
                   .what = fmt::format("'{}' is of another model or optimiser", name),
                   .expected = fmt::format("{} numbers", values->size()),
                   .found = fmt::format("{}", stored.size())});
    }
    // In place: the model's tensors point into its arena.
    std::copy(stored.begin(), stored.end(), values->begin());
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
