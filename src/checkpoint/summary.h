#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/layout.h"
#include "checkpoint/roles.h"

namespace zaya {

/// What a sequence keeps while it is generated.
struct StateSize {
  /// Keys and values of one token in all layers, in elements (multiply by 4 or 2 bytes).
  std::uint64_t token_elements = 0;
  /// The part of it in sliding layers, which keep at most the window's tokens.
  std::uint64_t sliding_token_elements = 0;
  /// CCA state (convolution tail and delayed value of every layer) in f32, whatever the length.
  std::uint64_t sequence_bytes = 0;

  /// Of one sequence of `tokens` tokens, keys and values at `element_bytes` each.
  std::uint64_t bytes(const ModelConfig& config, std::uint64_t tokens,
                      std::uint64_t element_bytes) const;
};
StateSize state_size(const ModelConfig& config);

/// Working memory of one step of `rows` tokens: activations in f32 and one row of logits. An
/// estimate from the model's widths.
std::uint64_t work_bytes(const ModelConfig& config, std::uint64_t rows);

/// Tensors and bytes by element type, as stored; experts count one by one.
struct TypeSum {
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;
};
std::map<std::string, TypeSum> type_sums(const Checkpoint& checkpoint);

/// The tensors of one role, as stored.
struct RoleSum {
  std::set<std::string> formats;  ///< Checkpoint::format of each
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;

  double bits_per_weight() const {
    return elements == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(elements);
  }
};
std::map<Role, RoleSum> role_sums(const Checkpoint& checkpoint);

}  // namespace zaya
