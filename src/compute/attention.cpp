#include "compute/attention.h"

#include <algorithm>
#include <array>

#include "base/dtype.h"

namespace zaya {
namespace {

constexpr std::size_t kPage = KvBlock::kPositions;
constexpr std::size_t kSpanPages = AttendCall::kSpan / kPage;

std::size_t widened_bytes(std::size_t dim) {
  return KvBlock::part_bytes(dim, KvFormat::bf16);
}

/// The pages of one span as bf16.
struct Widened {
  std::array<const std::byte*, kSpanPages> pages{};
  std::array<float, AttendCall::kSpan> scales{};

  /// Widens pages [from, to) of `part` to `memory`.
  KvPart widen(const KvKernels& kernels, const KvPart& part, std::size_t dim, std::size_t span,
               std::size_t from, std::size_t to, std::byte* memory) {
    const std::size_t first = span * kSpanPages;
    for (std::size_t p = from; p < to; ++p) {
      std::byte* out = memory + (p - first) * widened_bytes(dim);
      // Pages lie apart: the hardware does not look past the end of one.
      kernels.widen(part.page(p), dim, out, part.page(std::min(p + 2, to - 1)));
      pages[p - first] = out;
      if (!KvBlock::scaled(part.format)) continue;
      const auto* scale =
          reinterpret_cast<const bf16*>(part.page(p) + KvBlock::code_bytes(dim, part.format));
      for (std::size_t t = 0; t < kPage; ++t) {
        scales[(p - first) * kPage + t] = to_float(scale[t]);
      }
    }
    return {.pages = pages.data(),
            .offset = 0,
            .format = KvFormat::bf16,
            .first_page = first,
            .scales = KvBlock::scaled(part.format) ? scales.data() : nullptr};
  }
};

}  // namespace

std::string_view kv_format_name(KvFormat format) {
  switch (format) {
    case KvFormat::f32:
      return "f32";
    case KvFormat::bf16:
      return "bf16";
    case KvFormat::fp8:
      return "fp8";
    case KvFormat::int8:
      return "int8";
    case KvFormat::int4:
      return "int4";
  }
  return "";
}

std::size_t attend_scratch_bytes(std::size_t dim) {
  return AttendCall::scratch_bytes(dim) + 2 * kSpanPages * widened_bytes(dim);
}

void attend_span(const AttentionKernels& kernels, const AttendCall& call, std::size_t span) {
  if (call.keys.format == KvFormat::f32) return kernels.attend_f32(call, span);
  if (!KvBlock::widens(call.keys.format) && !KvBlock::widens(call.values.format)) {
    return kernels.attend_bf16(call, span);
  }
  if (kernels.attend_few != nullptr && call.rows <= AttentionKernels::kFewRows) {
    return kernels.attend_few(call, span);
  }
  // Pages of the span that any of the rows sees.
  const std::size_t start = span * AttendCall::kSpan;
  const std::size_t seen = call.position + 1;
  const std::size_t first = call.window != 0 && seen > call.window ? seen - call.window : 0;
  const std::size_t last = call.position + (call.rows - 1) / call.heads + 1;
  const std::size_t from = std::max(first, start) / kPage;
  const std::size_t to = std::min((last + kPage - 1) / kPage, (span + 1) * kSpanPages);
  if (from >= to) return;

  AttendCall wide = call;
  Widened keys;
  Widened values;
  std::byte* memory = call.scratch + AttendCall::scratch_bytes(call.dim);
  if (KvBlock::widens(call.keys.format)) {
    const KvKernels& k = kernels.keys[static_cast<std::size_t>(call.keys.format)];
    wide.keys = keys.widen(k, call.keys, call.dim, span, from, to, memory);
  }
  memory += kSpanPages * widened_bytes(call.dim);
  if (KvBlock::widens(call.values.format)) {
    const KvKernels& k = kernels.values[static_cast<std::size_t>(call.values.format)];
    wide.values = values.widen(k, call.values, call.dim, span, from, to, memory);
  }
  kernels.attend_bf16(wide, span);
}

}  // namespace zaya
