#include "checkpoint/tensor.h"

#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "zaya/error.h"

namespace zaya {
namespace {

template <class T>
T load_as(const std::byte* data, std::size_t i) {
  T value;
  std::memcpy(&value, data + i * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

std::size_t TensorView::elements() const {
  std::size_t n = 1;
  for (const std::size_t d : shape) n *= d;
  return n;
}

std::vector<float> to_floats(const TensorView& view) {
  std::vector<float> out(view.elements());
  for (std::size_t i = 0; i < out.size(); ++i) {
    switch (view.dtype) {
      case DType::f32:
        out[i] = load_as<float>(view.data, i);
        break;
      case DType::bf16:
        out[i] = to_float(load_as<bf16>(view.data, i));
        break;
      case DType::f16:
        out[i] = f16_to_float(load_as<std::uint16_t>(view.data, i));
        break;
      default:
        throw Error({.where = "weights",
                     .what = "tensor type cannot be computed with",
                     .expected = "F32, BF16 or F16",
                     .found = std::string(dtype_name(view.dtype))});
    }
  }
  return out;
}

std::string shape_text(std::span<const std::size_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string shown_name(std::string_view name) {
  constexpr std::size_t kLongest = 120;
  std::string text =
      nlohmann::json(name).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest - 3) + "...";
  return text;
}

}  // namespace zaya
