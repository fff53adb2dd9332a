#include "model/model.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {

void Activations::resize(const ModelConfig& config, std::size_t rows) {
  residual.resize(rows * config.hidden);
  normed.resize(rows * config.hidden);
  block.resize(rows * config.hidden);
  attention.resize(config, rows);
  moe.resize(config, rows);
}

namespace {

std::vector<KvLayer> kv_or_default(std::vector<KvLayer> kv, const ModelConfig& config,
                                   Compute compute) {
  const KvFormat format = compute == Compute::f32 ? KvFormat::f32 : KvFormat::bf16;
  return kv.empty() ? std::vector<KvLayer>(config.layers, {format, format}) : std::move(kv);
}

}  // namespace

Model::Model(std::shared_ptr<const Checkpoint> checkpoint, Compute compute, const Kernels& kernels,
             std::vector<KvLayer> kv)
    : checkpoint_(std::move(checkpoint)),
      compute_(compute),
      kernels_(kernels),
      layout_(checkpoint_->config(), kv_or_default(std::move(kv), checkpoint_->config(), compute)),
      weights_(*checkpoint_, compute) {}

void Model::check_tokens(std::span<const TokenId> tokens) const {
  for (const TokenId token : tokens) {
    if (token >= 0 && static_cast<std::size_t>(token) < config().vocab) continue;
    throw Error({.where = "tokens",
                 .what = "token id is outside the vocabulary",
                 .expected = fmt::format("0 to {}", config().vocab - 1),
                 .found = std::to_string(token)});
  }
}

Adapter Model::load_adapter(const std::filesystem::path& folder) const {
  return {AdapterFile(folder, config(), checkpoint_->config_file().layout), config(), compute_};
}

std::vector<float> Model::initial_tail() const {
  std::vector<float> tail(layout_.layers() * layout_.tail_floats());
  for (std::size_t i = 0; i < layout_.layers(); ++i) {
    const Vector& bias = weights_.layers[i].attention.v_delayed.bias;
    const std::size_t end = (i + 1) * layout_.tail_floats();
    std::copy(bias.begin(), bias.end(), tail.data() + end - layout_.delayed_width());
  }
  return tail;
}

void Model::forward(std::span<StepItem> batch, Activations& a, ThreadPool& pool,
                    Trace* trace) const {
  std::vector<Segment> segments;
  std::size_t rows = 0;
  for (StepItem& item : batch) {
    segments.push_back({rows, item.tokens.size(), &item.state});
    rows += item.tokens.size();
  }
  a.resize(config(), rows);
  a.adapted = adapted_rows(batch);
  const ComputeContext context{kernels_, pool, a.packed, a.observer};

  a.rope.fill(config().rope, config().head_dim, segments, rows);
  a.sliding_rope.fill(config().sliding_rope, config().head_dim, segments, rows);
  embed(batch, a);
  for (std::size_t i = 0; i < config().layers; ++i) layer(context, i, segments, rows, a, trace);
  head(context, batch, a, rows, trace);
}

std::vector<AdaptedRows> Model::adapted_rows(std::span<const StepItem> batch) {
  std::vector<AdaptedRows> out;
  std::uint32_t row = 0;
  for (const StepItem& item : batch) {
    const auto end = row + static_cast<std::uint32_t>(item.tokens.size());
    if (const Adapter* adapter = item.state.adapter) {
      auto at = std::find_if(out.begin(), out.end(),
                             [&](const AdaptedRows& group) { return group.adapter == adapter; });
      if (at == out.end()) at = out.insert(at, {adapter, {}});
      while (row < end) at->rows.push_back(row++);
    }
    row = end;
  }
  return out;
}

/// x_0 = (embedding + input_bias) * input_scale.
void Model::embed(std::span<const StepItem> batch, Activations& a) const {
  float* x = a.residual.data();
  for (const StepItem& item : batch) {
    for (const TokenId token : item.tokens) {
      weights_.embedding.copy_row(static_cast<std::size_t>(token), x);
      for (std::size_t i = 0; i < config().hidden; ++i) {
        x[i] = (x[i] + weights_.input_bias[i]) * weights_.input_scale[i];
      }
      x += config().hidden;
    }
  }
}

/// h = merge(Attention(RMSNorm(x)), x); x = merge(MoE(RMSNorm(h)), h). Every merge scales and
/// shifts both of its terms per channel.
void Model::layer(const ComputeContext& context, std::size_t index,
                  std::span<const Segment> segments, std::size_t rows, Activations& a,
                  Trace* trace) const {
  const LayerWeights& w = weights_.layers[index];
  const std::size_t width = config().hidden;
  const Rows<float> x{a.residual.data(), width};
  const Rows<float> normed{a.normed.data(), width};
  const Rows<float> block{a.block.data(), width};
  const auto each_row = [&](auto&& f) {
    context.pool.run_ranges(rows, 8, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r) f(r);
    });
  };
  const auto show = [&](std::string_view name, Rows<float> data) {
    if (trace != nullptr) trace->values(name, index, {data.data, width}, rows, width);
  };

  each_row([&](std::size_t r) {
    rms_norm(kernels_, x.row(r), w.attention_norm, config().norm_eps, normed.row(r));
  });
  show("input_layernorm", normed);
  attention(context, config(), w.attention, layout_, index, segments, a.adapted,
            config().sliding[index] ? a.sliding_rope : a.rope, {normed.data, width}, rows,
            a.attention, block, trace);
  show("self_attn.0", block);

  each_row([&](std::size_t r) {
    merge_residual(kernels_, w.after_attention, block.row(r), x.row(r));
    rms_norm(kernels_, x.row(r), w.mlp_norm, config().norm_eps, normed.row(r));
  });
  show("post_attention_residual_scale", x);
  show("post_attention_layernorm", normed);
  route(context, config(), w.router, index, {normed.data, width}, rows, a.moe, trace);
  run_experts(context, config(), w.experts, {normed.data, width}, rows, a.moe, block);
  show("mlp.0", block);

  each_row([&](std::size_t r) { merge_residual(kernels_, w.after_mlp, block.row(r), x.row(r)); });
  show("post_mlp_residual_scale", x);
}

/// logits = Head(RMSNorm(x)) of the rows asked for.
void Model::head(const ComputeContext& context, std::span<const StepItem> batch, Activations& a,
                 std::size_t rows, Trace* trace) const {
  const std::size_t width = config().hidden;
  std::size_t wanted = 0;
  std::size_t row = 0;
  bool screened = screen_.ready();
  for (const StepItem& item : batch) {
    const std::size_t n = item.tokens.size();
    const std::size_t skipped = item.logits == Logits::all    ? 0
                                : item.logits == Logits::none ? n
                                                              : n - 1 - item.state.drafts;
    screened = screened && (item.logits == Logits::screened || item.logits == Logits::none);
    for (std::size_t i = skipped; i < n; ++i) {
      rms_norm(kernels_, a.residual.data() + (row + i) * width, weights_.final_norm,
               config().norm_eps, a.normed.data() + wanted++ * width);
    }
    row += n;
  }
  if (trace != nullptr && wanted == rows) {
    trace->values("norm", config().layers, {a.normed.data(), width}, rows, width);
  }
  a.logits.resize(wanted * config().vocab);
  if (wanted == 0) return;
  const Rows<const float> x{a.normed.data(), width};
  const Rows<float> logits{a.logits.data(), config().vocab};
  if (screened && wanted <= HeadScreen::kMostInputs) {
    a.head_rows = screen_.multiply(context, weights_.head, x, wanted, logits) / wanted;
    return;
  }
  a.head_rows = config().vocab;
  linear(context, {{weights_.head, logits}}, x, wanted);
}

void Model::screen_head(ThreadPool& pool) {
  if (compute_ == Compute::fast && HeadScreen::pays(weights_.head.weight)) {
    screen_ = HeadScreen(kernels_, pool, weights_.head.weight);
  }
}

}  // namespace zaya
