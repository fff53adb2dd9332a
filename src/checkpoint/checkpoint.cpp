#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "checkpoint/layout.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::uint64_t kMaxIndex = 64U << 20;
constexpr std::size_t kShownProblems = 8;

/// Shard file name to the tensors it should hold.
using ShardMap = std::map<std::string, std::vector<std::string>>;

/// A file of this folder: an index must not lead elsewhere.
bool is_shard_name(const std::string& name) {
  return name.ends_with(".safetensors") && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

ShardMap read_index(const fs::path& path) {
  // A plain JSON object: the ordered one searches all keys for each new one, and an index is large.
  const auto fail = [&](std::string what, std::string found = {}) {
    throw Error({.where = path.string(), .what = std::move(what), .found = std::move(found)});
  };
  nlohmann::json json;
  std::unordered_set<std::string> names;
  try {
    const auto on_event = [&](int depth, nlohmann::json::parse_event_t event,
                              nlohmann::json& value) {
      if (depth > 8) fail("JSON is nested too deeply");
      if (depth == 2 && event == nlohmann::json::parse_event_t::key &&
          !names.insert(value.get<std::string>()).second) {
        fail(fmt::format("{} appears twice", shown_name(value.get<std::string>())));
      }
      return true;
    };
    json = nlohmann::json::parse(read_file(path, kMaxIndex), on_event);
  } catch (const nlohmann::json::exception& e) {
    fail("not valid JSON", e.what());
  }
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (map == json.end() || !map->is_object() || map->empty()) fail("has no weight_map");
  ShardMap shards;
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string() || !is_shard_name(file.get<std::string>())) {
      fail(fmt::format("{} is not in a .safetensors file of this folder", shown_name(name)),
           file.is_string() ? shown_name(file.get<std::string>()) : std::string(file.type_name()));
    }
    shards[file.get<std::string>()].push_back(name);
  }
  return shards;
}

std::vector<SafetensorsFile> open_files(const fs::path& folder) {
  std::vector<SafetensorsFile> files;
  std::error_code ignored;
  if (fs::exists(folder / kSingle, ignored)) {
    files.emplace_back(folder / kSingle);
    return files;
  }
  if (!fs::exists(folder / kIndex, ignored)) {
    throw Error({.where = folder.string(),
                 .what = "holds no weights",
                 .expected = fmt::format("{} or {}", kSingle, kIndex)});
  }
  for (const auto& [name, tensors] : read_index(folder / kIndex)) {
    const SafetensorsFile& file = files.emplace_back(folder / name);
    for (const std::string& tensor : tensors) {
      if (!file.has(tensor)) {
        throw Error({.where = file.path().string(),
                     .what = fmt::format("has no tensor {}, which {} promises", shown_name(tensor),
                                         kIndex)});
      }
    }
    if (tensors.size() != file.names().size()) {
      const std::unordered_set<std::string> listed(tensors.begin(), tensors.end());
      for (const std::string& tensor : file.names()) {
        if (listed.count(tensor) != 0) continue;
        throw Error({.where = file.path().string(),
                     .what = fmt::format("holds tensor {}, which {} places elsewhere or nowhere",
                                         shown_name(tensor), kIndex)});
      }
    }
  }
  return files;
}

bool is_weight_type(DType type) {
  return type == DType::f32 || type == DType::bf16 || type == DType::f16;
}

/// Tensors that some writers store and no reader needs: recomputed rotary tables, and the head of a
/// model whose head is its embedding.
bool is_redundant(const std::string& name, const ModelConfig& config) {
  return name.ends_with("rotary_emb.inv_freq") || (config.tied_head && name == "lm_head.weight");
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& folder) {
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  checkpoint.config_ = read_config(folder);
  checkpoint.files_ = open_files(folder);

  std::unordered_map<std::string, const TensorView*> stored;
  for (const SafetensorsFile& file : checkpoint.files_) {
    for (const std::string& name : file.names()) stored.emplace(name, &file.tensor(name));
  }

  std::vector<std::string> problems;
  std::size_t hidden_problems = 0;
  const auto problem = [&](std::string text) {
    if (problems.size() < kShownProblems) {
      problems.push_back(std::move(text));
    } else {
      ++hidden_problems;
    }
  };

  const ModelConfig& config = checkpoint.config_.model;
  for (StoredTensor& expected : tensor_table(config, checkpoint.config_.layout)) {
    const auto it = stored.find(expected.name);
    if (it == stored.end()) {
      problem(fmt::format("{} {} is missing", expected.name, shape_text(expected.shape)));
      continue;
    }
    const TensorView view = *it->second;
    stored.erase(it);
    if (view.shape != expected.shape) {
      problem(fmt::format("{} should be {} and is {}", expected.name, shape_text(expected.shape),
                          shape_text(view.shape)));
      continue;
    }
    if (!is_weight_type(view.dtype)) {
      problem(fmt::format("{} should be F32, BF16 or F16 and is {}", expected.name,
                          dtype_name(view.dtype)));
      continue;
    }
    TensorView part = view;
    if (expected.stacked) part.shape.erase(part.shape.begin());
    for (std::string& name : expected.parts) {
      checkpoint.names_.push_back(name);
      checkpoint.tensors_.emplace(std::move(name), part);
      part.data += part.bytes();
    }
  }

  std::vector<std::string> surplus;
  for (const auto& [name, view] : stored) {
    if (!is_redundant(name, config)) surplus.push_back(name);
  }
  const std::size_t redundant = stored.size() - surplus.size();
  std::sort(surplus.begin(), surplus.end());
  for (const std::string& name : surplus) {
    problem(fmt::format("{} {} is surplus", shown_name(name), shape_text(stored.at(name)->shape)));
  }
  if (!problems.empty()) {
    const std::size_t count = problems.size() + hidden_problems;
    throw Error({.where = folder.string(),
                 .what = fmt::format("{} tensor{} not as config.json has it: {}{}", count,
                                     count == 1 ? " is" : "s are", fmt::join(problems, "; "),
                                     hidden_problems == 0
                                         ? std::string()
                                         : fmt::format("; and {} more", hidden_problems))});
  }
  if (redundant != 0) {
    checkpoint.config_.notes.push_back(
        fmt::format("{} redundant tensor{} ignored (rotary tables, or a copy of the tied head)",
                    redundant, redundant == 1 ? " is" : "s are"));
  }
  return checkpoint;
}

const TensorView& Checkpoint::tensor(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    throw Error(
        {.where = folder_.string(), .what = fmt::format("has no tensor {}", shown_name(name))});
  }
  return it->second;
}

bool Checkpoint::has(const std::string& name) const {
  return tensors_.count(name) != 0;
}

std::uint64_t Checkpoint::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [name, view] : tensors_) sum += view.bytes();
  return sum;
}

}  // namespace zaya
