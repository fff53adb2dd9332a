#include "checkpoint/stored_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "zaya/error.h"

namespace zaya {
namespace {

std::size_t ceil_div(std::size_t a, std::size_t b) {
  return (a + b - 1) / b;
}

/// Rows and columns of the scales that the view reads.
std::size_t scale_rows(const WeightView& view) {
  return view.scale_row_bytes == 0 ? 1 : ceil_div(view.rows, view.scale_rows);
}
std::size_t scale_cols(const WeightView& view) {
  return ceil_div(view.cols, view.scale_cols);
}

std::uint64_t view_bytes(const WeightView& view) {
  return view.rows * view.row_bytes +
         scale_rows(view) * scale_cols(view) * scale_bytes(view.scale_code);
}

/// Whether every scale is finite; branches would keep the compiler from using vectors.
template <class T>
bool all_below(const std::byte* data, std::size_t n, T mask, T limit) {
  unsigned bad = 0;
  for (std::size_t i = 0; i < n; ++i) {
    T bits;
    std::memcpy(&bits, data + i * sizeof(T), sizeof(T));
    bad |= static_cast<unsigned>((bits & mask) >= limit);
  }
  return bad == 0;
}

bool all_finite(ScaleCode code, const std::byte* data, std::size_t n) {
  switch (code) {
    case ScaleCode::none:
      return true;
    case ScaleCode::f32:
      return all_below<std::uint32_t>(data, n, 0x7fffffffU, 0x7f800000U);
    case ScaleCode::bf16:
      return all_below<std::uint16_t>(data, n, 0x7fff, 0x7f80);
    case ScaleCode::f16:
      return all_below<std::uint16_t>(data, n, 0x7fff, 0x7c00);
    case ScaleCode::e8m0:
      return all_below<std::uint8_t>(data, n, 0xff, 0xff);
    case ScaleCode::e4m3:
      return all_below<std::uint8_t>(data, n, 0x7f, 0x7f);
  }
  return false;
}

float bf16_at(const std::byte* data, std::size_t i) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, data + 2 * i, sizeof(bits));
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Whether a row of finite bf16 scales is stepped (see WeightView::stepped).
bool is_stepped(const std::byte* scales, std::size_t n) {
  float largest = 0;
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, bf16_at(scales, i));
  if (!(largest > 0)) return false;
  const float unit = largest / 15;
  const float inverse = 15 / largest;
  unsigned bad = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const float scale = bf16_at(scales, i);
    const auto multiple = static_cast<int>(scale * inverse + 0.5F);
    bad |= static_cast<unsigned>(multiple < 1) |
           static_cast<unsigned>(static_cast<float>(multiple) * unit != scale);
  }
  return bad == 0;
}

/// Shapes that differ in dimensions of 1 only hold the same.
bool same_but_ones(std::span<const std::size_t> a, std::span<const std::size_t> b) {
  const auto squeezed = [](std::span<const std::size_t> shape) {
    std::vector<std::size_t> out;
    std::copy_if(shape.begin(), shape.end(), std::back_inserter(out),
                 [](std::size_t d) { return d != 1; });
    return out;
  };
  return squeezed(a) == squeezed(b);
}

std::string described(const TensorView& tensor) {
  return fmt::format("{} {}", dtype_name(tensor.dtype), shape_text(tensor.shape));
}

/// The names that companions of a matrix may start with.
std::vector<std::string> stems(const std::string& name) {
  if (name.ends_with(".weight")) return {name};
  // A stack of experts is a parameter, not a module: tools name its parts in different ways.
  return {name + ".weight", name + "_weight", name};
}

ScaleCode scale_code_of(DType type) {
  switch (type) {
    case DType::f32:
      return ScaleCode::f32;
    case DType::bf16:
      return ScaleCode::bf16;
    case DType::f16:
      return ScaleCode::f16;
    case DType::u8:
    case DType::f8_e8m0:
      return ScaleCode::e8m0;
    case DType::f8_e4m3:
      return ScaleCode::e4m3;
    default:
      return ScaleCode::none;
  }
}

const char* scale_name(ScaleCode code) {
  switch (code) {
    case ScaleCode::none:
      return "no";
    case ScaleCode::f32:
      return "F32";
    case ScaleCode::bf16:
      return "BF16";
    case ScaleCode::f16:
      return "F16";
    case ScaleCode::e8m0:
      return "E8M0";
    case ScaleCode::e4m3:
      return "E4M3";
  }
  return "unknown";
}

bool scale_fits(ScaleCode scale, const QuantScheme& scheme) {
  switch (scale) {
    case ScaleCode::none:
      return false;
    case ScaleCode::f32:
    case ScaleCode::bf16:
    case ScaleCode::f16:
      return true;
    case ScaleCode::e8m0:
      return !scheme.global && (scheme.code == WeightCode::e2m1 || scheme.code == WeightCode::e4m3);
    case ScaleCode::e4m3:
      return scheme.code == WeightCode::e2m1;
  }
  return false;
}

const char* scale_types(const QuantScheme& scheme) {
  if (scheme.code == WeightCode::e2m1) {
    return scheme.global ? "F8_E4M3, F32, BF16 or F16" : "U8 (E8M0), F8_E4M3, F32, BF16 or F16";
  }
  return scheme.code == WeightCode::e4m3 ? "F32, BF16, F16 or U8 (E8M0)" : "F32, BF16 or F16";
}

std::vector<std::size_t> stacked_shape(const MatrixShape& shape, std::vector<std::size_t> inner) {
  if (shape.stacked) inner.insert(inner.begin(), shape.stack);
  return inner;
}

std::size_t row_bytes_of(WeightCode code, std::size_t cols) {
  // compressed-tensors packs integers into int32, padding each row.
  if (code == WeightCode::u4) return ceil_div(cols, 8) * 4;
  if (code == WeightCode::u8) return ceil_div(cols, 4) * 4;
  return cols * code_bits(code) / 8;
}

std::span<const float> floats_of(const TensorView& tensor) {
  return {reinterpret_cast<const float*>(tensor.data), tensor.elements()};
}

}  // namespace

WeightView plain_view(const TensorView& tensor) {
  WeightView view;
  view.code = tensor.dtype == DType::bf16 ? WeightCode::bf16 : WeightCode::f32;
  view.cols = tensor.shape.back();
  view.rows = tensor.elements() / view.cols;
  view.data = tensor.data;
  view.row_bytes = view.cols * dtype_size(tensor.dtype);
  return view;
}

std::string format_text(const WeightView& view) {
  std::string text(code_name(view.code));
  if (view.scale_code == ScaleCode::none) return text;
  text += fmt::format(", {} scale ", scale_name(view.scale_code));
  if (view.scale_rows > 1) {
    text += fmt::format("every {} x {} block", view.scale_rows, view.scale_cols);
  } else if (view.scale_row_bytes == 0) {
    text += "for all";
  } else if (view.scale_cols >= view.cols) {
    text += "every row";
  } else {
    text += fmt::format("every {} columns", view.scale_cols);
  }
  return text;
}

std::uint64_t StoredMatrix::bytes() const {
  if (nf4 != nullptr) {
    return view.rows * view.row_bytes + nf4->absmax.bytes() +
           (nf4->state.nested ? nf4->nested_absmax.bytes() : 0);
  }
  return view_bytes(view) + (lower ? view_bytes(*lower) : 0);
}

void check_scales(const WeightView& view, const std::string& name) {
  const std::size_t cols = scale_cols(view);
  const std::size_t rows = scale_rows(view);
  if (view.scale_code != ScaleCode::none &&
      !all_finite(view.scale_code, view.scales, rows * cols)) {
    throw Error({.where = name, .what = "a scale is not a finite number"});
  }
  if (!view.stepped) return;
  for (std::size_t r = 0; r < rows; ++r) {
    if (is_stepped(view.scales + r * view.scale_row_bytes, cols)) continue;
    throw Error({.where = name,
                 .what = fmt::format("the scales of row {} are not stepped", r),
                 .expected = "multiples 1 to 15 of a fifteenth of the largest, as "
                             "zaya_cpp.stepped_scales of config.json promises"});
  }
}

struct MatrixFinder::Codes {
  enum class Kind { plain, packed, blocks };
  Kind kind = Kind::plain;
  std::string base;  ///< the name asked for
  std::string name;  ///< on disk
  const TensorView* tensor = nullptr;
};

/// What goes with the codes under one scheme, or why it does not.
struct MatrixFinder::Fit {
  const QuantScheme* scheme = nullptr;
  std::string scale_name;
  const TensorView* scale = nullptr;
  std::string global_name;
  std::vector<float> globals;  ///< one, or one a matrix of the stack
  int steps = 0;               ///< checks passed
  std::string wrong;
};

MatrixFinder::MatrixFinder(StoredTensors& tensors, const std::optional<Quantization>& quantization,
                           Problem problem)
    : tensors_(tensors), quantization_(quantization), problem_(std::move(problem)) {}

const TensorView* MatrixFinder::look_up(const std::string& name, const char* suffix,
                                        std::string& found) const {
  for (const std::string& stem : stems(name)) {
    const auto it = tensors_.find(stem + suffix);
    if (it == tensors_.end()) continue;
    found = it->first;
    return it->second;
  }
  return nullptr;
}

std::optional<MatrixFinder::Codes> MatrixFinder::find_codes(const std::string& name,
                                                            const MatrixShape& shape) const {
  Codes codes;
  codes.base = name;
  codes.kind = Codes::Kind::packed;
  codes.tensor = look_up(name, "_packed", codes.name);
  if (codes.tensor == nullptr && shape.stacked) {
    codes.kind = Codes::Kind::blocks;
    codes.tensor = look_up(name, "_blocks", codes.name);
  }
  if (codes.tensor == nullptr) {
    codes.kind = Codes::Kind::plain;
    codes.tensor = look_up(name, "", codes.name);
    if (codes.tensor == nullptr || !quantization_) return {};
    const DType type = codes.tensor->dtype;
    if (type == DType::f32 || type == DType::bf16 || type == DType::f16) return {};
  }
  return codes;
}

std::optional<std::vector<StoredMatrix>> MatrixFinder::find(const std::string& name,
                                                            const MatrixShape& shape) {
  const std::optional<Codes> codes = find_codes(name, shape);
  if (!codes) return {};
  std::vector<StoredMatrix> out;
  std::string absmax;
  const auto is_nf4 = [](const QuantScheme& scheme) { return scheme.code == WeightCode::nf4; };
  if (!quantization_) {
    problem_(fmt::format("{} is {}: quantised, but config.json has no quantization_config",
                         codes->name, described(*codes->tensor)));
  } else if (std::any_of(quantization_->schemes.begin(), quantization_->schemes.end(), is_nf4) &&
             look_up(name, ".absmax", absmax) != nullptr) {
    out = find_nf4(codes->name, *codes->tensor, shape);
  } else if (check_companions(*codes, shape)) {
    Fit best;
    best.wrong = fmt::format("{} is {}, which no scheme of quantization_config stores", codes->name,
                             described(*codes->tensor));
    bool found = false;
    for (const QuantScheme& scheme : quantization_->schemes) {
      Fit fit;
      found = fits(*codes, shape, scheme, fit);
      if (found || fit.steps > best.steps) best = std::move(fit);
      if (found) break;
    }
    if (found) {
      out = cut(*codes, shape, best);
      tensors_.erase(best.scale_name);
      tensors_.erase(best.global_name);
    } else {
      problem_(best.wrong);
    }
  }
  tensors_.erase(codes->name);
  if (!out.empty()) return out;
  // One problem is enough: the companions are not surplus besides.
  for (const std::string& stem : stems(name)) {
    for (const char* suffix : {"_scale", "_scale_inv", "_scales", "_scale_2", "_global_scale",
                               "_shape", "_zero_point", "_g_idx"}) {
      tensors_.erase(stem + suffix);
    }
    std::erase_if(tensors_, [&](const auto& item) { return item.first.starts_with(stem + "."); });
  }
  return out;
}

bool MatrixFinder::check_companions(const Codes& codes, const MatrixShape& shape) {
  std::string name;
  if (look_up(codes.base, "_zero_point", name) != nullptr) {
    problem_(fmt::format("{} is there: zero points are not supported", name));
    return false;
  }
  if (look_up(codes.base, "_g_idx", name) != nullptr) {
    problem_(fmt::format("{} is there: activation order is not supported", name));
    return false;
  }
  const TensorView* stored = look_up(codes.base, "_shape", name);
  if (stored == nullptr) return true;
  std::vector<std::size_t> values;
  if (stored->dtype == DType::i64 && stored->elements() <= 2 * shape.stack + 1) {
    const auto* data = reinterpret_cast<const std::int64_t*>(stored->data);
    values.assign(data, data + stored->elements());
  }
  std::vector<std::size_t> expected = {shape.rows, shape.cols};
  if (values.size() == 3 && shape.stacked) expected.insert(expected.begin(), shape.stack);
  bool good = !values.empty() && values.size() % expected.size() == 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    good = good && values[i] == expected[i % expected.size()];
  }
  if (!good) {
    problem_(fmt::format("{} should be I64 with the value {} and is {} with [{}]", name,
                         shape_text(expected), described(*stored), fmt::join(values, ", ")));
  }
  tensors_.erase(name);
  return good;
}

bool MatrixFinder::fits(const Codes& codes, const MatrixShape& shape, const QuantScheme& scheme,
                        Fit& fit) const {
  using Kind = Codes::Kind;
  fit.scheme = &scheme;
  const DType type = codes.tensor->dtype;
  const bool is_byte = type == DType::u8 || type == DType::i8;
  bool right_type = false;
  std::size_t last = shape.cols;
  switch (scheme.code) {
    case WeightCode::u4:
    case WeightCode::u8:
      right_type = codes.kind == Kind::packed && type == DType::i32;
      last = row_bytes_of(scheme.code, shape.cols) / 4;
      break;
    case WeightCode::i8:
      right_type = codes.kind == Kind::plain && type == DType::i8;
      break;
    case WeightCode::e4m3:
      right_type = codes.kind == Kind::plain && type == DType::f8_e4m3;
      break;
    case WeightCode::e2m1:
      right_type = is_byte;
      last = shape.cols / 2;
      break;
    default:
      break;
  }
  if (!right_type) return false;
  fit.steps = 1;

  std::vector<std::size_t> expected = stacked_shape(shape, {shape.rows, last});
  const bool odd = scheme.code == WeightCode::e2m1 && shape.cols % 2 != 0;
  if (codes.kind == Kind::blocks) {
    expected.back() = shape.cols / 32;
    expected.push_back(16);
  }
  if (odd || codes.tensor->shape != expected) {
    fit.wrong =
        odd ? fmt::format("{}: {} columns cannot be stored two to a byte", codes.name, shape.cols)
            : fmt::format("{} should be {} ({} of {}) and is {}", codes.name, shape_text(expected),
                          scheme_text(scheme), scheme.key, shape_text(codes.tensor->shape));
    return false;
  }
  fit.steps = 2;

  fit.scale = look_up(codes.base, "_scale", fit.scale_name);
  if (fit.scale == nullptr) fit.scale = look_up(codes.base, "_scale_inv", fit.scale_name);
  if (fit.scale == nullptr) fit.scale = look_up(codes.base, "_scales", fit.scale_name);
  if (fit.scale == nullptr) {
    fit.wrong = fmt::format("{} is there and its scale {}_scale is missing", codes.name,
                            stems(codes.base).front());
    return false;
  }
  const std::vector<std::size_t> scales =
      stacked_shape(shape, {scheme.scale_rows == 0 ? 1 : ceil_div(shape.rows, scheme.scale_rows),
                            scheme.scale_cols == 0 ? 1 : ceil_div(shape.cols, scheme.scale_cols)});
  const bool one_for_stack = scheme.scale_rows == 0 && fit.scale->elements() == 1;
  if ((!one_for_stack && !same_but_ones(fit.scale->shape, scales)) ||
      !scale_fits(scale_code_of(fit.scale->dtype), scheme)) {
    fit.wrong =
        fmt::format("{} should be {} {} ({} of {}) and is {}", fit.scale_name, scale_types(scheme),
                    shape_text(scales), scheme_text(scheme), scheme.key, described(*fit.scale));
    return false;
  }
  fit.steps = 3;
  if (scheme.global) find_global(codes, shape, fit);
  return fit.wrong.empty();
}

void MatrixFinder::find_global(const Codes& codes, const MatrixShape& shape, Fit& fit) const {
  // compressed-tensors stores the inverse of what ModelOpt stores.
  const TensorView* global = look_up(codes.base, "_global_scale", fit.global_name);
  const bool divides = global != nullptr;
  if (!divides) global = look_up(codes.base, "_scale_2", fit.global_name);
  if (global == nullptr) {
    fit.wrong = fmt::format("{} is there and its {}_global_scale (or _scale_2) is missing",
                            codes.name, stems(codes.base).front());
    return;
  }
  if (global->dtype != DType::f32 ||
      (global->elements() != 1 && !(shape.stacked && global->elements() == shape.stack))) {
    fit.wrong = fmt::format("{} should be F32 {} and is {}", fit.global_name,
                            shape_text(stacked_shape(shape, {1})), described(*global));
    return;
  }
  for (const float value : floats_of(*global)) {
    const float factor = divides ? 1 / value : value;
    if (!(factor > 0 && std::isfinite(factor))) {
      fit.wrong =
          fmt::format("{} should be a finite number above 0 and is {}", fit.global_name, value);
      return;
    }
    fit.globals.push_back(factor);
  }
}

std::vector<StoredMatrix> MatrixFinder::cut(const Codes& codes, const MatrixShape& shape,
                                            const Fit& fit) const {
  const QuantScheme& scheme = *fit.scheme;
  WeightView view;
  view.code = scheme.code;
  view.rows = shape.rows;
  view.cols = shape.cols;
  view.data = codes.tensor->data;
  view.row_bytes = row_bytes_of(scheme.code, shape.cols);
  view.scale_code = scale_code_of(fit.scale->dtype);
  view.scales = fit.scale->data;
  view.scale_rows = std::max<std::size_t>(scheme.scale_rows, 1);
  view.scale_cols = scheme.scale_cols == 0 ? shape.cols : scheme.scale_cols;
  if (scheme.scale_rows != 0) {
    view.scale_row_bytes = scale_cols(view) * scale_bytes(view.scale_code);
  }
  view.stepped = quantization_->stepped && view.code == WeightCode::u4 && view.scale_cols == 32 &&
                 view.scale_code == ScaleCode::bf16;
  const std::size_t scales =
      fit.scale->bytes() == scale_bytes(view.scale_code)
          ? 0
          : scale_rows(view) * scale_cols(view) * scale_bytes(view.scale_code);
  std::vector<StoredMatrix> out(shape.stack);
  for (std::size_t i = 0; i < shape.stack; ++i) {
    out[i].name = codes.name;
    out[i].view = view;
    if (!fit.globals.empty()) {
      out[i].view.global = fit.globals[fit.globals.size() == 1 ? 0 : i];
    }
    view.data += view.rows * view.row_bytes;
    view.scales += scales;
  }
  return out;
}

}  // namespace zaya
