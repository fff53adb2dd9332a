#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "compute/roofline.h"
#include "model/model.h"

namespace zaya {

/// What one or more steps have to read and to compute at least, counted from the model and not from
/// how it is run.
struct StepCost {
  double weight_bytes = 0;  ///< every weight that takes part, once a step, as it is stored
  double state_bytes = 0;   ///< K, V and CCA tails of the sequences
  // Operations of products, two a multiply-add, by the unit that bounds them.
  double f32_operations = 0;    ///< inputs in fp32: compute mode f32
  double bf16_operations = 0;   ///< inputs in bf16: attention too
  double int8_operations = 0;   ///< inputs in 8-bit integers: 4-bit weights
  double int16_operations = 0;  ///< inputs in 16-bit integers: 8-bit weights

  double bytes() const { return weight_bytes + state_bytes; }
  double operations() const {
    return f32_operations + bf16_operations + int8_operations + int16_operations;
  }

  double memory_seconds(const Roofline& roofline) const { return bytes() / roofline.read; }
  double compute_seconds(const Roofline& roofline) const {
    return f32_operations / roofline.f32 + bf16_operations / roofline.bf16 +
           int8_operations / roofline.int8 + int16_operations / roofline.int16;
  }
  bool memory_bound(const Roofline& roofline) const {
    return memory_seconds(roofline) >= compute_seconds(roofline);
  }
  /// The least time it can take: reading and computing overlap at best.
  double least_seconds(const Roofline& roofline) const {
    return memory_bound(roofline) ? memory_seconds(roofline) : compute_seconds(roofline);
  }

  StepCost& operator+=(const StepCost& other);
};

/// Which experts the rows of one or more steps went to, read off the trace of the forward pass.
class ExpertUse final : public Trace {
 public:
  explicit ExpertUse(const ModelConfig& config);

  void values(std::string_view name, std::size_t layer, Rows<const float> data, std::size_t rows,
              std::size_t width) override;
  void clear();

  /// Rows that an expert of a layer has run.
  std::size_t rows(std::size_t layer, std::size_t expert) const {
    return rows_[layer * experts_ + expert];
  }
  void add(std::size_t layer, std::size_t expert, std::size_t rows) {
    rows_[layer * experts_ + expert] += rows;
  }

 private:
  std::size_t experts_;
  std::vector<std::size_t> rows_;
};

/// The tokens of one sequence in a step.
struct StepPart {
  std::size_t position = 0;  ///< of the first: the tokens before it are in the KV cache
  std::size_t tokens = 0;
  std::size_t logits = 0;  ///< how many of them the head runs for
};

/// `head_rows`: Runner::head_rows() of the step; all of the vocabulary when the head is not
/// screened.
StepCost step_cost(const Model& model, std::span<const StepPart> parts, const ExpertUse& use,
                   std::size_t head_rows);

}  // namespace zaya
