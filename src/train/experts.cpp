#include "train/experts.h"

#include <algorithm>
#include <numeric>

namespace zaya::train {
namespace {

/// Sorts the rows by expert, stable.
template <class T>
void group_by_expert(const std::vector<std::uint32_t>& choice, std::size_t experts,
                     ExpertActivations<T>& a) {
  a.begin.assign(experts + 1, 0);
  for (const std::uint32_t e : choice) {
    if (e < experts) ++a.begin[e + 1];
  }
  std::partial_sum(a.begin.begin(), a.begin.end(), a.begin.begin());
  a.order.resize(a.begin.back());
  std::vector<std::size_t> next(a.begin.begin(), a.begin.end() - 1);
  for (std::size_t r = 0; r < choice.size(); ++r) {
    if (choice[r] < experts) a.order[next[choice[r]]++] = static_cast<std::uint32_t>(r);
  }
}

}  // namespace

template <class T>
void Experts<T>::gather(Context<T>& context, const T* m, const ExpertActivations<T>& a) {
  sorted_.resize(a.order.size() * hidden_);
  context.each_rows(a.order.size(), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::copy_n(m + a.order[i] * hidden_, hidden_, sorted_.data() + i * hidden_);
    }
  });
}

template <class T>
void Experts<T>::forward(Context<T>& context, const LayerTensors<const T>& w, std::size_t rows,
                         const T* m, const RouterActivations<T>& router, T* out,
                         ExpertActivations<T>& a) {
  group_by_expert(router.choice, count_, a);
  gather(context, m, a);
  const std::size_t used = a.order.size();
  a.gate_up.resize(used * 2 * width_);
  a.activation.resize(used * width_);
  a.output.resize(used * hidden_);
  std::vector<Gemm<T>> up;
  std::vector<Gemm<T>> down;
  for (std::size_t e = 0; e < count_; ++e) {
    const std::size_t at = a.begin[e];
    const std::size_t n = a.begin[e + 1] - at;
    up.push_back(
        linear<T>({sorted_.data() + at * hidden_, hidden_}, w.gate_up + e * 2 * width_ * hidden_,
                  {a.gate_up.data() + at * 2 * width_, 2 * width_}, n, hidden_, 2 * width_));
    down.push_back(linear<T>({a.activation.data() + at * width_, width_},
                             w.down + e * hidden_ * width_,
                             {a.output.data() + at * hidden_, hidden_}, n, width_, hidden_));
  }
  context.multiply(up);
  context.each_rows(used, [&](std::size_t i, std::size_t end) {
    context.ops.swiglu(a.gate_up.data() + i * 2 * width_, a.activation.data() + i * width_, end - i,
                       width_);
  });
  context.multiply(down);
  if (used < rows) std::fill_n(out, rows * hidden_, T{0});
  context.each_rows(used, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t row = a.order[i];
      context.ops.scale_row(a.output.data() + i * hidden_,
                            router.p[row * classes_ + router.choice[row]], out + row * hidden_,
                            hidden_);
    }
  });
}

template <class T>
void Experts<T>::backward(Context<T>& context, const LayerTensors<const T>& w,
                          const LayerTensors<T>& dw, std::size_t rows, const T* m,
                          const RouterActivations<T>& router, const T* dout, T* dm, T* dweight,
                          const ExpertActivations<T>& a) {
  gather(context, m, a);
  const std::size_t used = a.order.size();
  doutput_.resize(used * hidden_);
  dsorted_.resize(used * hidden_);
  dactivation_.resize(used * width_);
  dgate_up_.resize(used * 2 * width_);
  if (used < rows) {
    std::fill_n(dm, rows * hidden_, T{0});
    std::fill_n(dweight, rows, T{0});
  }
  context.each_rows(used, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t row = a.order[i];
      const T* d = dout + row * hidden_;
      dweight[row] = context.ops.dot(d, a.output.data() + i * hidden_, hidden_);
      context.ops.scale_row(d, router.p[row * classes_ + router.choice[row]],
                            doutput_.data() + i * hidden_, hidden_);
    }
  });
  std::vector<Gemm<T>> down;
  std::vector<Gemm<T>> up;
  for (std::size_t e = 0; e < count_; ++e) {
    const std::size_t at = a.begin[e];
    const std::size_t n = a.begin[e + 1] - at;
    if (n == 0) continue;
    const Rows<const T> dy{doutput_.data() + at * hidden_, hidden_};
    const Rows<const T> x{sorted_.data() + at * hidden_, hidden_};
    const std::size_t down_at = e * hidden_ * width_;
    down.push_back(linear_input<T>(dy, w.down + down_at,
                                   {dactivation_.data() + at * width_, width_}, n, width_, hidden_,
                                   false));
    down.push_back(linear_weight<T>({a.activation.data() + at * width_, width_}, dy,
                                    part_of(dw.down, down_at), n, width_, hidden_));
    const Rows<const T> dgu{dgate_up_.data() + at * 2 * width_, 2 * width_};
    const std::size_t up_at = e * 2 * width_ * hidden_;
    up.push_back(linear_input<T>(dgu, w.gate_up + up_at, {dsorted_.data() + at * hidden_, hidden_},
                                 n, hidden_, 2 * width_, false));
    up.push_back(linear_weight<T>(x, dgu, part_of(dw.gate_up, up_at), n, hidden_, 2 * width_));
  }
  context.multiply(down);
  context.each_rows(used, [&](std::size_t i, std::size_t end) {
    context.ops.swiglu_backward(a.gate_up.data() + i * 2 * width_, dactivation_.data() + i * width_,
                                dgate_up_.data() + i * 2 * width_, end - i, width_);
  });
  context.multiply(up);
  context.each_rows(used, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::copy_n(dsorted_.data() + i * hidden_, hidden_, dm + a.order[i] * hidden_);
    }
  });
}

template class Experts<float>;
template class Experts<double>;

}  // namespace zaya::train
