#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "train/communicator.h"
#include "train/experts.h"

namespace zaya::train {

/// The experts [first, last) of each layer that one rank has.
struct ExpertRange {
  std::size_t first;
  std::size_t last;

  std::size_t count() const { return last - first; }
};

/// As equal as it goes: rank r of n has [r E / n, (r + 1) E / n).
ExpertRange expert_range(std::size_t experts, const Communicator& ranks, std::size_t rank);

template <class T>
struct ParallelExpertActivations {
  std::vector<std::uint32_t> order;   ///< own rows sorted by expert
  std::vector<std::size_t> sent;      ///< [ranks]: own rows that went there
  std::vector<std::size_t> received;  ///< [ranks]: rows that came from there
  std::vector<T> inputs;              ///< [received, H]
  std::vector<T> outputs;             ///< [order, H]: of own rows, not yet weighted
  RouterActivations<T> choices;       ///< of the received rows, for the own experts
  ExpertActivations<T> experts;
};

/// Experts that are shared out over ranks: rows travel to the rank that has their expert, and the
/// results back. Every rank takes part in every call, with no rows too.
template <class T>
class ParallelExperts {
 public:
  ParallelExperts(const ModelConfig& config, Communicator& ranks);

  /// As those of Experts; `w` and `dw` have the rank's own experts only.
  void forward(Context<T>& context, const LayerTensors<const T>& w, std::size_t rows, const T* m,
               const RouterActivations<T>& router, T* out, ParallelExpertActivations<T>& a);
  void backward(Context<T>& context, const LayerTensors<const T>& w, const LayerTensors<T>& dw,
                std::size_t rows, const RouterActivations<T>& router, const T* dout, T* dm,
                T* dweight, const ParallelExpertActivations<T>& a);

 private:
  void meet(const std::vector<std::uint32_t>& choice, ParallelExpertActivations<T>& a);
  void exchange(const std::vector<T>& out, const std::vector<std::size_t>& out_rows,
                std::vector<T>& in, const std::vector<std::size_t>& in_rows);

  std::size_t hidden_;
  std::size_t experts_;
  std::size_t classes_;
  Communicator& ranks_;
  ExpertRange own_;
  std::size_t own_classes_;
  Experts<T> inner_;
  std::vector<T> sorted_;    ///< [order, H]
  std::vector<T> away_;      ///< [received, H]: results for others
  std::vector<T> gradient_;  ///< [received, H]: of these results
  std::vector<T> unused_;    ///< [received]
};

}  // namespace zaya::train
