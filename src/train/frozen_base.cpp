#include "train/frozen_base.h"

#include <algorithm>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "checkpoint/layout.h"
#include "checkpoint/roles.h"
#include "checkpoint/tensor.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

}  // namespace

template <class T>
FrozenBase<T>::FrozenBase(std::shared_ptr<const Checkpoint> checkpoint, const Kernels& kernels,
                          ThreadPool& pool)
    : checkpoint_(std::move(checkpoint)),
      kernels_(kernels),
      pool_(pool),
      current_(checkpoint_->config().layers) {
  const ModelConfig& config = checkpoint_->config();
  arena_layout(config);  // throws for what cannot be trained
  std::size_t most = 0;
  for (std::size_t i = 0; i < config.layers; ++i) {
    sources_.push_back(source_of(fmt::format("model.layers.{}.", i)));
    most = std::max(most, arena_size(sources_.back().layout));
  }
  arena_.resize(most);
  const char* const names[] = {"model.input_hidden_states_scale", "model.input_hidden_states_bias",
                               "model.norm.weight"};
  rest_.resize(std::size(names) * config.hidden);
  T* at = rest_.data();
  for (const char* name : names) {
    const std::vector<float> values = to_floats(checkpoint_->tensor(name));
    at = std::copy(values.begin(), values.end(), at);
  }
  vectors_.input_scale = rest_.data();
  vectors_.input_bias = rest_.data() + config.hidden;
  vectors_.final_norm = rest_.data() + 2 * config.hidden;
  const auto matrix = [&](const char* name) {
    if (!is_viewed(name)) {
      throw Error({.where = checkpoint_->folder().string(),
                   .what = "cannot train an adapter on f16 weights",
                   .expected = "bf16, f32 or a quantised format"});
    }
    return checkpoint_->matrix(name);
  };
  embedding_ = matrix(kEmbedding);
  head_ = config.tied_head ? embedding_ : matrix(kHead);
}

/// Whether kernels read it as it lies in the file.
template <class T>
bool FrozenBase<T>::is_viewed(const std::string& name) const {
  if (checkpoint_->is_quantized(name)) return true;
  const TensorView& tensor = checkpoint_->tensor(name);
  return role_of(name) != Role::other && tensor.shape.size() == 2 && tensor.dtype != DType::f16;
}

template <class T>
typename FrozenBase<T>::Source FrozenBase<T>::source_of(const std::string& prefix) const {
  Source source;
  std::size_t offset = 0;
  for (const StoredTensor& stored : tensor_table(checkpoint_->config(), Layout::native)) {
    if (!stored.name.starts_with(prefix)) continue;
    const auto elements = static_cast<std::size_t>(stored.elements());
    source.layout.push_back({stored.name, stored.shape, offset, elements});
    const std::size_t each = elements / stored.parts.size();
    for (std::size_t i = 0; i < stored.parts.size(); ++i) {
      Part part{.view = {}, .name = stored.parts[i], .at = offset + i * each};
      if (is_viewed(part.name)) part.view = checkpoint_->matrix(part.name);
      source.parts.push_back(std::move(part));
    }
    offset += elements;
  }
  return source;
}

template <class T>
void FrozenBase<T>::copy_rows(const WeightView& view, std::size_t first, std::size_t last,
                              T* out) const {
  for (std::size_t r = first; r < last; ++r, out += view.cols) {
    if constexpr (std::is_same_v<T, float>) {
      kernels_.expand(view, r, out);
    } else {
      thread_local std::vector<float> row;
      row.resize(view.cols);
      kernels_.expand(view, r, row.data());
      std::copy(row.begin(), row.end(), out);
    }
  }
}

template <class T>
void FrozenBase<T>::fill(const Source& source, std::vector<T>& arena) const {
  struct Task {
    const Part* part;
    std::size_t row;
  };
  constexpr std::size_t kRows = 128;
  std::vector<Task> tasks;
  for (const Part& part : source.parts) {
    const std::size_t rows = part.view.data != nullptr ? part.view.rows : 1;
    for (std::size_t r = 0; r < rows; r += kRows) tasks.push_back({&part, r});
  }
  pool_.run(tasks.size(), [&](std::size_t i) {
    const auto& [part, row] = tasks[i];
    T* out = arena.data() + part->at;
    if (part->view.data == nullptr) {
      const std::vector<float> values = to_floats(checkpoint_->tensor(part->name));
      std::copy(values.begin(), values.end(), out);
      return;
    }
    copy_rows(part->view, row, std::min(part->view.rows, row + kRows), out + row * part->view.cols);
  });
}

template <class T>
LayerTensors<const T> FrozenBase<T>::layer(std::size_t index) {
  const Source& source = sources_[index];
  if (index != current_) {
    fill(source, arena_);
    current_ = index;
  }
  std::unordered_map<std::string, const T*> by_name;
  for (const TensorInfo& t : source.layout) by_name.emplace(t.name, arena_.data() + t.offset);
  return bind_layer<const T>(checkpoint_->config(), index, by_name);
}

template <class T>
void FrozenBase<T>::copy_embedding(TokenId token, T* out) const {
  const auto row = static_cast<std::size_t>(token);
  copy_rows(embedding_, row, row + 1, out);
}

template <class T>
const T* FrozenBase<T>::head_rows(std::size_t first, std::size_t count) {
  head_rows_.resize(count * head_.cols);
  pool_.run_ranges(count, 16, [&](std::size_t i, std::size_t end) {
    copy_rows(head_, first + i, first + end, head_rows_.data() + i * head_.cols);
  });
  return head_rows_.data();
}

template class FrozenBase<float>;
template class FrozenBase<double>;

}  // namespace zaya::train
