#include "checkpoint/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include <fmt/format.h>

#include "base/file.h"
#include "checkpoint/layout.h"
#include "checkpoint/output_folder.h"
#include "zaya/error.h"

namespace zaya {
namespace {

float element(const TensorView& view, std::size_t i) {
  if (view.dtype == DType::f32) return reinterpret_cast<const float*>(view.data)[i];
  const auto bits = reinterpret_cast<const std::uint16_t*>(view.data)[i];
  return view.dtype == DType::bf16 ? to_float(bf16{bits}) : f16_to_float(bits);
}

/// Whether some input may be routed to the skip class of some layer, where the layouts differ. It
/// cannot when its bias is at least 1 below the best expert's: probabilities differ by less.
bool may_skip(const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  if (!config.skip_class) return false;
  for (std::size_t i = 0; i < config.layers; ++i) {
    const TensorView& biases =
        checkpoint.tensor(fmt::format("model.layers.{}.mlp.gate.balancing_biases", i));
    float best = -INFINITY;
    for (std::size_t e = 0; e < config.experts; ++e) best = std::max(best, element(biases, e));
    if (!(element(biases, config.experts) <= best - 1)) return true;
  }
  return false;
}

DType common_type(const Checkpoint& checkpoint, const StoredTensor& stored) {
  const DType type = checkpoint.tensor(stored.parts.front()).dtype;
  for (const std::string& part : stored.parts) {
    const DType found = checkpoint.tensor(part).dtype;
    if (found == type) continue;
    throw Error({.where = part,
                 .what = "cannot be stacked with the other experts",
                 .expected = std::string(dtype_name(type)),
                 .found = std::string(dtype_name(found))});
  }
  return type;
}

}  // namespace

std::vector<std::string> conversion_notes(const Checkpoint& checkpoint, Layout layout) {
  std::vector<std::string> notes;
  if (layout != checkpoint.config_file().layout && may_skip(checkpoint)) {
    notes.emplace_back(
        "the router may pick the skip class, which adds the scaled input in the legacy layout and "
        "nothing in the native one: outputs may differ");
  }
  return notes;
}

std::vector<std::string> convert_checkpoint(const Checkpoint& checkpoint, Layout layout,
                                            const std::filesystem::path& folder,
                                            std::uint64_t max_shard_bytes,
                                            const Progress& progress) {
  // Small enough to show progress, large enough to write at full speed.
  constexpr std::size_t kSlice = 64U << 20;

  if (checkpoint.is_quantized()) {
    throw Error({.where = checkpoint.folder().string(),
                 .what = "is quantised and cannot be converted",
                 .expected = "the checkpoint it was made from"});
  }
  const ConfigFile& file = checkpoint.config_file();
  const Json config = layout == Layout::native ? native_config_json(file.model, file.dtype)
                                               : legacy_config_json(file.model, file.dtype);
  std::unordered_map<std::string, std::vector<std::string>> parts;
  std::vector<TensorSpec> specs;
  for (StoredTensor& stored : tensor_table(file.model, layout)) {
    const DType type = common_type(checkpoint, stored);
    parts.emplace(stored.name, std::move(stored.parts));
    specs.push_back({std::move(stored.name), type, std::move(stored.shape)});
  }

  OutputFolder out(folder);
  const std::uint64_t total = checkpoint.bytes();
  std::uint64_t done = 0;
  report(progress, done, total);
  out.write_tensors(specs, max_shard_bytes, [&](const TensorSpec& spec, SafetensorsWriter& writer) {
    for (const std::string& part : parts.at(spec.name)) {
      const TensorView& view = checkpoint.tensor(part);
      for (std::size_t at = 0; at < view.bytes(); at += kSlice) {
        const std::size_t n = std::min(kSlice, view.bytes() - at);
        writer.append({view.data + at, n});
        report(progress, done += n, total);
      }
    }
  });
  out.copy_texts(checkpoint.folder());
  write_file(out.staging() / "config.json", config.dump(2) + "\n");
  out.commit();
  return conversion_notes(checkpoint, layout);
}

}  // namespace zaya
