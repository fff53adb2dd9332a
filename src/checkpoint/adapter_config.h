#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"

namespace zaya {

/// adapter_config.json of a LoRA adapter in PEFT's format: which modules it changes and how
/// strongly. Modules go by their full names inside the base model,
/// "model.layers.3.self_attn.o_proj".
class AdapterConfig {
 public:
  static constexpr std::size_t kMaxRank = 1 << 14;

  /// Throws Error naming the key for a value that is missing, absurd or not supported: other
  /// methods than LoRA, its variants (DoRA, aLoRA, QALoRA, ...), trained biases, embeddings or
  /// whole modules, and initial values that change the base model (PiSSA, OLoRA, CorDA, LoftQ).
  static AdapterConfig parse(const Json& json, const std::string& where);
  AdapterConfig(AdapterConfig&&) noexcept;
  AdapterConfig& operator=(AdapterConfig&&) noexcept;
  ~AdapterConfig();

  /// What target_modules, exclude_modules and layers_to_transform say of a module; `unsaid` when
  /// the file leaves it to the tensors.
  enum class Target { yes, no, unsaid };
  Target target(std::string_view module) const;
  /// r, or what rank_pattern has for the module.
  std::size_t rank(std::string_view module) const;
  /// What B A x is multiplied by: alpha / r, with rsLoRA alpha / sqrt(r) (arXiv:2312.03732).
  double scale(std::string_view module) const;

 private:
  struct Parts;
  explicit AdapterConfig(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace zaya
