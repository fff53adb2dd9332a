#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "checkpoint/config.h"
#include "train/attention.h"
#include "train/batch.h"
#include "train/context.h"
#include "train/lora.h"
#include "train/tensors.h"

namespace zaya::train {

/// cos and sin of the rotary angles at each position of a document: [positions, half].
template <class T>
struct Rotary {
  std::size_t half = 0;
  std::vector<T> cosine;
  std::vector<T> sine;

  /// Angles as the model takes them: position times frequency, both fp32.
  void fill(const RopeConfig& rope, std::size_t head_dim, std::size_t positions);
};

/// What the backward pass of Compressed Convolutional Attention needs of the forward pass.
/// R rows, C = (heads + kv heads) d, P = C + kv heads d.
template <class T>
struct CcaActivations {
  std::vector<T> qkv;      ///< [R, P]: q, k, current and delayed values, before the convolutions
  std::vector<T> mixed;    ///< [R, C]: before the norm
  std::vector<T> query;    ///< [kv heads, R, group, d], as Attention has it
  std::vector<T> key;      ///< [kv heads, R, d]
  std::vector<T> value;    ///< [kv heads, R, d]
  std::vector<T> output;   ///< [kv heads, R, group, d]
  std::vector<T> log_sum;  ///< [kv heads, R, group]
  std::vector<T> joined;   ///< [R, heads d]: output, row by row
};

/// Work space that lives no longer than a call.
template <class T>
struct CcaScratch {
  std::vector<T> conv;     ///< [R, C, 2]
  std::vector<T> dconv;    ///< [R, C, 2]
  std::vector<T> djoined;  ///< [R, heads d]
  std::vector<T> doutput;
  std::vector<T> dquery;
  std::vector<T> dkey;
  std::vector<T> dvalue;
  std::vector<T> dmixed;  ///< [R, C]
  std::vector<T> dqkv;    ///< [R, P]
};

/// Compressed Convolutional Attention (arXiv:2510.04476, equations 7 to 11) of packed documents.
template <class T>
class Cca {
 public:
  Cca(const ModelConfig& config, std::size_t layer);

  /// n [R, H] normed to out [R, H].
  void forward(Context<T>& context, const LayerTensors<const T>& w, const Rotary<T>& rotary,
               const PackedBatch& batch, const T* n, T* out, CcaActivations<T>& a,
               CcaScratch<T>& s) const;
  /// dn [R, H] is overwritten; the gradients of weights are added to.
  void backward(Context<T>& context, const LayerTensors<const T>& w, const LayerTensors<T>& dw,
                const Rotary<T>& rotary, const PackedBatch& batch, const T* n, const T* dout, T* dn,
                const CcaActivations<T>& a, CcaScratch<T>& s) const;

 private:
  T length(const LayerTensors<const T>& w, std::size_t head) const;
  void mix(Context<T>& context, const LayerTensors<const T>& w, const PackedBatch& batch,
           CcaActivations<T>& a, CcaScratch<T>& s) const;
  void convolution_input(Context<T>& context, const LayerTensors<const T>& w,
                         const PackedBatch& batch, const CcaActivations<T>& a,
                         CcaScratch<T>& s) const;
  void mix_backward(Context<T>& context, const LayerTensors<const T>& w, const LayerTensors<T>& dw,
                    const PackedBatch& batch, const CcaActivations<T>& a, CcaScratch<T>& s) const;
  /// Where row and head of a query, or of a key, begin.
  std::size_t query_at(std::size_t rows, std::size_t row, std::size_t head) const {
    return ((head / shape_.group * rows + row) * shape_.group + head % shape_.group) * shape_.dim;
  }
  std::size_t key_at(std::size_t rows, std::size_t row, std::size_t head) const {
    return (head * rows + row) * shape_.dim;
  }

  std::size_t hidden_;
  CcaShape shape_;
  CcaParts parts_;
  std::vector<T> no_bias_;  ///< [C] zeros: what stands in where there are no convolutions
  std::size_t q_width_;
  std::size_t kv_width_;
  std::size_t width_;                   ///< P
  std::array<LoraColumns, 4> inward_;   ///< of qkv
  std::array<LoraColumns, 1> outward_;  ///< of what attention gives
  Attention<T> attention_;
};

}  // namespace zaya::train
