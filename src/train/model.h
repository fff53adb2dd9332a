#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "train/batch.h"
#include "train/cca.h"
#include "train/context.h"
#include "train/experts.h"
#include "train/frozen_base.h"
#include "train/frozen_head.h"
#include "train/head.h"
#include "train/lora.h"
#include "train/parallel_experts.h"
#include "train/placement.h"
#include "train/router.h"
#include "train/tensors.h"

namespace zaya::train {

struct ModelOptions {
  /// Keep only the residual stream and the router's state of each layer, and run a layer's forward
  /// pass again before its backward pass: a third more work for a fraction of the memory.
  bool recompute = false;
  double auxiliary_loss = 0;  ///< weight of the routers' load balancing loss
};

/// A ZAYA1 model that can be trained: parameters and gradients, one arena each, and the forward and
/// backward passes. The forward pass is that of src/model, over whole documents.
template <class T>
class Model {
 public:
  Model(ModelConfig config, ModelOptions options, const Kernels& kernels, GemmKind kind,
        ThreadPool& pool);
  /// A rank's part of a model whose experts are shared out: the others are on all ranks. Throws
  /// Error where there are more ranks than experts.
  Model(ModelConfig config, ModelOptions options, const Kernels& kernels, GemmKind kind,
        ThreadPool& pool, Communicator& expert_ranks);
  /// A model whose parameters are a LoRA adapter's, over weights that stay what they are: the
  /// adapter is new (begin_lora).
  Model(std::shared_ptr<const Checkpoint> base, const LoraOptions& lora, std::uint64_t seed,
        ModelOptions options, const Kernels& kernels, GemmKind kind, ThreadPool& pool);

  const ModelConfig& config() const { return config_; }
  /// The weights under an adapter; null where all of the model is trained.
  const Checkpoint* base() const { return base_ != nullptr ? &base_->checkpoint() : nullptr; }
  /// Of the whole model.
  const std::vector<TensorInfo>& layout() const { return layout_; }
  /// Where the arena of the layout lies on the ranks.
  const Placement& placement() const { return placement_; }
  std::vector<T>& parameters() { return parameters_; }
  const std::vector<T>& parameters() const { return parameters_; }
  std::vector<T>& gradients() { return gradients_; }
  /// Where all of the model is trained.
  const ModelTensors<T>& tensors() { return tensors_; }

  /// Fills the parameters, where all of the model is trained. Throws Error for a quantised
  /// checkpoint.
  void load(const Checkpoint& checkpoint);

  /// Adds to the gradients those of `scale` times the sum of -log p[target]; returns that sum, not
  /// scaled. `share`: of the auxiliary loss, what part of the step this batch is.
  double forward_backward(const PackedBatch& batch, T scale, T share = T{1});
  /// The sum of -log p[target] alone.
  double evaluate(const PackedBatch& batch);

  /// Rows that each class of each layer's router was given in forward_backward(), recomputation not
  /// counted: [layers][classes].
  std::vector<std::vector<std::uint64_t>>& loads() { return loads_; }

  /// Operations of the matrix products of one token, forward and backward, attention within
  /// documents of `context` tokens included, recomputation not: two a multiply-add.
  double flops_per_token(std::size_t context) const;

 private:
  Model(ModelConfig config, std::vector<TensorInfo> layout, Placement placement,
        ModelOptions options, const Kernels& kernels, GemmKind kind, ThreadPool& pool,
        Communicator& ranks);
  void bind(const std::vector<TensorInfo>& own);

  struct LayerActivations {
    std::vector<T> normed, inverse;  ///< RMSNorm(x)
    CcaActivations<T> cca;
    std::vector<T> attended;  ///< [R, H]: what attention adds
    std::vector<T> middle;    ///< [R, H]: the residual stream between attention and experts
    std::vector<T> middle_normed, middle_inverse;
    RouterActivations<T> router;
    ExpertActivations<T> experts;
    ParallelExpertActivations<T> parallel_experts;
    std::vector<T> mixed;  ///< [R, H]: what the experts add
  };
  /// What one layer's passes consist of.
  struct Layer {
    Cca<T> cca;
    Router<T> router;
    Experts<T> experts;
    std::unique_ptr<ParallelExperts<T>> parallel_experts;  ///< in place of these
  };

  void forward(const PackedBatch& batch);
  void embed(const PackedBatch& batch);
  void embed_backward(const PackedBatch& batch);
  void layer_forward(std::size_t index, const PackedBatch& batch, LayerActivations& a, T* out);
  void layer_backward(std::size_t index, const PackedBatch& batch, LayerActivations& a, T balance);
  LayerActivations& activations(std::size_t layer) {
    return activations_[options_.recompute ? 0 : layer];
  }
  const T* carried(std::size_t layer) const {
    return layer > 0 ? states_[layer - 1].data() : nullptr;
  }
  const Rotary<T>& rotary(std::size_t layer) const {
    return config_.sliding[layer] ? sliding_rotary_ : full_rotary_;
  }
  LayerTensors<const T> weights(std::size_t layer) {
    if (base_ == nullptr) return constants_.layers[layer];
    LayerTensors<const T> w = base_->layer(layer);
    w.lora = lora_[layer];
    return w;
  }
  double loss(const PackedBatch& batch, T scale, T* dx);

  ModelConfig config_;
  ModelOptions options_;
  std::vector<TensorInfo> layout_;
  Placement placement_;
  std::size_t rank_;
  std::vector<T> parameters_;
  std::vector<T> gradients_;
  ModelTensors<T> tensors_;
  ModelTensors<const T> constants_;
  ModelTensors<T> d_;
  Context<T> context_;
  std::vector<Layer> layers_;
  Head<T> head_;
  FrozenHead<T> frozen_head_;
  std::unique_ptr<FrozenBase<T>> base_;
  std::vector<LoraTensors<const T>> lora_;
  Rotary<T> full_rotary_;
  Rotary<T> sliding_rotary_;

  std::vector<std::vector<T>> stream_;  ///< [layers + 1][R, H]: what goes into each layer, and out
  std::vector<std::vector<T>> states_;  ///< [layers][R, N]: of the routers
  std::vector<LayerActivations> activations_;
  CcaScratch<T> scratch_;
  std::vector<T> dx_;      ///< [R, H]: of the residual stream
  std::vector<T> dstate_;  ///< [R, N]: of the routers' state
  std::vector<T> dblock_, dnormed_, dweight_;
  std::vector<std::vector<std::uint64_t>> loads_;
};

}  // namespace zaya::train
