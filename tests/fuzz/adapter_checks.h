#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/adapter.h"
#include "zaya/error.h"

namespace zaya {

/// Two layers so small that few bytes are an adapter.
inline ModelConfig adapter_fuzz_model() {
  ModelConfig c;
  c.vocab = 4;
  c.hidden = 3;
  c.layers = 2;
  c.heads = c.kv_heads = 1;
  c.head_dim = 2;
  c.experts = c.expert_width = c.router_hidden = 1;
  c.sliding.assign(c.layers, false);
  return c;
}

/// Any adapter_config.json, a zero byte and any adapter_model.safetensors are an Error, or pairs
/// that can be read and fit the model.
inline void check_adapter(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t cut = std::min(text.find('\0'), text.size());
  try {
    const AdapterConfig config =
        AdapterConfig::parse(parse_json(text.substr(0, cut), "fuzz"), "fuzz");
    const std::span<const std::byte> file = bytes.subspan(std::min(cut + 1, bytes.size()));
    const SafetensorsHeader header = parse_safetensors_header(file, "fuzz");
    // As SafetensorsFile has it: data aligned to its element size.
    std::vector<std::vector<double>> aligned;
    std::map<std::string, TensorView> tensors;
    for (const TensorEntry& t : header.tensors) {
      std::vector<double>& copy = aligned.emplace_back(t.bytes / sizeof(double) + 1);
      std::memcpy(copy.data(), file.data() + t.offset, t.bytes);
      tensors.emplace(
          t.name, TensorView{t.dtype, t.shape, reinterpret_cast<const std::byte*>(copy.data())});
    }
    const ModelConfig model = adapter_fuzz_model();
    for (const Layout own : {Layout::native, Layout::legacy}) {
      const auto pairs = find_adapter_pairs(config, model, own, tensors, "fuzz");
      if (pairs.empty() || 2 * pairs.size() != tensors.size()) __builtin_trap();
      for (const AdapterPair& pair : pairs) {
        const std::size_t rank = pair.a.shape.at(0);
        if (pair.layer >= model.layers || rank == 0 || !std::isfinite(pair.scale)) __builtin_trap();
        if (to_floats(pair.a).size() % rank != 0 || pair.b.shape.at(1) != rank) __builtin_trap();
        for (const float v : to_floats(pair.b)) {
          if (!std::isfinite(v)) __builtin_trap();
        }
      }
    }
  } catch (const Error&) {
  }
}

}  // namespace zaya
