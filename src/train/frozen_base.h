#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "compute/kernels/kernels.h"
#include "compute/thread_pool.h"
#include "train/tensors.h"
#include "zaya/token.h"

namespace zaya::train {

/// The weights of a checkpoint that are read and not trained. They stay in the mapped file in their
/// format, quantised ones too; one layer at a time is widened, and some rows of the head.
template <class T>
class FrozenBase {
 public:
  /// Throws Error for what training does not do (arena_layout()).
  FrozenBase(std::shared_ptr<const Checkpoint> checkpoint, const Kernels& kernels,
             ThreadPool& pool);

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  /// What belongs to no layer, without the matrices of embedding and head.
  const ModelTensors<const T>& vectors() const { return vectors_; }
  /// Valid until another layer is asked for.
  LayerTensors<const T> layer(std::size_t index);
  void copy_embedding(TokenId token, T* out) const;
  /// Rows [first, first + count) of the head, valid until the next call.
  const T* head_rows(std::size_t first, std::size_t count);

 private:
  /// One matrix, or all numbers of something small, and where it goes.
  struct Part {
    WeightView view;
    std::string name;  ///< where there is no view
    std::size_t at = 0;
  };
  struct Source {
    std::vector<TensorInfo> layout;
    std::vector<Part> parts;
  };

  bool is_viewed(const std::string& name) const;
  Source source_of(const std::string& prefix) const;
  void fill(const Source& source, std::vector<T>& arena) const;
  void copy_rows(const WeightView& view, std::size_t first, std::size_t last, T* out) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<Source> sources_;  ///< of each layer
  std::vector<T> arena_;         ///< of `current_`
  std::size_t current_;
  std::vector<T> rest_;  ///< what vectors_ points to
  ModelTensors<const T> vectors_;
  WeightView embedding_;
  WeightView head_;
  std::vector<T> head_rows_;
};

}  // namespace zaya::train
