#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "checkpoint/config.h"
#include "checkpoint/layout.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/stored_matrix.h"
#include "zaya/error.h"

namespace zaya {

/// Whatever tensors there are under the name of a quantised matrix: a problem in words, or matrices
/// that can be read.
inline void check_matrices(std::span<const std::byte> bytes,
                           const std::vector<TensorEntry>& entries) {
  static const std::optional<Quantization> quantization =
      Quantization{.method = "fuzz",
                   .schemes = {{"a", WeightCode::u4, 1, 8, false},
                               {"b", WeightCode::u8, 1, 0, false},
                               {"c", WeightCode::i8, 0, 0, false},
                               {"d", WeightCode::e4m3, 2, 4, false},
                               {"e", WeightCode::e2m1, 1, 4, true},
                               {"f", WeightCode::nf4, 1, 0, false}},
                   .stepped = true};
  // As SafetensorsFile has it: data aligned to its element size.
  std::vector<std::vector<double>> aligned;
  std::vector<TensorView> views;
  views.reserve(entries.size());
  StoredTensors stored;
  for (const TensorEntry& t : entries) {
    std::vector<double>& copy = aligned.emplace_back(t.bytes / sizeof(double) + 1);
    std::memcpy(copy.data(), bytes.data() + t.offset, t.bytes);
    views.push_back({t.dtype, t.shape, reinterpret_cast<const std::byte*>(copy.data())});
    stored.emplace(t.name, &views.back());
  }
  int problems = 0;
  MatrixFinder finder(stored, quantization, [&](const std::string&) { ++problems; });
  const auto read = [&](const StoredMatrix& matrix) {
    const auto owned = own_matrix(matrix);
    const WeightView view = owned != nullptr ? owned->view : matrix.view;
    std::vector<float> row(view.cols);
    for (std::size_t r = 0; r < view.rows; ++r) copy_row(view, r, row.data());
    check_scales(view, "fuzz");
  };
  for (const MatrixShape& shape : {MatrixShape{1, 2, 8, false}, MatrixShape{2, 3, 7, true}}) {
    const auto found = finder.find(shape.stacked ? "s" : "w.weight", shape);
    if (!found) continue;
    if (found->empty() && problems == 0) __builtin_trap();
    for (const StoredMatrix& matrix : *found) read(matrix);
  }
  const auto halves = finder.find_halves("g.weight", "u.weight", {1, 4, 8, false});
  if (halves && halves->view.data != nullptr) read(*halves);
}

/// Any bytes are a safetensors file with an error, or one whose tensors lie inside it.
inline void check_safetensors(std::span<const std::byte> bytes) {
  try {
    std::uint64_t next = 0;
    const SafetensorsHeader header = parse_safetensors_header(bytes, "fuzz");
    for (const TensorEntry& t : header.tensors) {
      if (t.offset < next || t.bytes > bytes.size() || t.offset > bytes.size() - t.bytes) {
        __builtin_trap();
      }
      if (TensorSpec{t.name, t.dtype, t.shape}.bytes() != t.bytes) __builtin_trap();
      next = t.offset + t.bytes;
    }
    check_matrices(bytes, header.tensors);
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
