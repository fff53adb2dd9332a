#include "model/weights.h"

#include <cmath>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

/// Finds the tensors of one checkpoint by name and turns them into weights.
class Loader {
 public:
  Loader(const Checkpoint& checkpoint, Compute compute)
      : checkpoint_(checkpoint), config_(checkpoint.config()), compute_(compute) {
    if (config_.parts.whole()) return;
    throw Error({.where = checkpoint.folder().string(),
                 .what = "was trained without parts of its attention (attention_without)",
                 .expected = "a whole model: such ones are for comparing losses"});
  }

  Vector vector(const std::string& name) const { return to_floats(checkpoint_.tensor(name)); }

  Matrix matrix(const std::string& name, bool wide = false) const {
    return {checkpoint_, name, compute_, wide};
  }

  Linear linear(const std::string& name, bool bias) const {
    return {matrix(name + ".weight"), bias ? vector(name + ".bias") : Vector{}};
  }

  /// The router decides between functions: its inputs stay as exact as its kernels can take them.
  Linear router_linear(const std::string& name, bool bias) const {
    return {matrix(name + ".weight", true), bias ? vector(name + ".bias") : Vector{}};
  }

  LayerWeights layer(std::size_t index) const {
    const std::string name = fmt::format("model.layers.{}.", index);
    LayerWeights w;
    w.attention_norm = vector(name + "input_layernorm.weight");
    w.attention = attention(name + "self_attn.");
    w.after_attention = residual_scale(name + "post_attention_residual_scale.");
    w.mlp_norm = vector(name + "post_attention_layernorm.weight");
    w.router = router(name + "mlp.gate.", index);
    for (std::size_t e = 0; e < config_.experts; ++e) {
      w.experts.push_back({expert_linear(fmt::format("{}mlp.experts.{}.gate_up_proj", name, e)),
                           expert_linear(fmt::format("{}mlp.experts.{}.down_proj", name, e))});
    }
    w.after_mlp = residual_scale(name + "post_mlp_residual_scale.");
    return w;
  }

 private:
  Linear expert_linear(const std::string& name) const {
    return {matrix(name), config_.expert_bias ? vector(name + "_bias") : Vector{}};
  }

  ResidualScale residual_scale(const std::string& name) const {
    return {vector(name + "hidden_states_scale"), vector(name + "hidden_states_bias"),
            vector(name + "residual_scale"), vector(name + "residual_bias")};
  }

  AttentionWeights attention(const std::string& name) const {
    const std::string qkv = name + "qkv_proj.";
    const bool bias = config_.attention_bias;
    AttentionWeights w;
    w.q = linear(qkv + "q_proj", bias);
    w.k = linear(qkv + "k_proj", bias);
    w.v_current = linear(qkv + "v_proj_current", bias);
    w.v_delayed = linear(qkv + "v_proj_delayed", bias);
    w.depthwise = taps_first(vector(qkv + "conv_qk_depthwise.weight"), config_.conv_time0);
    w.depthwise_bias = vector(qkv + "conv_qk_depthwise.bias");
    w.grouped = taps_beside(checkpoint_.tensor(qkv + "conv_qk_grouped.weight"));
    w.grouped_bias = vector(qkv + "conv_qk_grouped.bias");
    w.temp = vector(name + "qk_norm.temp");
    if (config_.clamp_temp) {
      for (float& t : w.temp) t = std::exp(std::min(std::max(t, 1e-7F), 2.0F));
    }
    w.o = linear(name + "o_proj", bias);
    return w;
  }

  /// [channels, 1, taps] on disk -> one [channels] a tap.
  static std::vector<Vector> taps_first(const Vector& w, std::size_t taps) {
    const std::size_t channels = w.size() / taps;
    std::vector<Vector> out(taps, Vector(channels));
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t t = 0; t < taps; ++t) out[t][c] = w[c * taps + t];
    }
    return out;
  }

  /// [channels, d, taps] on disk -> [channels, taps * d].
  Matrix taps_beside(const TensorView& stored) const {
    const Vector w = to_floats(stored);
    const std::size_t taps = config_.conv_time1;
    const std::size_t d = config_.head_dim;
    const std::size_t channels = config_.conv_width();
    Vector out(w.size());
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t i = 0; i < d; ++i) {
        for (std::size_t t = 0; t < taps; ++t) {
          out[(c * taps + t) * d + i] = w[(c * d + i) * taps + t];
        }
      }
    }
    const DType type = stored.dtype == DType::bf16 ? DType::bf16 : DType::f32;
    return {out, channels, taps * d, type, compute_, true};
  }

  RouterWeights router(const std::string& name, std::size_t index) const {
    RouterWeights w;
    w.down = router_linear(name + "down_proj", true);
    if (config_.eda && index > 0) w.eda_scale = vector(name + "router_states_scale");
    w.norm = vector(name + "router_mlp.norm.weight");
    w.fc1 = router_linear(name + "router_mlp.fc1", true);
    w.fc2 = router_linear(name + "router_mlp.fc2", true);
    w.out = router_linear(name + "router_mlp.out_proj", false);
    w.balancing = vector(name + "balancing_biases");
    return w;
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  Compute compute_;
};

}  // namespace

Matrix::Matrix(const Checkpoint& checkpoint, const std::string& name, Compute compute, bool wide) {
  if (!checkpoint.is_quantized(name)) {
    const TensorView& stored = checkpoint.tensor(name);
    const bool as_stored = stored.dtype == DType::bf16 ||
                           (stored.dtype == DType::f32 && (wide || compute == Compute::f32));
    if (!as_stored) {
      const std::size_t cols = stored.shape.back();
      const bool exact = compute == Compute::f32 || wide;
      *this = Matrix(to_floats(stored), stored.elements() / cols, cols,
                     exact ? DType::f32 : DType::bf16, compute, wide);
      return;
    }
  }
  view_ = checkpoint.matrix(name);
  input_ = compute == Compute::f32 ? InputKind::f32 : fast_input(view_, wide);
}

Matrix::Matrix(const std::vector<float>& values, std::size_t rows, std::size_t cols, DType type,
               Compute compute, bool wide) {
  const std::size_t size = dtype_size(type);
  auto bytes = std::make_shared<std::vector<std::byte>>(values.size() * size);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bf16 rounded = to_bf16(values[i]);
    std::memcpy(bytes->data() + i * size,
                type == DType::bf16 ? static_cast<const void*>(&rounded) : &values[i], size);
  }
  view_ = {.code = type == DType::bf16 ? WeightCode::bf16 : WeightCode::f32,
           .rows = rows,
           .cols = cols,
           .data = bytes->data(),
           .row_bytes = cols * size};
  input_ = compute == Compute::f32 ? InputKind::f32 : fast_input(view_, wide);
  owned_ = std::move(bytes);
}

void Matrix::multiply(const Kernels& kernels, std::size_t first, std::size_t last,
                      Rows<const float> x, std::size_t rows, Rows<float> y) const {
  static thread_local PackedInput packed;
  packed.pack(kernels, input_, x, rows, cols());
  packed.multiply(kernels, view_, first, last, y);
}

ModelWeights::ModelWeights(const Checkpoint& checkpoint, Compute compute) {
  const ModelConfig& config = checkpoint.config();
  const Loader load(checkpoint, compute);
  embedding = load.matrix("model.embed_tokens.weight");
  input_scale = load.vector("model.input_hidden_states_scale");
  input_bias = load.vector("model.input_hidden_states_bias");
  for (std::size_t i = 0; i < config.layers; ++i) layers.push_back(load.layer(i));
  final_norm = load.vector("model.norm.weight");
  head.weight = config.tied_head ? embedding : load.matrix("lm_head.weight");
  if (config.head_bias) head.bias = load.vector("lm_head.bias");
}

}  // namespace zaya
