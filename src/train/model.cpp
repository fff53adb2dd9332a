#include "train/model.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "checkpoint/layout.h"
#include "zaya/error.h"

namespace zaya::train {

namespace {

Placement everywhere(const std::vector<TensorInfo>& layout) {
  return {{Segment::kEverywhere, 0, 0, arena_size(layout)}};
}

/// Experts with their ranks, all else everywhere; each rank's arena in the order of the layout.
Placement place_experts(const std::vector<TensorInfo>& layout, const Communicator& ranks) {
  Placement placement;
  std::vector<std::size_t> local(ranks.size());
  for (const TensorInfo& t : layout) {
    if (!t.experts()) {
      append_segment(placement, {Segment::kEverywhere, t.offset, local[ranks.rank()], t.elements});
      for (std::size_t& size : local) size += t.elements;
      continue;
    }
    const std::size_t each = t.elements / t.shape[0];
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      const ExpertRange range = expert_range(t.shape[0], ranks, r);
      const std::size_t count = range.count() * each;
      append_segment(placement, {r, t.offset + range.first * each, local[r], count});
      local[r] += count;
    }
  }
  return placement;
}

std::vector<TensorInfo> checked_layout(const ModelConfig& config, const Communicator& ranks) {
  if (config.experts < ranks.size()) {
    throw Error({.where = "expert_parallel",
                 .what = "there are more processes than experts in a layer",
                 .expected = fmt::format("at most {}", config.experts),
                 .found = std::to_string(ranks.size())});
  }
  return arena_layout(config);
}

}  // namespace

template <class T>
Model<T>::Model(ModelConfig config, std::vector<TensorInfo> layout, Placement placement,
                ModelOptions options, const Kernels& kernels, GemmKind kind, ThreadPool& pool,
                Communicator& ranks)
    : config_(std::move(config)),
      options_(options),
      layout_(std::move(layout)),
      placement_(std::move(placement)),
      rank_(ranks.rank()),
      parameters_(local_size(placement_, rank_)),
      gradients_(parameters_.size()),
      context_(kernels, kind, pool),
      head_(config_),
      frozen_head_(config_),
      stream_(config_.layers + 1),
      states_(config_.layers),
      activations_(options.recompute ? 1 : config_.layers),
      loads_(config_.layers, std::vector<std::uint64_t>(config_.classes())) {
  for (std::size_t i = 0; i < config_.layers; ++i) {
    layers_.push_back({Cca<T>(config_, i), Router<T>(config_), Experts<T>(config_), nullptr});
  }
}

template <class T>
void Model<T>::bind(const std::vector<TensorInfo>& own) {
  tensors_ = bind_tensors<T>(config_, own, parameters_.data());
  constants_ = bind_tensors<const T>(config_, own, parameters_.data());
  d_ = bind_tensors<T>(config_, own, gradients_.data());
}

template <class T>
Model<T>::Model(ModelConfig config, ModelOptions options, const Kernels& kernels, GemmKind kind,
                ThreadPool& pool)
    : Model(config, arena_layout(config), everywhere(arena_layout(config)), options, kernels, kind,
            pool, alone()) {
  bind(layout_);
}

template <class T>
Model<T>::Model(ModelConfig config, ModelOptions options, const Kernels& kernels, GemmKind kind,
                ThreadPool& pool, Communicator& expert_ranks)
    : Model(config, checked_layout(config, expert_ranks),
            place_experts(arena_layout(config), expert_ranks), options, kernels, kind, pool,
            expert_ranks) {
  std::vector<TensorInfo> own = layout_;
  std::size_t offset = 0;
  for (TensorInfo& t : own) {
    if (t.experts()) {
      const std::size_t count = expert_range(t.shape[0], expert_ranks, rank_).count();
      t.elements = t.elements / t.shape[0] * count;
      t.shape[0] = count;
    }
    t.offset = offset;
    offset += t.elements;
  }
  bind(own);
  for (Layer& layer : layers_) {
    layer.parallel_experts = std::make_unique<ParallelExperts<T>>(config_, expert_ranks);
  }
}

template <class T>
Model<T>::Model(std::shared_ptr<const Checkpoint> base, const LoraOptions& lora, std::uint64_t seed,
                ModelOptions options, const Kernels& kernels, GemmKind kind, ThreadPool& pool)
    : Model(base->config(), lora_layout(lora, base->config(), base->config_file().layout),
            everywhere(lora_layout(lora, base->config(), base->config_file().layout)), options,
            kernels, kind, pool, alone()) {
  base_ = std::make_unique<FrozenBase<T>>(std::move(base), kernels, pool);
  constants_ = base_->vectors();
  lora_ = bind_lora<const T>(lora, config_, layout_, parameters_.data());
  const auto gradients = bind_lora<T>(lora, config_, layout_, gradients_.data());
  d_.layers.resize(config_.layers);
  for (std::size_t i = 0; i < config_.layers; ++i) d_.layers[i].lora = gradients[i];
  begin_lora(layout_, seed, parameters_.data());
}

template <class T>
void Model<T>::load(const Checkpoint& checkpoint) {
  if (checkpoint.is_quantized()) {
    throw Error({.where = checkpoint.folder().string(), .what = "cannot train quantised weights"});
  }
  // Parts of a stack come one by one, in order; a segment ends where they do.
  auto segment = placement_.begin();
  std::size_t whole = 0;
  for (const StoredTensor& stored : tensor_table(config_, Layout::native)) {
    for (const std::string& part : stored.parts) {
      while (whole >= segment->whole + segment->count) ++segment;
      if (segment->is_on(rank_)) {
        const std::vector<float> values = to_floats(checkpoint.tensor(part));
        std::copy(values.begin(), values.end(),
                  parameters_.begin() + static_cast<long>(segment->local + whole - segment->whole));
      }
      whole += static_cast<std::size_t>(stored.elements()) / stored.parts.size();
    }
  }
}

/// x_0 = (embedding + input_bias) input_scale.
template <class T>
void Model<T>::embed(const PackedBatch& batch) {
  const std::size_t width = config_.hidden;
  stream_[0].resize(batch.rows() * width);
  context_.each_rows(batch.rows(), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      T* x = stream_[0].data() + r * width;
      const T* e = x;
      if (base_ != nullptr) {
        base_->copy_embedding(batch.tokens[r], x);
      } else {
        e = constants_.embedding + static_cast<std::size_t>(batch.tokens[r]) * width;
      }
      context_.ops.scale_input(e, constants_.input_scale, constants_.input_bias, x, width);
    }
  });
}

/// Several rows may have one token, so they are taken in order.
template <class T>
void Model<T>::embed_backward(const PackedBatch& batch) {
  const std::size_t width = config_.hidden;
  for (std::size_t r = 0; r < batch.rows(); ++r) {
    const std::size_t at = static_cast<std::size_t>(batch.tokens[r]) * width;
    context_.ops.scale_input_backward(constants_.embedding + at, constants_.input_scale,
                                      constants_.input_bias, dx_.data() + r * width,
                                      d_.embedding + at, d_.input_scale, d_.input_bias, width);
  }
}

/// h = merge(Attention(RMSNorm(x)), x); out = merge(Experts(RMSNorm(h)), h).
template <class T>
void Model<T>::layer_forward(std::size_t index, const PackedBatch& batch, LayerActivations& a,
                             T* out) {
  const LayerTensors<const T> w = weights(index);
  const std::size_t rows = batch.rows();
  const std::size_t n = config_.hidden;
  const T* x = stream_[index].data();
  const T eps = static_cast<T>(config_.norm_eps);
  Layer& layer = layers_[index];
  for (auto* v : {&a.normed, &a.attended, &a.middle, &a.middle_normed, &a.mixed}) {
    v->resize(rows * n);
  }
  a.inverse.resize(rows);
  a.middle_inverse.resize(rows);

  context_.each_rows(rows, [&](std::size_t i, std::size_t end) {
    context_.ops.rms_norm(x + i * n, w.attention_norm, eps, a.normed.data() + i * n,
                          a.inverse.data() + i, end - i, n);
  });
  layer.cca.forward(context_, w, rotary(index), batch, a.normed.data(), a.attended.data(), a.cca,
                    scratch_);
  context_.each_rows(rows, [&](std::size_t i, std::size_t end) {
    context_.ops.merge(a.attended.data() + i * n, w.after_attention, x + i * n,
                       a.middle.data() + i * n, end - i, n);
    context_.ops.rms_norm(a.middle.data() + i * n, w.mlp_norm, eps, a.middle_normed.data() + i * n,
                          a.middle_inverse.data() + i, end - i, n);
  });
  layer.router.forward(context_, w, rows, a.middle_normed.data(), carried(index), a.router);
  if (layer.parallel_experts != nullptr) {
    layer.parallel_experts->forward(context_, w, rows, a.middle_normed.data(), a.router,
                                    a.mixed.data(), a.parallel_experts);
  } else {
    layer.experts.forward(context_, w, rows, a.middle_normed.data(), a.router, a.mixed.data(),
                          a.experts);
  }
  if (out == nullptr) return;
  context_.each_rows(rows, [&](std::size_t i, std::size_t end) {
    context_.ops.merge(a.mixed.data() + i * n, w.after_mlp, a.middle.data() + i * n, out + i * n,
                       end - i, n);
  });
}

template <class T>
void Model<T>::forward(const PackedBatch& batch) {
  for (const TokenId token : batch.tokens) {
    if (token >= 0 && static_cast<std::size_t>(token) < config_.vocab) continue;
    throw Error({.where = "training data",
                 .what = "token id is outside the vocabulary",
                 .expected = fmt::format("0 to {}", config_.vocab - 1),
                 .found = std::to_string(token)});
  }
  const std::size_t longest = batch.longest();
  full_rotary_.fill(config_.rope, config_.head_dim, longest);
  sliding_rotary_.fill(config_.sliding_rope, config_.head_dim, longest);
  embed(batch);
  for (std::size_t i = 0; i < config_.layers; ++i) {
    stream_[i + 1].resize(batch.rows() * config_.hidden);
    layer_forward(i, batch, activations(i), stream_[i + 1].data());
    states_[i] = activations(i).router.state;
  }
}

/// dx_ goes from the layer's output to its input, dstate_ from its router's state to the one
/// before.
template <class T>
void Model<T>::layer_backward(std::size_t index, const PackedBatch& batch, LayerActivations& a,
                              T balance) {
  const LayerTensors<const T> w = weights(index);
  const LayerTensors<T>& dw = d_.layers[index];
  const std::size_t rows = batch.rows();
  const std::size_t n = config_.hidden;
  Layer& layer = layers_[index];
  dblock_.resize(rows * n);
  dnormed_.resize(rows * n);
  dweight_.resize(rows);
  std::vector<T> sums(3 * n);
  // dx_ of a merge's output becomes that of its residual, and dblock_ that of its other term.
  const auto merge_backward = [&](const T* o, const ResidualTensors<const T>& scale, const T* x,
                                  const ResidualTensors<T>& dscale) {
    std::fill(sums.begin(), sums.end(), T{0});
    context_.sum_rows(rows, 3 * n, sums.data(), [&](std::size_t i, std::size_t end, T* out) {
      context_.ops.merge_backward(o + i * n, scale, x + i * n, dx_.data() + i * n,
                                  dblock_.data() + i * n, dx_.data() + i * n, out, end - i, n);
    });
    if (dscale.hidden_scale != nullptr) {
      context_.ops.merge_backward_vectors(sums.data(), scale, dscale, n);
    }
  };
  const auto norm_backward = [&](const T* x, const T* scale, const std::vector<T>& inverse,
                                 T* dscale) {
    context_.sum_rows(rows, n, dscale, [&](std::size_t i, std::size_t end, T* out) {
      context_.ops.rms_norm_backward(x + i * n, scale, inverse.data() + i, dnormed_.data() + i * n,
                                     dx_.data() + i * n, out, end - i, n);
    });
  };

  merge_backward(a.mixed.data(), w.after_mlp, a.middle.data(), dw.after_mlp);
  if (layer.parallel_experts != nullptr) {
    layer.parallel_experts->backward(context_, w, dw, rows, a.router, dblock_.data(),
                                     dnormed_.data(), dweight_.data(), a.parallel_experts);
  } else {
    layer.experts.backward(context_, w, dw, rows, a.middle_normed.data(), a.router, dblock_.data(),
                           dnormed_.data(), dweight_.data(), a.experts);
  }
  layer.router.backward(context_, w, dw, rows, a.middle_normed.data(), carried(index),
                        dweight_.data(), balance, dstate_.data(), dnormed_.data(), a.router);
  norm_backward(a.middle.data(), w.mlp_norm, a.middle_inverse, dw.mlp_norm);

  merge_backward(a.attended.data(), w.after_attention, stream_[index].data(), dw.after_attention);
  layer.cca.backward(context_, w, dw, rotary(index), batch, a.normed.data(), dblock_.data(),
                     dnormed_.data(), a.cca, scratch_);
  norm_backward(stream_[index].data(), w.attention_norm, a.inverse, dw.attention_norm);
}

template <class T>
double Model<T>::loss(const PackedBatch& batch, T scale, T* dx) {
  const T* x = stream_[config_.layers].data();
  if (base_ != nullptr) return frozen_head_.loss(context_, *base_, batch, x, scale, dx);
  return head_.loss(context_, constants_.final_norm, constants_.head, batch, x, scale, dx,
                    d_.final_norm, d_.head);
}

template <class T>
double Model<T>::forward_backward(const PackedBatch& batch, T scale, T share) {
  forward(batch);
  dx_.resize(batch.rows() * config_.hidden);
  const double sum = loss(batch, scale, dx_.data());
  dstate_.assign(batch.rows() * config_.router_hidden, T{0});
  const T balance = static_cast<T>(options_.auxiliary_loss) * share;
  for (std::size_t i = config_.layers; i-- > 0;) {
    LayerActivations& a = activations(i);
    // The last layer's activations are there still.
    if (options_.recompute && i + 1 < config_.layers) layer_forward(i, batch, a, nullptr);
    for (const std::uint32_t c : a.router.choice) ++loads_[i][c];
    layer_backward(i, batch, a, balance);
  }
  if (base_ == nullptr) embed_backward(batch);
  return sum;
}

template <class T>
double Model<T>::evaluate(const PackedBatch& batch) {
  forward(batch);
  return loss(batch, T{0}, nullptr);
}

template <class T>
double Model<T>::flops_per_token(std::size_t context) const {
  const auto& c = config_;
  const auto size = [](std::size_t a, std::size_t b) {
    return static_cast<double>(a) * static_cast<double>(b);
  };
  double weights = size(c.vocab, c.hidden);
  double scores = 0;
  for (std::size_t i = 0; i < c.layers; ++i) {
    weights += size(c.hidden, c.conv_width() + c.kv_width() + c.q_width()) +
               size(c.conv_width(), 2 * c.head_dim) + size(c.router_hidden, c.hidden) +
               2 * size(c.router_hidden, c.router_hidden) + size(c.router_hidden, c.classes()) +
               3 * size(c.expert_width, c.hidden);
    const std::size_t seen =
        c.sliding[i] ? std::min(c.window, context / 2 + 1) : context / 2 + 1;  // on average
    scores += 2 * size(c.q_width(), seen);
  }
  // A base that is not trained has no gradients of weights; the adapter's are few.
  const double passes = base_ != nullptr ? 2 : 3;
  return 2 * (passes * weights + 3 * scores);
}

template class Model<float>;
template class Model<double>;

}  // namespace zaya::train
