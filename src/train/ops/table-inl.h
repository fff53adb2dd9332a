// All loops, and their table: to be included by one file an instruction set.
#include "train/ops/math-inl.h"
// In the order of their needs.
#include "train/ops/activation-inl.h"
#include "train/ops/optimizer-inl.h"
#include "train/ops/residual-inl.h"
#include "train/ops/rms_norm-inl.h"
#include "train/ops/router-inl.h"
#include "train/ops/softmax-inl.h"
// After softmax.
#include "train/ops/cca-inl.h"

template <class T>
Ops<T> make_ops() {
  return {
      .rms_norm = rms_norm<T>,
      .rms_norm_backward = rms_norm_backward<T>,
      .merge = merge<T>,
      .merge_backward = merge_backward<T>,
      .merge_backward_vectors = merge_backward_vectors<T>,
      .scale_input = scale_input<T>,
      .scale_input_backward = scale_input_backward<T>,
      .add_bias = add_bias<T>,
      .add_bias_backward = add_bias_backward<T>,
      .gelu = gelu<T>,
      .gelu_backward = gelu_backward<T>,
      .swiglu = swiglu<T>,
      .swiglu_backward = swiglu_backward<T>,
      .softmax = softmax<T>,
      .cross_entropy = cross_entropy<T>,
      .attention_weights = attention_weights<T>,
      .attention_weights_again = attention_weights_again<T>,
      .attention_scores_backward = attention_scores_backward<T>,
      .dot = dot<T>,
      .router_state = router_state<T>,
      .router_state_backward = router_state_backward<T>,
      .gate_backward = gate_backward<T>,
      .scale_row = scale_row<T>,
      .add_row = add_row<T>,
      .depthwise = depthwise<T>,
      .depthwise_backward = depthwise_backward<T>,
      .mix_heads = mix_heads<T>,
      .mix_heads_backward = mix_heads_backward<T>,
      .norm_rotate = norm_rotate<T>,
      .norm_rotate_backward = norm_rotate_backward<T>,
      .adamw = adamw<T>,
      .momentum = momentum<T>,
      .combine = combine<T>,
  };
}
