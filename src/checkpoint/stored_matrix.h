#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "checkpoint/bitsandbytes.h"
#include "checkpoint/quantization.h"
#include "checkpoint/tensor.h"
#include "compute/weight_view.h"

namespace zaya {

/// Tensors of the files by their name there, those not yet accounted for.
using StoredTensors = std::unordered_map<std::string, const TensorView*>;

/// A matrix plain on disk, as a view: f32 or bf16, leading dimensions flattened into rows.
WeightView plain_view(const TensorView& tensor);

/// "int4, BF16 scale every 32 columns"
std::string format_text(const WeightView& view);

/// Where a quantised matrix lies.
struct StoredMatrix {
  std::string name;  ///< of its codes, on disk
  WeightView view;
  /// The rows below those of `view`, in files that keep the gate and up halves apart.
  std::optional<WeightView> lower;
  /// bitsandbytes: the view has no scales yet and its high nibbles come first.
  std::shared_ptr<const Nf4Blocks> nf4;

  std::uint64_t bytes() const;  ///< of codes and scales on disk
};

/// Codes or scales that had to be written anew.
struct OwnedMatrix {
  std::vector<std::byte> codes;
  std::vector<std::byte> scales;
  WeightView view;
};

/// The matrix as one view, or nothing when stored.view is that already.
std::unique_ptr<OwnedMatrix> own_matrix(const StoredMatrix& stored);

/// Throws Error for a scale that is not finite, and for stepped scales that are not so.
void check_scales(const WeightView& view, const std::string& name);

/// What is expected under one name: `stack` matrices [rows, cols].
struct MatrixShape {
  std::size_t stack = 1;
  std::size_t rows = 0;
  std::size_t cols = 0;
  bool stacked = false;  ///< tensors have the leading dimension
};

/// Finds the tensors that make up quantised matrices and holds their shapes and types to the
/// schemes of the config. What it has used is taken out of `tensors`.
class MatrixFinder {
 public:
  using Problem = std::function<void(std::string)>;

  /// `problem` is told, in words, what is wrong with a matrix.
  MatrixFinder(StoredTensors& tensors, const std::optional<Quantization>& quantization,
               Problem problem);

  /// The matrices whose plain name is `name` ("....weight", or a stack of experts without that
  /// ending), in the order of the stack. Nothing when no quantised tensor bears the name; an empty
  /// list when a problem was told.
  std::optional<std::vector<StoredMatrix>> find(const std::string& name, const MatrixShape& shape);

  /// The same for a matrix whose upper and lower half of rows are stored under two names; one
  /// without data when a problem was told.
  std::optional<StoredMatrix> find_halves(const std::string& upper, const std::string& lower,
                                          const MatrixShape& shape);

 private:
  struct Codes;
  struct Fit;

  const TensorView* look_up(const std::string& name, const char* suffix, std::string& found) const;
  std::optional<Codes> find_codes(const std::string& name, const MatrixShape& shape) const;
  bool fits(const Codes& codes, const MatrixShape& shape, const QuantScheme& scheme,
            Fit& fit) const;
  void find_global(const Codes& codes, const MatrixShape& shape, Fit& fit) const;
  std::vector<StoredMatrix> cut(const Codes& codes, const MatrixShape& shape, const Fit& fit) const;
  std::vector<StoredMatrix> find_nf4(const std::string& name, const TensorView& codes,
                                     const MatrixShape& shape);
  bool check_companions(const Codes& codes, const MatrixShape& shape);

  StoredTensors& tensors_;
  const std::optional<Quantization>& quantization_;
  Problem problem_;
};

}  // namespace zaya
