#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "compute/thread_pool.h"
#include "model/attention.h"
#include "model/head.h"
#include "model/moe.h"
#include "model/state.h"
#include "model/weights.h"
#include "zaya/token.h"

namespace zaya {

/// Which logits of a sequence's new tokens a step computes. With a draft (SequenceView::drafts) the
/// last token's are those of every token that may become the last: the one before the draft, and
/// the draft's.
enum class Logits {
  none,
  last,      ///< the last token's
  screened,  ///< the last token's, by the screened head where the model has one (HeadScreen)
  all,
};

/// One sequence's part of a step: its state and the tokens to add.
struct StepItem {
  SequenceView state;
  std::span<const TokenId> tokens;  ///< at least one, each in [0, vocab)
  Logits logits = Logits::last;
};

/// Every buffer a step works in. One a thread of control; grows to the largest step and stays.
struct Activations {
  std::vector<float> residual;  ///< [rows, H], fp32 in every compute mode
  std::vector<float> normed;    ///< [rows, H]
  std::vector<float> block;     ///< [rows, H]: what attention or MoE adds
  PackedInputs packed;
  AttentionBuffers attention;
  MoeBuffers moe;
  RopeTable rope;
  RopeTable sliding_rope;
  std::vector<AdaptedRows> adapted;
  std::vector<float> logits;          ///< [wanted rows, vocab]
  InputObserver* observer = nullptr;  ///< sees the inputs of the layers' matrices
  std::size_t head_rows = 0;  ///< precise rows of the head that the step read for each input

  void resize(const ModelConfig& config, std::size_t rows);
};

/// A ZAYA1 model: weights and the forward pass. Immutable; any number of threads of control may
/// step it at once, each with its own Activations and ThreadPool.
class Model {
 public:
  /// Keeps the checkpoint mapped.
  /// `kv`: how each layer's keys and values are stored; empty: f32 or bf16, as `compute` says.
  Model(std::shared_ptr<const Checkpoint> checkpoint, Compute compute, const Kernels& kernels,
        std::vector<KvLayer> kv = {});

  const ModelConfig& config() const { return checkpoint_->config(); }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const StateLayout& layout() const { return layout_; }
  const Kernels& kernels() const { return kernels_; }
  Compute compute() const { return compute_; }

  /// Makes the copy of the head that Logits::screened needs, where it pays. Before any step.
  void screen_head(ThreadPool& pool);
  const HeadScreen& head_screen() const { return screen_; }
  const ModelWeights& weights() const { return weights_; }

  /// An adapter in PEFT's format from its folder. Throws Error as AdapterFile does.
  Adapter load_adapter(const std::filesystem::path& folder) const;

  /// Throws Error for a token outside the vocabulary.
  void check_tokens(std::span<const TokenId> tokens) const;

  /// CCA tails of a sequence with no tokens, [layers][tail_floats]: [q ; k] is 0 before the first
  /// token, the delayed value is the projection of a zero input, that is its bias.
  std::vector<float> initial_tail() const;

  /// Adds each item's tokens to its state. Afterwards activations.logits holds the logits
  /// [rows asked for, vocab] in the order of the items. Tokens must have passed check_tokens().
  void forward(std::span<StepItem> batch, Activations& activations, ThreadPool& pool,
               Trace* trace = nullptr) const;

 private:
  static std::vector<AdaptedRows> adapted_rows(std::span<const StepItem> batch);
  void embed(std::span<const StepItem> batch, Activations& a) const;
  void layer(const ComputeContext& context, std::size_t index, std::span<const Segment> segments,
             std::size_t rows, Activations& a, Trace* trace) const;
  void head(const ComputeContext& context, std::span<const StepItem> batch, Activations& a,
            std::size_t rows, Trace* trace) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  Compute compute_;
  const Kernels& kernels_;
  StateLayout layout_;
  ModelWeights weights_;
  HeadScreen screen_;
};

}  // namespace zaya
