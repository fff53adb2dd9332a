#include "model/state.h"

namespace zaya {

StateLayout::StateLayout(const ModelConfig& config, DType kv_type)
    : kv_type_(kv_type),
      kv_heads_(config.kv_heads),
      kv_dim_(KvBlock::dim(config.head_dim)),
      conv_rows_(config.conv_tail()),
      conv_width_(config.conv_width()),
      delayed_width_(config.kv_width() / 2) {
  std::array<std::size_t, kGroups> count{};
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    const std::size_t group = config.sliding[layer] ? 1 : 0;
    slots_.push_back({group, count[group]++});
  }
  for (std::size_t g = 0; g < kGroups; ++g) {
    page_bytes_[g] = count[g] * kv_heads_ * 2 * KvBlock::part_bytes(kv_dim_, dtype_size(kv_type));
  }
}

std::size_t StateLayout::page_offset(std::size_t layer, std::size_t kv_head) const {
  const std::size_t block = slots_[layer].index * kv_heads_ + kv_head;
  return block * 2 * KvBlock::part_bytes(kv_dim_, dtype_size(kv_type_));
}

std::size_t StateLayout::bytes_per_token() const {
  return (page_bytes_[0] + page_bytes_[1]) / kPageTokens;
}

}  // namespace zaya
