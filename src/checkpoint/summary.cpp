#include "checkpoint/summary.h"

#include <algorithm>

namespace zaya {

StateSize state_size(const ModelConfig& config) {
  StateSize size;
  for (const bool sliding : config.sliding) {
    const std::uint64_t elements = 2 * config.kv_width();
    size.token_elements += elements;
    if (sliding) size.sliding_token_elements += elements;
    size.sequence_bytes += 4 * (config.conv_tail() * config.conv_width() + config.kv_width() / 2);
  }
  return size;
}

std::uint64_t StateSize::bytes(const ModelConfig& config, std::uint64_t tokens,
                               std::uint64_t element_bytes) const {
  const std::uint64_t full = (token_elements - sliding_token_elements) * tokens;
  const std::uint64_t sliding =
      sliding_token_elements * std::min<std::uint64_t>(tokens, config.window);
  return sequence_bytes + element_bytes * (full + sliding);
}

std::uint64_t work_bytes(const ModelConfig& config, std::uint64_t rows) {
  // Residual stream, normed input, mixer output; [q ; k] before and after the convolutions, value,
  // attention output; gate, up and their product; the router's layers.
  const std::uint64_t row = 3 * config.hidden + 3 * config.conv_width() + config.kv_width() +
                            config.q_width() + 3 * config.expert_width + 4 * config.router_hidden;
  return 4 * (rows * row + config.vocab);
}

std::map<std::string, TypeSum> type_sums(const Checkpoint& checkpoint) {
  std::map<std::string, TypeSum> sums;
  for (const std::string& name : checkpoint.names()) {
    TypeSum& sum = sums[checkpoint.format(name)];
    ++sum.tensors;
    sum.bytes += checkpoint.bytes(name);
  }
  return sums;
}

std::map<Role, RoleSum> role_sums(const Checkpoint& checkpoint) {
  std::map<Role, RoleSum> sums;
  for (const StoredTensor& t : tensor_table(checkpoint.config(), Layout::native)) {
    for (const std::string& name : t.parts) {
      RoleSum& sum = sums[role_of(name)];
      sum.formats.insert(checkpoint.format(name));
      sum.elements += t.elements() / t.parts.size();
      sum.bytes += checkpoint.bytes(name);
    }
  }
  return sums;
}

}  // namespace zaya
