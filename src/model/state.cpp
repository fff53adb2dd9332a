#include "model/state.h"

namespace zaya {

StateLayout::StateLayout(const ModelConfig& config, DType kv_type)
    : kv_type_(kv_type),
      layers_(config.layers),
      kv_heads_(config.kv_heads),
      kv_dim_(KvBlock::dim(config.head_dim)),
      conv_rows_(config.conv_tail()),
      conv_width_(config.conv_width()),
      delayed_width_(config.kv_width() / 2) {}

std::size_t StateLayout::page_offset(std::size_t /*layer*/, std::size_t kv_head) const {
  return kv_head * 2 * KvBlock::part_bytes(kv_dim_, dtype_size(kv_type_));
}

std::size_t StateLayout::page_bytes(std::size_t layer) const {
  return page_offset(layer, kv_heads_);
}

std::size_t StateLayout::page_bytes() const {
  std::size_t bytes = 0;
  for (std::size_t layer = 0; layer < layers_; ++layer) bytes += page_bytes(layer);
  return bytes;
}

}  // namespace zaya
