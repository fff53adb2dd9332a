#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/ops.h"
#include "model/weights.h"

namespace zaya {

/// A copy of the LM head in 4.5 bits a weight, to find the few tokens whose logits matter before
/// the precise rows are read. The head is over 40 % of the bytes that a decoded token reads.
///
/// A screened logit is wrong by the product of the input with the row's rounding errors. These are
/// many, small and independent, so the sum is close to normal with the standard deviation
/// |errors| |input| / sqrt(H), which is known for every row; the input's own rounding adds at most
/// |its error| |row| / sqrt(H). A token is recomputed exactly when
/// its screened logit plus 6 deviations reaches the largest lower bound, so the greedy token is
/// the full head's, by statistics rather than by proof; and when it is within 8 of the largest
/// logit, up to kMostRows tokens, so that of the others each has less than e^-8 of the top token's
/// probability. They keep their screened logits, wrong by a factor of e^deviation at most in the
/// mean.
class HeadScreen {
 public:
  /// Most tokens that are recomputed because of their probability, for one input.
  static constexpr std::size_t kMostRows = 1024;
  /// Most inputs of one step that are screened. With 4 it saves bytes, with 16 and 64 products: the
  /// screen takes inputs of 8 bits, the head of 16.
  static constexpr std::size_t kMostInputs = 64;
  /// Smallest vocabulary worth it.
  static constexpr std::size_t kLeastVocab = 1024;

  HeadScreen() = default;
  /// Rounds every row of `head` [vocab, H] once.
  HeadScreen(const Kernels& kernels, ThreadPool& pool, const Matrix& head);

  /// Whether a head's rows are larger than their screen, and enough.
  static bool pays(const Matrix& head);
  bool ready() const { return view_.rows != 0; }
  std::size_t bytes() const { return codes_.size() + scales_.size() * 2 + deviation_.size() * 4; }
  const WeightView& view() const { return view_; }

  /// logits = head x for `rows` inputs, as described above. Returns the number of precise rows
  /// read.
  std::size_t multiply(const ComputeContext& context, const Linear& head, Rows<const float> x,
                       std::size_t rows, Rows<float> logits) const;

 private:
  struct Peak {
    float bound = -INFINITY;  ///< some token has at least this logit
    float top = -INFINITY;    ///< largest screened logit
  };
  /// How far a screened logit may be off.
  struct Margin {
    float slope = 0;   ///< times the row's deviation
    float offset = 0;  ///< by the input's rounding
  };
  Margin margin(const Kernels& kernels, const float* x) const;
  Peak peak(const float* logits, std::size_t first, std::size_t last, Margin margin) const;
  void candidates(const float* logits, Margin margin, Peak peak,
                  std::vector<std::uint32_t>& out) const;

  WeightView view_;
  std::vector<std::uint8_t> codes_;
  std::vector<std::uint16_t> scales_;
  std::vector<float> deviation_;  ///< [vocab]: of a logit, for an input of length 1
  float most_deviation_ = 0;
  float most_size_ = 0;  ///< of the rows: their root mean square
};

}  // namespace zaya
