#include "checkpoint/bitsandbytes.h"

#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/json.h"
#include "compute/weight_view.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::int64_t kMaxBlock = 1 << 20;
constexpr std::int64_t kMaxSize = 1LL << 40;

float float_at(const TensorView& tensor, std::size_t i) {
  float value = 0;
  std::memcpy(&value, tensor.data + i * sizeof(float), sizeof(float));
  return value;
}

}  // namespace

Nf4State parse_nf4_state(std::string_view json, const std::string& where) {
  const Json value = parse_json(json, where);
  const JsonView view(value, where);
  if (view.string("quant_type") != "nf4") view.fail("quant_type", "nf4");
  Nf4State state;
  state.block = static_cast<std::size_t>(view.integer("blocksize", 2, kMaxBlock));
  if (state.block % 2 != 0) view.fail("blocksize", "an even number");
  for (const std::int64_t size : view.integers("shape", 1, kMaxSize)) {
    state.shape.push_back(static_cast<std::size_t>(size));
  }
  state.nested = view.has("nested_blocksize");
  if (state.nested) {
    state.nested_block = static_cast<std::size_t>(view.integer("nested_blocksize", 1, kMaxBlock));
    state.nested_offset = static_cast<float>(view.number("nested_offset"));
    if (view.string("nested_dtype", "float32") != "float32") view.fail("nested_dtype", "float32");
  }
  return state;
}

bool is_nf4_map(std::span<const float> levels) {
  if (levels.size() != 16) return false;
  for (unsigned i = 0; i < 16; ++i) {
    if (!(std::fabs(levels[i] - nf4_to_float(i)) < 1e-6F)) return false;
  }
  return true;
}

void nf4_scales(const Nf4Blocks& blocks, std::size_t first, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t at = first + i;
    if (!blocks.state.nested) {
      out[i] = float_at(blocks.absmax, at);
      continue;
    }
    const auto code = std::to_integer<std::size_t>(blocks.absmax.data[at]);
    out[i] = float_at(blocks.nested_map, code) *
                 float_at(blocks.nested_absmax, at / blocks.state.nested_block) +
             blocks.state.nested_offset;
  }
}

void swap_nibbles(std::span<const std::byte> in, std::byte* out) {
  for (std::size_t i = 0; i < in.size(); ++i) out[i] = (in[i] << 4) | (in[i] >> 4);
}

}  // namespace zaya
