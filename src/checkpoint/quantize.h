#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/convert.h"
#include "checkpoint/roles.h"
#include "checkpoint/row_encoder.h"

namespace zaya {

/// How much each input column of a matrix matters, by native name: the mean square of what it is
/// multiplied with. Empty: all alike.
using Importance = std::function<std::span<const float>(const std::string& name)>;

struct QuantizeOptions {
  WeightFormat experts = WeightFormat::keep;
  WeightFormat attention = WeightFormat::keep;
  WeightFormat router = WeightFormat::keep;
  WeightFormat embed = WeightFormat::keep;  ///< with a tied head: the head too
  WeightFormat head = WeightFormat::keep;   ///< of its own only
  std::uint64_t max_shard_bytes = kDefaultShardBytes;
  Importance importance;

  WeightFormat of(Role role) const;
};

/// "q8": every matrix but the router's int8. "q4": experts int4, the rest of those int8.
/// "q4-small": all of them int4. Throws Error for another name.
QuantizeOptions quantize_preset(std::string_view name);

/// quantization_config as compressed-tensors, vLLM and Transformers read it; null when nothing is
/// quantised.
Json quantization_json(const QuantizeOptions& options, bool tied_head);

/// Writes `checkpoint` in the native layout to `folder` (new or empty), its matrices in the formats
/// of `options`, with its text files. What is quantised already and to be kept becomes bf16. Holds
/// a piece of one matrix and the scales of a few, whatever the model's size. Returns notes for
/// people. Throws Error, also for weights that are not finite; Cancelled when progress (in bytes
/// written) asks to stop. Either way nothing stays behind.
///
/// Linear layers become X.weight_packed, X.weight_scale and X.weight_shape (fp8: X.weight and
/// X.weight_scale). A stack of experts g stays one: g.weight_packed and g.weight_scale (fp8: g and
/// g.weight_scale) with the leading dimension, as Zyphra names the parts of its own.
std::vector<std::string> quantize(const Checkpoint& checkpoint, const QuantizeOptions& options,
                                  const std::filesystem::path& folder,
                                  const Progress& progress = {});

}  // namespace zaya
