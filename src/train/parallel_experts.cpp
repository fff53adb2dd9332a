#include "train/parallel_experts.h"

#include <algorithm>
#include <numeric>

namespace zaya::train {
namespace {

ModelConfig with_experts(ModelConfig config, std::size_t experts) {
  config.experts = experts;
  return config;
}

std::size_t total(const std::vector<std::size_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::size_t{0});
}

}  // namespace

ExpertRange expert_range(std::size_t experts, const Communicator& ranks, std::size_t rank) {
  return {rank * experts / ranks.size(), (rank + 1) * experts / ranks.size()};
}

template <class T>
ParallelExperts<T>::ParallelExperts(const ModelConfig& config, Communicator& ranks)
    : hidden_(config.hidden),
      experts_(config.experts),
      classes_(config.classes()),
      ranks_(ranks),
      own_(expert_range(config.experts, ranks, ranks.rank())),
      own_classes_(with_experts(config, own_.count()).classes()),
      inner_(with_experts(config, own_.count())) {}

/// Sorts the own rows by expert, and learns what comes from the others.
template <class T>
void ParallelExperts<T>::meet(const std::vector<std::uint32_t>& choice,
                              ParallelExpertActivations<T>& a) {
  a.order.clear();
  for (std::size_t r = 0; r < choice.size(); ++r) {
    if (choice[r] < experts_) a.order.push_back(static_cast<std::uint32_t>(r));
  }
  std::stable_sort(a.order.begin(), a.order.end(),
                   [&](std::uint32_t i, std::uint32_t j) { return choice[i] < choice[j]; });
  // Rows of every rank for every expert.
  const std::size_t size = ranks_.size();
  std::vector<double> counts(size * experts_);
  for (const std::uint32_t r : a.order) counts[ranks_.rank() * experts_ + choice[r]] += 1;
  ranks_.sum(counts);
  const auto rows = [&](std::size_t rank, std::size_t expert) {
    return static_cast<std::size_t>(counts[rank * experts_ + expert]);
  };
  a.sent.assign(size, 0);
  a.received.assign(size, 0);
  a.choices.choice.clear();
  for (std::size_t rank = 0; rank < size; ++rank) {
    const ExpertRange there = expert_range(experts_, ranks_, rank);
    for (std::size_t e = there.first; e < there.last; ++e) a.sent[rank] += rows(ranks_.rank(), e);
    for (std::size_t e = own_.first; e < own_.last; ++e) {
      a.received[rank] += rows(rank, e);
      a.choices.choice.insert(a.choices.choice.end(), rows(rank, e),
                              static_cast<std::uint32_t>(e - own_.first));
    }
  }
  // Weights are applied at home.
  a.choices.p.assign(a.choices.choice.size() * own_classes_, T{1});
}

template <class T>
void ParallelExperts<T>::exchange(const std::vector<T>& out,
                                  const std::vector<std::size_t>& out_rows, std::vector<T>& in,
                                  const std::vector<std::size_t>& in_rows) {
  in.resize(total(in_rows) * hidden_);
  ranks_.exchange(std::as_bytes(std::span(out)), out_rows, std::as_writable_bytes(std::span(in)),
                  in_rows, hidden_ * sizeof(T));
}

template <class T>
void ParallelExperts<T>::forward(Context<T>& context, const LayerTensors<const T>& w,
                                 std::size_t rows, const T* m, const RouterActivations<T>& router,
                                 T* out, ParallelExpertActivations<T>& a) {
  meet(router.choice, a);
  const std::size_t used = a.order.size();
  sorted_.resize(used * hidden_);
  context.each_rows(used, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::copy_n(m + a.order[i] * hidden_, hidden_, sorted_.data() + i * hidden_);
    }
  });
  exchange(sorted_, a.sent, a.inputs, a.received);
  away_.resize(a.inputs.size());
  inner_.forward(context, w, a.choices.choice.size(), a.inputs.data(), a.choices, away_.data(),
                 a.experts);
  exchange(away_, a.received, a.outputs, a.sent);
  if (used < rows) std::fill_n(out, rows * hidden_, T{0});
  context.each_rows(used, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t row = a.order[i];
      context.ops.scale_row(a.outputs.data() + i * hidden_,
                            router.p[row * classes_ + router.choice[row]], out + row * hidden_,
                            hidden_);
    }
  });
}

template <class T>
void ParallelExperts<T>::backward(Context<T>& context, const LayerTensors<const T>& w,
                                  const LayerTensors<T>& dw, std::size_t rows,
                                  const RouterActivations<T>& router, const T* dout, T* dm,
                                  T* dweight, const ParallelExpertActivations<T>& a) {
  const std::size_t used = a.order.size();
  if (used < rows) {
    std::fill_n(dm, rows * hidden_, T{0});
    std::fill_n(dweight, rows, T{0});
  }
  sorted_.resize(used * hidden_);
  context.each_rows(used, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t row = a.order[i];
      const T* d = dout + row * hidden_;
      dweight[row] = context.ops.dot(d, a.outputs.data() + i * hidden_, hidden_);
      context.ops.scale_row(d, router.p[row * classes_ + router.choice[row]],
                            sorted_.data() + i * hidden_, hidden_);
    }
  });
  exchange(sorted_, a.sent, gradient_, a.received);
  away_.resize(gradient_.size());
  unused_.resize(a.choices.choice.size());
  inner_.backward(context, w, dw, a.choices.choice.size(), a.inputs.data(), a.choices,
                  gradient_.data(), away_.data(), unused_.data(), a.experts);
  exchange(away_, a.received, sorted_, a.sent);
  context.each_rows(used, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::copy_n(sorted_.data() + i * hidden_, hidden_, dm + a.order[i] * hidden_);
    }
  });
}

template class ParallelExperts<float>;
template class ParallelExperts<double>;

}  // namespace zaya::train
