#include "train/router.h"

#include <algorithm>

namespace zaya::train {

template <class T>
void Router<T>::forward(Context<T>& context, const LayerTensors<const T>& w, std::size_t rows,
                        const T* m, const T* carried, RouterActivations<T>& a) const {
  const std::size_t n = width_;
  for (auto* v : {&a.state, &a.normed, &a.before1, &a.after1, &a.before2, &a.after2}) {
    v->resize(rows * n);
  }
  a.inverse.resize(rows);
  a.p.resize(rows * classes_);
  a.choice.resize(rows);
  const auto product = [&](const T* x, std::size_t in, const T* matrix, T* y, std::size_t out) {
    const Gemm<T> g = linear<T>({x, in}, matrix, {y, out}, rows, in, out);
    context.multiply({&g, 1});
  };
  const auto each = [&](auto&& f) { context.each_rows(rows, f); };

  product(m, hidden_, w.router_down, a.state.data(), n);
  each([&](std::size_t i, std::size_t end) {
    const T* before = w.eda_scale != nullptr ? carried + i * n : nullptr;
    T* state = a.state.data() + i * n;
    context.ops.router_state(w.router_down_bias, w.eda_scale, before, state, end - i, n);
    context.ops.rms_norm(state, w.router_norm, eps_, a.normed.data() + i * n, a.inverse.data() + i,
                         end - i, n);
  });
  product(a.normed.data(), n, w.fc1, a.before1.data(), n);
  each([&](std::size_t i, std::size_t end) {
    context.ops.add_bias(w.fc1_bias, a.before1.data() + i * n, end - i, n);
    context.ops.gelu(a.before1.data() + i * n, a.after1.data() + i * n, (end - i) * n);
  });
  product(a.after1.data(), n, w.fc2, a.before2.data(), n);
  each([&](std::size_t i, std::size_t end) {
    context.ops.add_bias(w.fc2_bias, a.before2.data() + i * n, end - i, n);
    context.ops.gelu(a.before2.data() + i * n, a.after2.data() + i * n, (end - i) * n);
  });
  product(a.after2.data(), n, w.router_out, a.p.data(), classes_);
  each([&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      T* p = a.p.data() + i * classes_;
      context.ops.softmax(p, classes_);
      std::size_t best = 0;
      for (std::size_t c = 1; c < classes_; ++c) {
        if (p[c] + w.balancing[c] > p[best] + w.balancing[best]) best = c;
      }
      a.choice[i] = static_cast<std::uint32_t>(best);
    }
  });
}

template <class T>
void Router<T>::backward(Context<T>& context, const LayerTensors<const T>& w,
                         const LayerTensors<T>& dw, std::size_t rows, const T* m, const T* carried,
                         const T* dweight, T balance, T* dstate, T* dm,
                         const RouterActivations<T>& a) {
  const std::size_t n = width_;
  dlogits_.resize(rows * classes_);
  dinner_.resize(rows * n);
  douter_.resize(rows * n);
  // y = x W^T + b: the gradients of all three from dy.
  const auto linear_backward = [&](const T* x, std::size_t in, const T* dy, std::size_t out,
                                   const T* matrix, T* dmatrix, T* dbias, T* dx, bool add) {
    const Gemm<T> both[] = {linear_input<T>({dy, out}, matrix, {dx, in}, rows, in, out, add),
                            linear_weight<T>({x, in}, {dy, out}, dmatrix, rows, in, out)};
    context.multiply(both);
    if (dbias == nullptr) return;
    context.sum_rows(rows, out, dbias, [&](std::size_t i, std::size_t end, T* sums) {
      context.ops.add_bias_backward(dy + i * out, sums, end - i, out);
    });
  };
  const auto gelu_backward = [&](const std::vector<T>& before, std::vector<T>& d) {
    context.each_rows(rows, [&](std::size_t i, std::size_t end) {
      context.ops.gelu_backward(before.data() + i * n, d.data() + i * n, (end - i) * n);
    });
  };

  std::vector<T> dp(balance != 0 ? classes_ : 0);
  if (balance != 0) {
    for (const std::uint32_t c : a.choice) dp[c] += T{1};
    const T each = balance * static_cast<T>(experts_) / static_cast<T>(rows) / static_cast<T>(rows);
    for (std::size_t c = 0; c < classes_; ++c) dp[c] = c < experts_ ? dp[c] * each : T{0};
  }
  context.each_rows(rows, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      context.ops.gate_backward(a.p.data() + i * classes_, a.choice[i], dweight[i],
                                dp.empty() ? nullptr : dp.data(), dlogits_.data() + i * classes_,
                                classes_);
    }
  });
  linear_backward(a.after2.data(), n, dlogits_.data(), classes_, w.router_out, dw.router_out,
                  nullptr, dinner_.data(), false);
  gelu_backward(a.before2, dinner_);
  linear_backward(a.after1.data(), n, dinner_.data(), n, w.fc2, dw.fc2, dw.fc2_bias, douter_.data(),
                  false);
  gelu_backward(a.before1, douter_);
  linear_backward(a.normed.data(), n, douter_.data(), n, w.fc1, dw.fc1, dw.fc1_bias, dinner_.data(),
                  false);
  context.sum_rows(rows, n, dw.router_norm, [&](std::size_t i, std::size_t end, T* sums) {
    context.ops.rms_norm_backward(a.state.data() + i * n, w.router_norm, a.inverse.data() + i,
                                  dinner_.data() + i * n, dstate + i * n, sums, end - i, n);
  });
  linear_backward(m, hidden_, dstate, n, w.router_down, dw.router_down, dw.router_down_bias, dm,
                  true);
  if (w.eda_scale == nullptr) {
    std::fill_n(dstate, rows * n, T{0});
    return;
  }
  context.sum_rows(rows, n, dw.eda_scale, [&](std::size_t i, std::size_t end, T* sums) {
    context.ops.router_state_backward(w.eda_scale, carried + i * n, dstate + i * n, dstate + i * n,
                                      sums, end - i, n);
  });
}

template class Router<float>;
template class Router<double>;

}  // namespace zaya::train
