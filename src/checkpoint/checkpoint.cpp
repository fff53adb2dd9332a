#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/layout.h"
#include "zaya/error.h"

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

/// What is wrong with a folder's tensors: the first few in words, the rest counted.
class Problems {
 public:
  void add(std::string text) {
    if (texts_.size() < kShownProblems) {
      texts_.push_back(std::move(text));
    } else {
      ++hidden_;
    }
  }

  void raise(const fs::path& folder) const {
    if (texts_.empty()) return;
    const std::size_t count = texts_.size() + hidden_;
    throw Error({.where = folder.string(),
                 .what = fmt::format(
                     "{} tensor{} not as config.json has it: {}{}", count,
                     count == 1 ? " is" : "s are", fmt::join(texts_, "; "),
                     hidden_ == 0 ? std::string() : fmt::format("; and {} more", hidden_))});
  }

 private:
  std::vector<std::string> texts_;
  std::size_t hidden_ = 0;
};

/// Matches the table of tensors with what the files hold.
class Binder {
 public:
  Binder(const std::vector<SafetensorsFile>& files, ConfigFile& config,
         std::unordered_map<std::string, TensorView>& plain,
         std::unordered_map<std::string, StoredMatrix>& quantized)
      : config_(config),
        plain_(plain),
        quantized_(quantized),
        finder_(stored_, config.quantization,
                [this](std::string text) { problem(std::move(text)); }) {
    for (const SafetensorsFile& file : files) {
      for (const std::string& name : file.names()) stored_.emplace(name, &file.tensor(name));
    }
  }

  void bind(const StoredTensor& expected) {
    if (find(expected) || find_unstacked(expected)) return;
    problem(fmt::format("{} {} is missing", expected.name, shape_text(expected.shape)));
  }

  void finish(const fs::path& folder) {
    std::vector<std::string> surplus;
    std::size_t redundant = 0;
    std::size_t activations = 0;
    for (const auto& [name, view] : stored_) {
      if (is_redundant(name)) {
        ++redundant;
      } else if (config_.quantization && is_activation_scale(name)) {
        ++activations;
      } else {
        surplus.push_back(name);
      }
    }
    std::sort(surplus.begin(), surplus.end());
    for (const std::string& name : surplus) {
      problem(
          fmt::format("{} {} is surplus", shown_name(name), shape_text(stored_.at(name)->shape)));
    }
    problems_.raise(folder);
    note(redundant, "redundant tensor", "rotary tables, or a copy of the tied head");
    note(activations, "scale", "of activations or the KV cache");
    note_stacks();
  }

 private:
  void problem(std::string text) { problems_.add(std::move(text)); }

  void note(std::size_t count, const char* what, const char* which) {
    if (count == 0) return;
    config_.notes.push_back(
        fmt::format("{} {}{} ignored ({})", count, what, count == 1 ? " is" : "s are", which));
  }

  /// One tensor, or the several of a quantised one; true also when a problem was told.
  bool find(const StoredTensor& expected) {
    if (const auto shape = matrix_shape(expected)) {
      if (const auto found = finder_.find(expected.name, *shape)) {
        for (std::size_t i = 0; i < found->size(); ++i) {
          quantized_.emplace(expected.parts[i], (*found)[i]);
        }
        return true;
      }
    }
    const auto it = stored_.find(expected.name);
    if (it == stored_.end()) return false;
    const TensorView view = *it->second;
    stored_.erase(it);
    if (view.shape != expected.shape) {
      problem(fmt::format("{} should be {} and is {}", expected.name, shape_text(expected.shape),
                          shape_text(view.shape)));
    } else if (!is_weight_type(view.dtype)) {
      problem(fmt::format("{} should be F32, BF16 or F16 and is {}", expected.name,
                          dtype_name(view.dtype)));
    } else {
      TensorView part = view;
      if (expected.stacked) part.shape.erase(part.shape.begin());
      for (const std::string& name : expected.parts) {
        plain_.emplace(name, part);
        part.data += part.bytes();
      }
    }
    return true;
  }

  /// Linear layers, stacks of experts, embedding and head are matrices; convolutions, whose tensors
  /// have three dimensions too, and the biases of experts are not.
  static std::optional<MatrixShape> matrix_shape(const StoredTensor& t) {
    if (t.stacked) {
      if (t.shape.size() != 3) return {};
      return MatrixShape{t.shape[0], t.shape[1], t.shape[2], true};
    }
    if (t.shape.size() != 2 || !t.name.ends_with(".weight")) return {};
    return MatrixShape{1, t.shape[0], t.shape[1], false};
  }

  /// A stack of experts stored one by one, as tools do that quantise only Linear modules.
  bool find_unstacked(const StoredTensor& expected) {
    if (!expected.stacked || expected.shape.size() != 3) return false;
    for (std::size_t i = 0; i < expected.parts.size(); ++i) {
      const std::string& name = expected.parts[i];
      const StoredTensor one{.name = name + ".weight",
                             .shape = {expected.shape[1], expected.shape[2]},
                             .parts = {name}};
      if (find(one) || find_gate_and_up(name, *matrix_shape(one))) continue;
      if (i == 0) return false;
      problem(fmt::format("{} {} is missing", one.name, shape_text(one.shape)));
    }
    return true;
  }

  bool find_gate_and_up(const std::string& name, const MatrixShape& shape) {
    constexpr std::string_view kBoth = "gate_up_proj";
    if (!name.ends_with(kBoth)) return false;
    const std::string prefix = name.substr(0, name.size() - kBoth.size());
    const auto found =
        finder_.find_halves(prefix + "gate_proj.weight", prefix + "up_proj.weight", shape);
    if (!found) return false;
    if (found->view.data != nullptr) quantized_.emplace(name, *found);
    return true;
  }

  /// What some writers store and no reader needs: recomputed rotary tables, and the head of a model
  /// whose head is its embedding.
  bool is_redundant(const std::string& name) const {
    return name.ends_with("rotary_emb.inv_freq") ||
           (config_.model.tied_head && name.starts_with("lm_head.weight"));
  }

  static bool is_activation_scale(const std::string& name) {
    constexpr std::array<std::string_view, 6> kEndings{
        "input_scale", "input_global_scale", "output_scale", "k_scale", "v_scale", "q_scale"};
    return std::any_of(kEndings.begin(), kEndings.end(),
                       [&](std::string_view ending) { return name.ends_with(ending); });
  }

  /// There is no standard for the parts of a quantised stack of experts: tell how it was read.
  void note_stacks() {
    const auto it = quantized_.find("model.layers.0.mlp.experts.0.gate_up_proj");
    if (it == quantized_.end() || config_.layout != Layout::native || it->second.lower) return;
    config_.notes.push_back(fmt::format(
        "quantised experts are read from {} and the like, gate rows first", it->second.name));
  }

  ConfigFile& config_;
  std::unordered_map<std::string, TensorView>& plain_;
  std::unordered_map<std::string, StoredMatrix>& quantized_;
  StoredTensors stored_;
  MatrixFinder finder_;
  Problems problems_;
};

}  // namespace

/// Matrices that could not stay as they lie in the file, by native name.
struct Checkpoint::Repacked {
  std::mutex lock;
  std::unordered_map<std::string, std::unique_ptr<OwnedMatrix>> matrices;
};

Checkpoint::Checkpoint() : repacked_(std::make_unique<Repacked>()) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

Checkpoint Checkpoint::open(const fs::path& folder) {
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  checkpoint.config_ = read_config(folder);
  checkpoint.files_ = open_files(folder);
  const ConfigFile& config = checkpoint.config_;
  Binder binder(checkpoint.files_, checkpoint.config_, checkpoint.tensors_, checkpoint.quantized_);
  for (const StoredTensor& expected : tensor_table(config.model, config.layout)) {
    binder.bind(expected);
    checkpoint.names_.insert(checkpoint.names_.end(), expected.parts.begin(), expected.parts.end());
  }
  binder.finish(folder);
  return checkpoint;
}

const TensorView& Checkpoint::tensor(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it != tensors_.end()) return it->second;
  const auto quantized = quantized_.find(name);
  if (quantized == quantized_.end()) {
    throw Error(
        {.where = folder_.string(), .what = fmt::format("has no tensor {}", shown_name(name))});
  }
  throw Error({.where = folder_.string(),
               .what = fmt::format("{} is quantised", name),
               .expected = "F32, BF16 or F16",
               .found = std::string(code_name(quantized->second.view.code))});
}

bool Checkpoint::has(const std::string& name) const {
  return tensors_.count(name) != 0 || is_quantized(name);
}

WeightView Checkpoint::matrix(const std::string& name) const {
  const auto it = quantized_.find(name);
  if (it == quantized_.end()) {
    const TensorView& plain = tensor(name);
    if (plain.dtype == DType::f16 || plain.shape.empty()) {
      throw Error(
          {.where = folder_.string(),
           .what = fmt::format("{} is no matrix to compute with", name),
           .expected = "F32, BF16 or quantised",
           .found = fmt::format("{} {}", dtype_name(plain.dtype), shape_text(plain.shape))});
    }
    return plain_view(plain);
  }
  const StoredMatrix& stored = it->second;
  WeightView view = stored.view;
  if (stored.nf4 != nullptr || stored.lower) {
    const std::scoped_lock guard(repacked_->lock);
    std::unique_ptr<OwnedMatrix>& owned = repacked_->matrices[name];
    if (owned == nullptr) owned = own_matrix(stored);
    view = owned->view;
  }
  check_scales(view, fmt::format("{}: {}", folder_.string(), stored.name));
  return view;
}

std::string Checkpoint::format(const std::string& name) const {
  const auto it = quantized_.find(name);
  return it == quantized_.end() ? std::string(dtype_name(tensor(name).dtype))
                                : format_text(it->second.view);
}

std::uint64_t Checkpoint::bytes(const std::string& name) const {
  const auto it = quantized_.find(name);
  return it == quantized_.end() ? tensor(name).bytes() : it->second.bytes();
}

std::uint64_t Checkpoint::bytes() const {
  std::uint64_t sum = 0;
  for (const std::string& name : names_) sum += bytes(name);
  return sum;
}

}  // namespace zaya
