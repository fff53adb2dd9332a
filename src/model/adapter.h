#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "checkpoint/adapter.h"
#include "model/ops.h"
#include "model/weights.h"

namespace zaya {

/// What an adapter adds to one projection: y += B (scale A x). Ranks are small, so the scale is
/// applied in between: bf16 weights stay as the file has them.
struct LowRank {
  Matrix a;  ///< [rank, in]
  Matrix b;  ///< [out, rank]
  float scale = 0;

  bool empty() const { return a.rows() == 0; }
};

/// A LoRA adapter of the attention projections, loaded for one model. Immutable.
///
/// The delayed value is projected from each token before it is delayed, so its adapter adds to that
/// projection; and the delayed value before the first token stays what it is, since B A 0 = 0.
class Adapter {
 public:
  /// Copies the matrices: fp32 in compute mode f32, bf16 in fast. Pairs whose product is zero (B as
  /// it is before training) are left out.
  Adapter(const AdapterFile& file, const ModelConfig& config, Compute compute);

  const LowRank& at(std::size_t layer, Projection projection) const {
    return layers_[layer][static_cast<std::size_t>(projection)];
  }

  /// The first layer whose K and V differ from those without the adapter: the first with another q,
  /// k or v (q takes part in K by the means), or the one after the first with another o. The number
  /// of layers when there is none.
  std::size_t first_changed_kv() const;

 private:
  std::vector<std::array<LowRank, kProjections>> layers_;
};

/// The rows of a step's batch that one adapter changes.
struct AdaptedRows {
  const Adapter* adapter;
  std::vector<std::uint32_t> rows;
};

/// One of several projections of the same input.
struct AdaptCall {
  Projection projection;
  Rows<float> y;
};

/// y += B (scale A x) for every call and every row with an adapter; other rows are not touched.
void adapt(const ComputeContext& context, std::span<const AdaptedRows> adapted, std::size_t layer,
           std::initializer_list<AdaptCall> calls, Rows<const float> x);

}  // namespace zaya
