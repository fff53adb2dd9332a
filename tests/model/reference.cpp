#include "tests/model/reference.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include <fmt/format.h>

#include "base/dtype.h"

namespace zaya {
namespace {

using Row = std::vector<double>;
using Rows2 = std::vector<Row>;  // [position][channel]

Row add(const Row& a, const Row& b) {
  Row out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) out[i] = a[i] + b[i];
  return out;
}

Row product(const Row& matrix, const Row& x) {
  Row out(matrix.size() / x.size());
  for (std::size_t r = 0; r < out.size(); ++r) {
    for (std::size_t c = 0; c < x.size(); ++c) out[r] += matrix[r * x.size() + c] * x[c];
  }
  return out;
}

Row rms_norm(const Row& x, const Row& weight, double eps) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double root = std::sqrt(squares / static_cast<double>(x.size()) + eps);
  Row out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = x[i] / root * weight[i];
  return out;
}

Row softmax(const Row& x) {
  const double top = *std::max_element(x.begin(), x.end());
  Row out(x.size());
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += out[i] = std::exp(x[i] - top);
  for (double& v : out) v /= sum;
  return out;
}

double gelu(double x) {
  return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
}

double silu(double x) {
  return x / (1 + std::exp(-x));
}

class Reference {
 public:
  Reference(const ModelConfig& config, const Weights& weights) : c_(config), weights_(weights) {}

  ReferenceRun run(std::span<const TokenId> tokens) {
    Rows2 x;
    for (const TokenId token : tokens) x.push_back(embed(token));
    Rows2 router_state(tokens.size(), Row(c_.router_hidden, 0.0));
    for (layer_ = 0; layer_ < c_.layers; ++layer_) {
      Rows2 normed;
      for (const Row& v : x) normed.push_back(norm(v, at("input_layernorm.weight")));
      const Rows2 attended = attention(normed);
      run_.probabilities.emplace_back();
      run_.classes.emplace_back();
      for (std::size_t t = 0; t < x.size(); ++t) {
        const Row h = merge("post_attention_residual_scale.", attended[t], x[t]);
        const Row m = norm(h, at("post_attention_layernorm.weight"));
        x[t] = merge("post_mlp_residual_scale.", moe(m, router_state[t]), h);
      }
    }
    for (const Row& v : x) run_.logits.push_back(head(v));
    return run_;
  }

 private:
  const Row& global(const std::string& name) const { return weights_.at(name); }
  /// A tensor of the current layer.
  const Row& at(const std::string& name) const {
    return weights_.at(fmt::format("model.layers.{}.{}", layer_, name));
  }

  Row norm(const Row& x, const Row& weight) const { return rms_norm(x, weight, c_.norm_eps); }

  Row linear(const std::string& name, const Row& x, bool bias) const {
    const Row y = product(at(name + ".weight"), x);
    return bias ? add(y, at(name + ".bias")) : y;
  }

  Row embed(TokenId token) const {
    const Row& table = global("model.embed_tokens.weight");
    const Row& scale = global("model.input_hidden_states_scale");
    const Row& bias = global("model.input_hidden_states_bias");
    Row x(c_.hidden);
    for (std::size_t i = 0; i < c_.hidden; ++i) {
      x[i] = (table[static_cast<std::size_t>(token) * c_.hidden + i] + bias[i]) * scale[i];
    }
    return x;
  }

  /// (o + hb) hs + (r + rb) rs
  Row merge(const std::string& prefix, const Row& o, const Row& r) const {
    const Row& hs = at(prefix + "hidden_states_scale");
    const Row& hb = at(prefix + "hidden_states_bias");
    const Row& rs = at(prefix + "residual_scale");
    const Row& rb = at(prefix + "residual_bias");
    Row out(o.size());
    for (std::size_t i = 0; i < o.size(); ++i) {
      out[i] = (o[i] + hb[i]) * hs[i] + (r[i] + rb[i]) * rs[i];
    }
    return out;
  }

  Row head(const Row& x) const {
    const Row y = norm(x, global("model.norm.weight"));
    const Row logits =
        product(global(c_.tied_head ? "model.embed_tokens.weight" : "lm_head.weight"), y);
    return c_.head_bias ? add(logits, global("lm_head.bias")) : logits;
  }

  /// Two causal convolutions over [q ; k]: depthwise, then one group a head. The input is padded
  /// once on the left with as many zero rows as both reach back; so what the second one sees before
  /// the first token is the first one's bias.
  Rows2 convolve(const Rows2& z) const {
    const std::size_t width = c_.conv_width();
    Rows2 padded(c_.conv_tail(), Row(width, 0.0));
    padded.insert(padded.end(), z.begin(), z.end());

    const Row& a = at("self_attn.qkv_proj.conv_qk_depthwise.weight");
    Rows2 u;
    for (std::size_t t = 0; t + c_.conv_time0 <= padded.size(); ++t) {
      Row row = at("self_attn.qkv_proj.conv_qk_depthwise.bias");
      for (std::size_t c = 0; c < width; ++c) {
        for (std::size_t tap = 0; tap < c_.conv_time0; ++tap) {
          row[c] += a[c * c_.conv_time0 + tap] * padded[t + tap][c];
        }
      }
      u.push_back(row);
    }

    const Row& b = at("self_attn.qkv_proj.conv_qk_grouped.weight");
    Rows2 s;
    for (std::size_t t = 0; t < z.size(); ++t) {
      Row row = at("self_attn.qkv_proj.conv_qk_grouped.bias");
      for (std::size_t c = 0; c < width; ++c) {
        const std::size_t group = c / c_.head_dim * c_.head_dim;
        for (std::size_t i = 0; i < c_.head_dim; ++i) {
          for (std::size_t tap = 0; tap < c_.conv_time1; ++tap) {
            row[c] += b[(c * c_.head_dim + i) * c_.conv_time1 + tap] * u[t + tap][group + i];
          }
        }
      }
      s.push_back(row);
    }
    return s;
  }

  /// Scales a head to length sqrt(head_dim).
  void l2_norm(double* x, double temperature) const {
    double squares = 0;
    for (std::size_t i = 0; i < c_.head_dim; ++i) squares += x[i] * x[i];
    const double scale =
        std::sqrt(static_cast<double>(c_.head_dim)) / std::sqrt(squares + 1e-12) * temperature;
    for (std::size_t i = 0; i < c_.head_dim; ++i) x[i] *= scale;
  }

  double temperature(std::size_t kv_head) const {
    const double t = at("self_attn.qk_norm.temp")[kv_head];
    return c_.clamp_temp ? std::exp(std::clamp(t, 1e-7, 2.0)) : t;
  }

  /// Rotates the first part of a head; entry i is paired with the one half of that part further on.
  void rotate(double* x, std::size_t position) const {
    const RopeConfig& rope = c_.sliding[layer_] ? c_.sliding_rope : c_.rope;
    const auto rotated = static_cast<std::size_t>(
        std::floor(static_cast<double>(c_.head_dim) * rope.partial_rotary_factor));
    const std::size_t half = rotated / 2;
    for (std::size_t i = 0; i < half; ++i) {
      const double frequency =
          std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotated));
      const double angle = static_cast<double>(position) * frequency;
      const double first = x[i];
      const double second = x[i + half];
      x[i] = first * std::cos(angle) - second * std::sin(angle);
      x[i + half] = second * std::cos(angle) + first * std::sin(angle);
    }
  }

  /// Attention over the normed rows of the whole sequence, output projection included.
  Rows2 attention(const Rows2& n) const {
    const std::size_t count = n.size();
    const std::size_t d = c_.head_dim;
    const std::size_t group = c_.heads / c_.kv_heads;
    const bool bias = c_.attention_bias;
    const Row nothing(c_.hidden, 0.0);

    Rows2 z(count);
    Rows2 value(count);
    for (std::size_t t = 0; t < count; ++t) {
      z[t] = linear("self_attn.qkv_proj.q_proj", n[t], bias);
      const Row k = linear("self_attn.qkv_proj.k_proj", n[t], bias);
      z[t].insert(z[t].end(), k.begin(), k.end());
      value[t] = linear("self_attn.qkv_proj.v_proj_current", n[t], bias);
      const Row late =
          linear("self_attn.qkv_proj.v_proj_delayed", t == 0 ? nothing : n[t - 1], bias);
      value[t].insert(value[t].end(), late.begin(), late.end());
    }

    // Rows of s become [Q ; K]: add the means, norm, rotate.
    Rows2 s = convolve(z);
    for (std::size_t t = 0; t < count; ++t) {
      const double* q = z[t].data();
      const double* k = q + c_.q_width();
      double* query = s[t].data();
      double* key = query + c_.q_width();
      for (std::size_t h = 0; h < c_.heads; ++h) {
        for (std::size_t i = 0; i < d; ++i) {
          const double mean = (q[h * d + i] + k[h / group * d + i]) / 2;
          query[h * d + i] += mean;
          key[h / group * d + i] += mean / static_cast<double>(group);
        }
      }
      for (std::size_t h = 0; h < c_.heads; ++h) {
        l2_norm(query + h * d, 1.0);
        rotate(query + h * d, t);
      }
      for (std::size_t g = 0; g < c_.kv_heads; ++g) {
        l2_norm(key + g * d, temperature(g));
        rotate(key + g * d, t);
      }
    }

    Rows2 out(count);
    for (std::size_t t = 0; t < count; ++t) {
      const std::size_t span = c_.sliding[layer_] ? c_.window : count;
      const std::size_t first = t + 1 > span ? t + 1 - span : 0;
      Row mixed(c_.q_width(), 0.0);
      for (std::size_t h = 0; h < c_.heads; ++h) {
        Row scores;
        for (std::size_t j = first; j <= t; ++j) {
          double dot = 0;
          for (std::size_t i = 0; i < d; ++i) {
            dot += s[t][h * d + i] * s[j][c_.q_width() + h / group * d + i];
          }
          scores.push_back(dot / std::sqrt(static_cast<double>(d)));
        }
        const Row share = softmax(scores);
        for (std::size_t j = first; j <= t; ++j) {
          for (std::size_t i = 0; i < d; ++i) {
            mixed[h * d + i] += share[j - first] * value[j][h / group * d + i];
          }
        }
      }
      out[t] = linear("self_attn.o_proj", mixed, bias);
    }
    return out;
  }

  /// Router and the chosen expert. `state` is the token's router state of the layer above, replaced
  /// by this layer's.
  Row moe(const Row& m, Row& state) {
    Row r = linear("mlp.gate.down_proj", m, true);
    if (c_.eda && layer_ > 0) {
      const Row& scale = at("mlp.gate.router_states_scale");
      for (std::size_t i = 0; i < r.size(); ++i) r[i] += scale[i] * state[i];
    }
    state = r;
    Row h = norm(r, at("mlp.gate.router_mlp.norm.weight"));
    for (const char* name : {"mlp.gate.router_mlp.fc1", "mlp.gate.router_mlp.fc2"}) {
      h = linear(name, h, true);
      for (double& v : h) v = gelu(v);
    }
    const Row p = softmax(linear("mlp.gate.router_mlp.out_proj", h, false));
    const std::size_t chosen = choose(add(p, at("mlp.gate.balancing_biases")));
    run_.probabilities.back().push_back(p);
    run_.classes.back().push_back(chosen);

    Row out(c_.hidden, 0.0);
    if (chosen == c_.experts) {
      if (c_.skip_adds_input) out = m;
    } else {
      out = expert(chosen, m);
    }
    for (double& v : out) v *= p[chosen];
    return out;
  }

  std::size_t choose(const Row& scores) {
    const auto best = static_cast<std::size_t>(
        std::distance(scores.begin(), std::max_element(scores.begin(), scores.end())));
    for (const double other : scores) {
      if (other != scores[best]) run_.margin = std::min(run_.margin, scores[best] - other);
    }
    return best;
  }

  Row expert(std::size_t index, const Row& m) const {
    const std::string prefix = fmt::format("mlp.experts.{}.", index);
    Row both = product(at(prefix + "gate_up_proj"), m);
    if (c_.expert_bias) both = add(both, at(prefix + "gate_up_proj_bias"));
    Row inner(c_.expert_width);
    for (std::size_t i = 0; i < inner.size(); ++i) {
      inner[i] = silu(both[i]) * both[c_.expert_width + i];
    }
    const Row out = product(at(prefix + "down_proj"), inner);
    return c_.expert_bias ? add(out, at(prefix + "down_proj_bias")) : out;
  }

  const ModelConfig& c_;
  const Weights& weights_;
  std::size_t layer_ = 0;
  ReferenceRun run_;
};

}  // namespace

ReferenceRun reference_forward(const ModelConfig& config, const Weights& weights,
                               std::span<const TokenId> tokens) {
  return Reference(config, weights).run(tokens);
}

Weights read_weights(const Checkpoint& checkpoint) {
  Weights out;
  for (const std::string& name : checkpoint.names()) {
    const TensorView& view = checkpoint.tensor(name);
    std::vector<double>& values = out[name];
    for (std::size_t i = 0; i < view.elements(); ++i) {
      if (view.dtype == DType::f32) {
        values.push_back(reinterpret_cast<const float*>(view.data)[i]);
      } else if (view.dtype == DType::bf16) {
        values.push_back(to_float(reinterpret_cast<const bf16*>(view.data)[i]));
      } else {
        values.push_back(f16_to_float(reinterpret_cast<const std::uint16_t*>(view.data)[i]));
      }
    }
  }
  return out;
}

}  // namespace zaya
