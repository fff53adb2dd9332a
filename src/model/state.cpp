#include "model/state.h"

#include <algorithm>
#include <string>
#include <utility>

#include "zaya/error.h"

namespace zaya {

StateLayout::StateLayout(const ModelConfig& config, std::vector<KvLayer> kv)
    : kv_(std::move(kv)),
      kv_heads_(config.kv_heads),
      kv_dim_(KvBlock::dim(config.head_dim)),
      conv_rows_(config.conv_tail()),
      conv_width_(config.conv_width()),
      delayed_width_(config.kv_width() / 2) {
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    windows_.push_back(config.sliding[layer] ? config.window : 0);
  }
  if (kv_.size() != config.layers) {
    throw Error({.where = "KV formats",
                 .what = "not one for each layer of the model",
                 .expected = std::to_string(config.layers) + " layers",
                 .found = std::to_string(kv_.size())});
  }
  for (const KvLayer& layer : kv_) {
    if ((layer.keys == KvFormat::f32) != (layer.values == KvFormat::f32)) {
      throw Error({.where = "KV formats", .what = "f32 goes only for keys and values together"});
    }
  }
}

bool StateLayout::has_windows() const {
  return std::any_of(windows_.begin(), windows_.end(), [](std::size_t w) { return w != 0; });
}

std::size_t StateLayout::first_needed(std::size_t layer, std::size_t length) const {
  if (windows_[layer] == 0) return 0;
  const std::size_t reach = windows_[layer] - 1 + replay_tokens() + kKept;
  return length > reach ? length - reach : 0;
}

std::size_t StateLayout::bytes_held(std::size_t tokens, std::size_t step) const {
  const auto pages = [](std::size_t n) { return (n + kPageTokens - 1) / kPageTokens; };
  std::size_t bytes = 0;
  for (std::size_t layer = 0; layer < layers(); ++layer) {
    std::size_t most = pages(tokens);
    if (windows_[layer] != 0) {
      // The first page that is kept, and the last, can be used in part only.
      most = std::min(most, pages(windows_[layer] + replay_tokens() + kKept + step) + 1);
    }
    bytes += most * page_bytes(layer);
  }
  return bytes;
}

std::size_t StateLayout::keys_offset(std::size_t layer, std::size_t kv_head) const {
  return kv_head * (KvBlock::part_bytes(kv_dim_, kv_[layer].keys) +
                    KvBlock::part_bytes(kv_dim_, kv_[layer].values));
}

std::size_t StateLayout::values_offset(std::size_t layer, std::size_t kv_head) const {
  return keys_offset(layer, kv_head) + KvBlock::part_bytes(kv_dim_, kv_[layer].keys);
}

std::size_t StateLayout::page_bytes(std::size_t layer) const {
  return keys_offset(layer, kv_heads_);
}

std::size_t StateLayout::page_bytes() const {
  std::size_t bytes = 0;
  for (std::size_t layer = 0; layer < layers(); ++layer) bytes += page_bytes(layer);
  return bytes;
}

}  // namespace zaya
