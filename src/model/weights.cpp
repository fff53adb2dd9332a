#include "model/weights.h"

#include <cmath>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"

namespace zaya {
namespace {

template <class T>
T load_as(const std::byte* data, std::size_t i) {
  T value;
  std::memcpy(&value, data + i * sizeof(T), sizeof(T));
  return value;
}

Vector to_floats(const TensorView& view) {
  Vector out(view.elements());
  for (std::size_t i = 0; i < out.size(); ++i) {
    switch (view.dtype) {
      case DType::f32:
        out[i] = load_as<float>(view.data, i);
        break;
      case DType::bf16:
        out[i] = to_float(load_as<bf16>(view.data, i));
        break;
      case DType::f16:
        out[i] = f16_to_float(load_as<std::uint16_t>(view.data, i));
        break;
      default:
        throw Error({.where = "weights",
                     .what = "tensor type cannot be computed with",
                     .expected = "F32, BF16 or F16",
                     .found = std::string(dtype_name(view.dtype))});
    }
  }
  return out;
}

template <class T>
std::shared_ptr<const void> keep(std::vector<T> values, const void*& data) {
  auto owner = std::make_shared<std::vector<T>>(std::move(values));
  data = owner->data();
  return owner;
}

/// Finds the tensors of one checkpoint by name and turns them into weights.
class Loader {
 public:
  Loader(const Checkpoint& checkpoint, Compute compute)
      : checkpoint_(checkpoint), config_(checkpoint.config()), compute_(compute) {}

  Vector vector(const std::string& name) const { return to_floats(checkpoint_.tensor(name)); }

  Matrix matrix(const std::string& name) const { return {checkpoint_.tensor(name), compute_}; }

  Linear linear(const std::string& name, bool bias) const {
    return {matrix(name + ".weight"), bias ? vector(name + ".bias") : Vector{}};
  }

  /// The same with the matrix as stored, whatever the compute mode.
  Linear exact_linear(const std::string& name, bool bias) const {
    return {Matrix(checkpoint_.tensor(name + ".weight"), Compute::f32),
            bias ? vector(name + ".bias") : Vector{}};
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
    w.grouped = taps_beside(vector(qkv + "conv_qk_grouped.weight"), config_.conv_time1);
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
  Matrix taps_beside(const Vector& w, std::size_t taps) const {
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
    return {std::move(out), channels, taps * d};
  }

  RouterWeights router(const std::string& name, std::size_t index) const {
    RouterWeights w;
    w.down = exact_linear(name + "down_proj", true);
    if (config_.eda && index > 0) w.eda_scale = vector(name + "router_states_scale");
    w.norm = vector(name + "router_mlp.norm.weight");
    w.fc1 = exact_linear(name + "router_mlp.fc1", true);
    w.fc2 = exact_linear(name + "router_mlp.fc2", true);
    w.out = exact_linear(name + "router_mlp.out_proj", false);
    w.balancing = vector(name + "balancing_biases");
    return w;
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  Compute compute_;
};

}  // namespace

Matrix::Matrix(const TensorView& view, Compute compute) {
  cols_ = view.shape.back();
  rows_ = view.elements() / cols_;
  const bool borrow =
      view.dtype == DType::bf16 || (view.dtype == DType::f32 && compute == Compute::f32);
  if (borrow) {
    type_ = view.dtype;
    data_ = view.data;
    return;
  }
  Vector values = to_floats(view);
  if (compute == Compute::f32) {
    *this = Matrix(std::move(values), rows_, cols_);
    return;
  }
  type_ = DType::bf16;
  std::vector<bf16> rounded(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) rounded[i] = to_bf16(values[i]);
  owned_bytes_ = rounded.size() * sizeof(bf16);
  owned_ = keep(std::move(rounded), data_);
}

Matrix::Matrix(std::vector<float> values, std::size_t rows, std::size_t cols)
    : rows_(rows), cols_(cols), owned_bytes_(values.size() * sizeof(float)) {
  owned_ = keep(std::move(values), data_);
}

void Matrix::copy_row(std::size_t r, float* out) const {
  if (type_ == DType::f32) {
    std::memcpy(out, static_cast<const float*>(data_) + r * cols_, cols_ * sizeof(float));
    return;
  }
  const bf16* row = static_cast<const bf16*>(data_) + r * cols_;
  for (std::size_t i = 0; i < cols_; ++i) out[i] = to_float(row[i]);
}

void Matrix::multiply(const Kernels& kernels, std::size_t first, std::size_t last,
                      Rows<const float> x, std::size_t rows, Rows<float> y) const {
  if (type_ == DType::f32) {
    kernels.matmul_f32({static_cast<const float*>(data_) + first * cols_, cols_}, x, y, rows,
                       last - first, cols_);
  } else {
    kernels.matmul_bf16({static_cast<const bf16*>(data_) + first * cols_, cols_}, x, y, rows,
                        last - first, cols_);
  }
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
