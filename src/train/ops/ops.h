#pragma once

#include <cstddef>

#include "compute/cpu.h"
#include "train/tensors.h"

namespace zaya::train {

/// Heads of one attention layer. Plain numbers: the loops that read them are compiled for newer
/// CPUs and may not bring along functions of their own.
struct CcaShape {
  std::size_t heads;
  std::size_t kv_heads;
  std::size_t dim;
  std::size_t group;     ///< heads / kv_heads
  std::size_t channels;  ///< (heads + kv_heads) dim
};

/// One step of AdamW, the same for all numbers of a tensor.
template <class T>
struct AdamWStep {
  T rate;
  T beta1;
  T beta2;
  T eps;
  T decay;
  T correction1;  ///< 1 / (1 - beta1^step)
  T correction2;  ///< 1 / (1 - beta2^step)
  T scale;        ///< of gradients
};

/// The loops of training that are no matrix products, forward and backward, compiled once for each
/// instruction set. Each is defined, with its formula, in ops/NAME-inl.h. Gradients named dx add to
/// what is there unless the definition says otherwise. By the calling thread.
template <class T>
struct Ops {
  // rms_norm-inl.h
  void (*rms_norm)(const T* x, const T* w, T eps, T* y, T* inverse, std::size_t rows,
                   std::size_t n);
  void (*rms_norm_backward)(const T* x, const T* w, const T* inverse, const T* dy, T* dx, T* dw,
                            std::size_t rows, std::size_t n);
  // residual-inl.h
  void (*merge)(const T* o, const ResidualTensors<const T>& w, const T* x, T* out, std::size_t rows,
                std::size_t n);
  void (*merge_backward)(const T* o, const ResidualTensors<const T>& w, const T* x, const T* dy,
                         T* d_o, T* dx, T* sums, std::size_t rows, std::size_t n);
  void (*merge_backward_vectors)(const T* sums, const ResidualTensors<const T>& w,
                                 const ResidualTensors<T>& d, std::size_t n);
  void (*scale_input)(const T* e, const T* scale, const T* bias, T* x, std::size_t n);
  void (*scale_input_backward)(const T* e, const T* scale, const T* bias, const T* dx, T* de,
                               T* dscale, T* dbias, std::size_t n);
  // activation-inl.h
  void (*add_bias)(const T* bias, T* x, std::size_t rows, std::size_t n);
  void (*add_bias_backward)(const T* dy, T* dbias, std::size_t rows, std::size_t n);
  void (*gelu)(const T* x, T* y, std::size_t n);
  void (*gelu_backward)(const T* x, T* dy, std::size_t n);
  void (*swiglu)(const T* gate_up, T* y, std::size_t rows, std::size_t n);
  void (*swiglu_backward)(const T* gate_up, const T* dy, T* d, std::size_t rows, std::size_t n);
  // softmax-inl.h
  T (*softmax)(T* x, std::size_t n);
  T (*cross_entropy)(T* x, std::size_t target, T scale, std::size_t n);
  T (*attention_weights)(T* x, T scale, std::size_t from, std::size_t to, std::size_t n);
  void (*attention_weights_again)(T* x, T scale, T log_sum, std::size_t from, std::size_t to,
                                  std::size_t n);
  void (*attention_scores_backward)(const T* p, T* dp, T scale, T delta, std::size_t n);
  T (*dot)(const T* a, const T* b, std::size_t n);
  // router-inl.h
  void (*router_state)(const T* bias, const T* gamma, const T* carried, T* r, std::size_t rows,
                       std::size_t n);
  void (*router_state_backward)(const T* gamma, const T* carried, const T* dr, T* dcarried,
                                T* dgamma, std::size_t rows, std::size_t n);
  void (*gate_backward)(const T* p, std::size_t chosen, T dweight, const T* dp, T* dlogits,
                        std::size_t n);
  void (*scale_row)(const T* x, T scale, T* y, std::size_t n);
  void (*add_row)(const T* x, T* y, std::size_t n);
  // cca-inl.h
  void (*depthwise)(const T* z, std::size_t stride, const T* a, const T* b, T* out,
                    std::size_t begin, std::size_t end, std::size_t channels);
  void (*depthwise_backward)(const T* z, std::size_t stride, const T* a, const T* d, T* dz, T* sums,
                             std::size_t begin, std::size_t end, std::size_t length,
                             std::size_t channels);
  void (*mix_heads)(const T* z, std::size_t stride, const T* bias, T* s, std::size_t rows,
                    const CcaShape& shape);
  void (*mix_heads_backward)(const T* ds, T* dz, std::size_t stride, std::size_t rows,
                             const CcaShape& shape);
  void (*norm_rotate)(const T* x, T length, const T* cosine, const T* sine, std::size_t half, T* y,
                      std::size_t d);
  T(*norm_rotate_backward)
  (const T* x, T length, const T* cosine, const T* sine, std::size_t half, T* dy, T* dx,
   std::size_t d);
  // optimizer-inl.h
  void (*adamw)(T* p, const T* g, T* m, T* v, const AdamWStep<T>& s, std::size_t n);
  void (*momentum)(const T* g, T scale, T mu, T* m, T* out, std::size_t n);
  void (*combine)(T a, const T* x, T b, T* y, std::size_t n);
};

/// The loops of one instruction set; double has the baseline's only.
template <class T>
const Ops<T>& ops_of(Isa isa);
template <>
const Ops<float>& ops_of(Isa isa);
template <>
const Ops<double>& ops_of(Isa isa);

}  // namespace zaya::train
