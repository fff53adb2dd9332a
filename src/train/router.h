#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "checkpoint/config.h"
#include "train/context.h"
#include "train/tensors.h"

namespace zaya::train {

/// What the router's backward pass needs of its forward pass. N = router_hidden.
template <class T>
struct RouterActivations {
  std::vector<T> state;    ///< [R, N]: after EDA, before the norm; the next layer's router adds it
  std::vector<T> inverse;  ///< [R]: of the norm
  std::vector<T> normed;   ///< [R, N]
  std::vector<T> before1, after1, before2, after2;  ///< [R, N]: of both GELUs
  std::vector<T> p;                                 ///< [R, classes]
  std::vector<std::uint32_t> choice;                ///< [R]; `experts` is the skip
};

/// The router of one layer (arXiv:2605.05365, equations 1 to 4): r = Wd m + bd + gamma r_before;
/// p = softmax(W3 gelu(W2 gelu(W1 norm(r) + b1) + b2)); the choice is the highest p + bias.
template <class T>
class Router {
 public:
  explicit Router(const ModelConfig& config)
      : hidden_(config.hidden),
        width_(config.router_hidden),
        classes_(config.classes()),
        experts_(config.experts),
        eps_(static_cast<T>(config.norm_eps)) {}

  /// m [R, H]; `carried` [R, N]: the state of the layer before, null in the first.
  void forward(Context<T>& context, const LayerTensors<const T>& w, std::size_t rows, const T* m,
               const T* carried, RouterActivations<T>& a) const;

  /// dweight [R]: the gradient of the chosen probability. dstate [R, N] comes with what the next
  /// layer carried and leaves as what the layer before gets. dm [R, H] is added to. `balance`: of
  /// an auxiliary loss balance * E * sum_e f_e mean(p_e), f the share of rows that chose e (Fedus
  /// et al., arXiv:2101.03961); no gradient flows through f or through the choice.
  void backward(Context<T>& context, const LayerTensors<const T>& w, const LayerTensors<T>& dw,
                std::size_t rows, const T* m, const T* carried, const T* dweight, T balance,
                T* dstate, T* dm, const RouterActivations<T>& a);

 private:
  std::size_t hidden_;
  std::size_t width_;
  std::size_t classes_;
  std::size_t experts_;
  T eps_;
  std::vector<T> dlogits_;
  std::vector<T> dinner_;
  std::vector<T> douter_;
};

}  // namespace zaya::train
