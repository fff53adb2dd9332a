#pragma once

#include <cstddef>

#include "train/batch.h"
#include "train/context.h"

namespace zaya::train {

/// Causal attention of packed documents. Rows of query and output lie [kv head][row][group][dim],
/// those of key and value [kv head][row][dim]; log_sum is [kv head][row][group].
template <class T>
struct Attention {
  CcaShape shape;
  std::size_t window;  ///< keys that a query sees, its own included; 0: all before it

  /// output = softmax(query key^T / sqrt(dim)) value. Scores are held for a block of queries.
  void forward(Context<T>& context, const PackedBatch& batch, const T* query, const T* key,
               const T* value, T* output, T* log_sum) const;

  /// With p the weights again, D = sum(doutput output): dvalue = p^T doutput, ds = p (doutput
  /// value^T - D) / sqrt(dim), dquery = ds key, dkey = ds^T query. All three are overwritten.
  void backward(Context<T>& context, const PackedBatch& batch, const T* query, const T* key,
                const T* value, const T* output, const T* log_sum, const T* doutput, T* dquery,
                T* dkey, T* dvalue) const;
};

}  // namespace zaya::train
