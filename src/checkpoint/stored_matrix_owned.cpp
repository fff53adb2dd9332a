// What cannot be read as it lies in the file: bitsandbytes' NF4, and matrices stored in two halves.
#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "checkpoint/stored_matrix.h"
#include "zaya/error.h"

namespace zaya {
namespace {

std::span<const float> floats_of(const TensorView& tensor) {
  return {reinterpret_cast<const float*>(tensor.data), tensor.elements()};
}

/// The tensor of that name, when it has the type and size; else the problem is told.
const TensorView* need(const StoredTensors& tensors, const std::string& name, DType type,
                       std::size_t elements, const MatrixFinder::Problem& problem) {
  const auto it = tensors.find(name);
  if (it == tensors.end()) {
    problem(fmt::format("{} is missing", name));
    return nullptr;
  }
  const TensorView& tensor = *it->second;
  if (tensor.dtype == type && tensor.elements() == elements) return &tensor;
  problem(fmt::format("{} should be {} [{}] and is {} {}", name, dtype_name(type), elements,
                      dtype_name(tensor.dtype), shape_text(tensor.shape)));
  return nullptr;
}

std::size_t scale_count(const WeightView& view) {
  return (view.cols + view.scale_cols - 1) / view.scale_cols;
}

/// The scales of some rows as f32, the global one multiplied in.
void append_float_scales(const WeightView& view, std::vector<std::byte>& out) {
  // A matrix of ones under the same scales.
  WeightView ones = view;
  const float one = 1;
  ones.code = WeightCode::f32;
  ones.row_bytes = 0;
  std::vector<float> unit(view.cols, one);
  ones.data = reinterpret_cast<const std::byte*>(unit.data());
  for (std::size_t r = 0; r < view.rows; r += view.scale_rows) {
    for (std::size_t i = 0; i < scale_count(view); ++i) {
      float scale = 0;
      copy_row(ones, r, i * view.scale_cols, 1, &scale);
      const auto* bytes = reinterpret_cast<const std::byte*>(&scale);
      out.insert(out.end(), bytes, bytes + sizeof(scale));
    }
  }
}

void append(std::vector<std::byte>& out, const std::byte* data, std::size_t bytes) {
  out.insert(out.end(), data, data + bytes);
}

std::unique_ptr<OwnedMatrix> join(const WeightView& upper, const WeightView& lower) {
  auto owned = std::make_unique<OwnedMatrix>();
  WeightView view = upper;
  view.rows += lower.rows;
  owned->codes.reserve(view.rows * view.row_bytes);
  append(owned->codes, upper.data, upper.rows * upper.row_bytes);
  append(owned->codes, lower.data, lower.rows * lower.row_bytes);
  if (upper.global == lower.global && upper.scale_row_bytes != 0) {
    for (const WeightView& half : {upper, lower}) {
      append(owned->scales, half.scales, half.rows / half.scale_rows * half.scale_row_bytes);
    }
  } else {
    append_float_scales(upper, owned->scales);
    append_float_scales(lower, owned->scales);
    view.scale_code = ScaleCode::f32;
    view.scale_row_bytes = scale_count(view) * sizeof(float);
    view.global = 1;
    view.stepped = false;
  }
  view.data = owned->codes.data();
  view.scales = owned->scales.data();
  owned->view = view;
  return owned;
}

std::unique_ptr<OwnedMatrix> unpack_nf4(const StoredMatrix& stored) {
  auto owned = std::make_unique<OwnedMatrix>();
  WeightView view = stored.view;
  const std::size_t scales = view.rows * (view.cols / view.scale_cols);
  std::vector<float> values(scales);
  nf4_scales(*stored.nf4, 0, values);
  owned->scales.resize(scales * sizeof(float));
  std::memcpy(owned->scales.data(), values.data(), owned->scales.size());
  owned->codes.resize(view.rows * view.row_bytes);
  swap_nibbles({view.data, owned->codes.size()}, owned->codes.data());
  view.data = owned->codes.data();
  view.scales = owned->scales.data();
  owned->view = view;
  return owned;
}

}  // namespace

std::unique_ptr<OwnedMatrix> own_matrix(const StoredMatrix& stored) {
  if (stored.nf4 != nullptr) return unpack_nf4(stored);
  if (stored.lower) return join(stored.view, *stored.lower);
  return nullptr;
}

std::vector<StoredMatrix> MatrixFinder::find_nf4(const std::string& name, const TensorView& codes,
                                                 const MatrixShape& shape) {
  const std::string key = ".quant_state.bitsandbytes__nf4";
  const auto state_at = tensors_.find(name + key);
  if (shape.stacked || state_at == tensors_.end() || state_at->second->dtype != DType::u8) {
    problem_(shape.stacked ? fmt::format("{}: a stack cannot be in NF4", name)
                           : fmt::format("{}{} is missing, or not U8", name, key));
    return {};
  }
  const TensorView& state = *state_at->second;
  Nf4Blocks blocks;
  blocks.state =
      parse_nf4_state({reinterpret_cast<const char*>(state.data), state.elements()}, name + key);
  const std::size_t block = blocks.state.block;
  const std::vector<std::size_t> expected = {shape.rows, shape.cols};
  if (blocks.state.shape != expected) {
    problem_(fmt::format("{}{} should have the shape {} and has {}", name, key,
                         shape_text(expected), shape_text(blocks.state.shape)));
    return {};
  }
  if (shape.cols % block != 0) {
    problem_(
        fmt::format("{}: blocks of {} weights do not divide rows of {}", name, block, shape.cols));
    return {};
  }
  const std::size_t count = shape.rows * (shape.cols / block);
  const bool nested = blocks.state.nested;
  const std::size_t halves = shape.rows * (shape.cols / 2);
  if (codes.dtype != DType::u8 || codes.elements() != halves) {
    problem_(fmt::format("{} should be U8 [{}] and is {} {}", name, halves, dtype_name(codes.dtype),
                         shape_text(codes.shape)));
    return {};
  }
  const auto take = [&](const char* suffix, DType type, std::size_t elements) {
    const TensorView* tensor = need(tensors_, name + suffix, type, elements, problem_);
    tensors_.erase(name + suffix);
    return tensor;
  };
  const TensorView* absmax = take(".absmax", nested ? DType::u8 : DType::f32, count);
  const TensorView* map = take(".quant_map", DType::f32, 16);
  if (absmax == nullptr || map == nullptr) return {};
  if (!is_nf4_map(floats_of(*map))) {
    problem_(fmt::format("{}.quant_map does not hold the levels of NF4", name));
    return {};
  }
  blocks.absmax = *absmax;
  if (nested) {
    const std::size_t per = blocks.state.nested_block;
    const TensorView* outer = take(".nested_absmax", DType::f32, (count + per - 1) / per);
    const TensorView* levels = take(".nested_quant_map", DType::f32, 256);
    if (outer == nullptr || levels == nullptr) return {};
    blocks.nested_absmax = *outer;
    blocks.nested_map = *levels;
  }
  tensors_.erase(name + key);

  StoredMatrix out;
  out.name = name;
  out.view.code = WeightCode::nf4;
  out.view.rows = shape.rows;
  out.view.cols = shape.cols;
  out.view.data = codes.data;
  out.view.row_bytes = shape.cols / 2;
  out.view.scale_code = ScaleCode::f32;
  out.view.scale_cols = block;
  out.view.scale_row_bytes = shape.cols / block * sizeof(float);
  out.nf4 = std::make_shared<const Nf4Blocks>(std::move(blocks));
  return {out};
}

std::optional<StoredMatrix> MatrixFinder::find_halves(const std::string& upper,
                                                      const std::string& lower,
                                                      const MatrixShape& shape) {
  MatrixShape half = shape;
  half.rows = shape.rows / 2;
  const auto a = find(upper, half);
  const auto b = find(lower, half);
  if (!a && !b) return {};
  if (!a || !b) {
    problem_(fmt::format("{} is quantised and {} is not", a ? upper : lower, a ? lower : upper));
    return StoredMatrix{};
  }
  if (a->empty() || b->empty()) return StoredMatrix{};
  StoredMatrix out = a->front();
  const WeightView& above = out.view;
  const WeightView& below = b->front().view;
  if (out.nf4 != nullptr || b->front().nf4 != nullptr || above.code != below.code ||
      above.scale_code != below.scale_code || above.scale_cols != below.scale_cols ||
      above.scale_rows != below.scale_rows || half.rows % above.scale_rows != 0 ||
      (above.scale_row_bytes == 0) != (below.scale_row_bytes == 0)) {
    problem_(fmt::format("{} and {} cannot be read as one matrix", upper, lower));
    return StoredMatrix{};
  }
  out.lower = below;
  return out;
}

}  // namespace zaya
