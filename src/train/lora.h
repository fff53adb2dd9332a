#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/adapter.h"
#include "train/context.h"
#include "train/tensors.h"

namespace zaya::train {

/// A LoRA adapter that is trained (arXiv:2106.09685): W x + scale B A x with scale = alpha / rank.
struct LoraOptions {
  std::size_t rank = 16;
  double alpha = 32;
  std::vector<Projection> targets = {Projection::q, Projection::k, Projection::v_current,
                                     Projection::v_delayed, Projection::o};

  double scale() const { return alpha / static_cast<double>(rank); }
};

/// A and B of every target, by their names in an adapter's file for a checkpoint of this layout.
std::vector<TensorInfo> lora_layout(const LoraOptions& options, const ModelConfig& model,
                                    Layout layout);

/// The pairs of each layer in an arena of lora_layout().
template <class T>
std::vector<LoraTensors<T>> bind_lora(const LoraOptions& options, const ModelConfig& model,
                                      const std::vector<TensorInfo>& layout, T* arena);

/// As PEFT begins: A uniform within 1 / sqrt(in) of 0, B zero, so that nothing is changed yet.
template <class T>
void begin_lora(const std::vector<TensorInfo>& layout, std::uint64_t seed, T* arena);

/// adapter_config.json as PEFT writes it.
Json lora_config_json(const LoraOptions& options, const ModelConfig& model, Layout layout,
                      const std::string& base);

/// One projection's columns of an output.
struct LoraColumns {
  Projection projection;
  std::size_t at;
  std::size_t width;
};

/// y += scale B A x in those columns whose projection has a pair. x [rows, in].
template <class T>
void lora_forward(Context<T>& context, const LoraTensors<const T>& w,
                  std::span<const LoraColumns> columns, Rows<const T> x, std::size_t rows,
                  std::size_t in, Rows<T> y);

/// With u = scale A x and g = scale B^T dy: dB += dy u^T, dA += g x^T, dx += A^T g.
template <class T>
void lora_backward(Context<T>& context, const LoraTensors<const T>& w, const LoraTensors<T>& dw,
                   std::span<const LoraColumns> columns, Rows<const T> x, std::size_t rows,
                   std::size_t in, Rows<const T> dy, Rows<T> dx);

}  // namespace zaya::train
