#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/json.h"
#include "compute/weight_view.h"

namespace zaya {

/// One way in which matrices of a checkpoint are quantised, as its config states it.
struct QuantScheme {
  std::string key = {};  ///< where the config says so: "config_groups.group_0"
  WeightCode code = WeightCode::i8;
  std::size_t scale_rows = 1;  ///< rows that share a scale; 0: all
  std::size_t scale_cols = 0;  ///< columns that share a scale; 0: all
  bool global = false;         ///< each matrix has one more scale for all of it
};

/// "int4, a scale every 32 columns"
std::string scheme_text(const QuantScheme& scheme);

/// quantization_config of config.json (or ModelOpt's hf_quant_config.json), understood. Which
/// matrices are quantised is not in here: the tensors of the file decide that, and are held to the
/// schemes.
struct Quantization {
  std::string method;  ///< "compressed-tensors", "modelopt", "fp8", "mxfp4", "bitsandbytes"
  std::vector<QuantScheme> schemes;  ///< empty: nothing is quantised
  /// WeightView::stepped holds for every int4 matrix with a scale each 32 columns. Ours: the key
  /// zaya_cpp.stepped_scales of config.json.
  bool stepped = false;
};

/// Reads what compressed-tensors, ModelOpt, Transformers' and DeepSeek's fp8, gpt-oss' mxfp4 and
/// bitsandbytes write. `config` is the value of quantization_config. Adds notes for people on what
/// is ignored. Throws Error naming key, expected and found for what cannot be honoured: unknown
/// methods and formats, zero points, activation order, rotations, sparsity.
Quantization parse_quantization(const JsonView& config, std::vector<std::string>& notes);

}  // namespace zaya
