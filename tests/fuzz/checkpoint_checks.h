#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/config.h"
#include "checkpoint/layout.h"
#include "checkpoint/safetensors.h"

namespace zaya {

/// Any bytes are a safetensors file with an error, or one whose tensors lie inside it.
inline void check_safetensors(std::span<const std::byte> bytes) {
  try {
    std::uint64_t next = 0;
    for (const TensorEntry& t : parse_safetensors_header(bytes, "fuzz").tensors) {
      if (t.offset < next || t.bytes > bytes.size() || t.offset > bytes.size() - t.bytes) {
        __builtin_trap();
      }
      if (TensorSpec{t.name, t.dtype, t.shape}.bytes() != t.bytes) __builtin_trap();
      next = t.offset + t.bytes;
    }
  } catch (const Error&) {
  }
}

/// Any text is a config.json with an error, or one that survives being written in our words.
inline void check_config(std::string_view text) {
  try {
    const ConfigFile file = parse_config(parse_json(text, "fuzz"), "fuzz");
    const Json native = native_config_json(file.model, file.dtype);
    const ModelConfig again = parse_config(native, "native").model;
    if (native_config_json(again, file.dtype) != native) __builtin_trap();
    if (file.model.layers * file.model.experts < 1000) {
      std::uint64_t elements[2] = {};
      for (const StoredTensor& t : tensor_table(file.model, Layout::native)) {
        elements[0] += t.elements();
      }
      for (const StoredTensor& t : tensor_table(file.model, Layout::legacy)) {
        elements[1] += t.elements();
      }
      if (elements[0] != elements[1]) __builtin_trap();
    }
    const Json legacy = legacy_config_json(file.model, file.dtype);
    if (legacy_config_json(parse_config(legacy, "legacy").model, file.dtype) != legacy) {
      __builtin_trap();
    }
  } catch (const Error&) {
  }
}

}  // namespace zaya
