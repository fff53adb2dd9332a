#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "checkpoint/config.h"
#include "train/context.h"
#include "train/router.h"
#include "train/tensors.h"

namespace zaya::train {

/// What the experts' backward pass needs of their forward pass. Rows are sorted by expert; those
/// that skip are left out.
template <class T>
struct ExpertActivations {
  std::vector<std::size_t> begin;    ///< [experts + 1]: of each expert among the sorted rows
  std::vector<std::uint32_t> order;  ///< [begin.back()]: the row at each place
  std::vector<T> gate_up;            ///< [R, 2 I]
  std::vector<T> activation;         ///< [R, I]
  std::vector<T> output;             ///< [R, H]: not yet weighted
};

/// out_t = p_e Expert_e(m_t) of the chosen expert, 0 of a row that skips.
/// Expert(m) = W2 (silu(W_gate m) W_up m).
template <class T>
class Experts {
 public:
  explicit Experts(const ModelConfig& config)
      : hidden_(config.hidden),
        width_(config.expert_width),
        count_(config.experts),
        classes_(config.classes()) {}

  void forward(Context<T>& context, const LayerTensors<const T>& w, std::size_t rows, const T* m,
               const RouterActivations<T>& router, T* out, ExpertActivations<T>& a);
  /// dm [R, H] and dweight [R], the gradient of the chosen probability, are overwritten.
  void backward(Context<T>& context, const LayerTensors<const T>& w, const LayerTensors<T>& dw,
                std::size_t rows, const T* m, const RouterActivations<T>& router, const T* dout,
                T* dm, T* dweight, const ExpertActivations<T>& a);

 private:
  void gather(Context<T>& context, const T* m, const ExpertActivations<T>& a);

  std::size_t hidden_;
  std::size_t width_;
  std::size_t count_;
  std::size_t classes_;
  std::vector<T> sorted_;   ///< [R, H]: m
  std::vector<T> dsorted_;  ///< [R, H]
  std::vector<T> doutput_;  ///< [R, H]
  std::vector<T> dactivation_;
  std::vector<T> dgate_up_;
};

}  // namespace zaya::train
