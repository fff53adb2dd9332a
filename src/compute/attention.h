#pragma once

#include <cstddef>
#include <string_view>

#include "compute/kernels/attention.h"

namespace zaya {

std::string_view kv_format_name(KvFormat format);

/// Bytes of scratch that attend_span() needs for heads of KvBlock::dim `dim`.
std::size_t attend_scratch_bytes(std::size_t dim);

/// Attention of all rows with the keys of one span, merged into the running state, in any format.
/// Narrow ones are widened first, a span at a time, into the call's scratch
/// (attend_scratch_bytes()). Keys are f32 exactly when values are.
void attend_span(const AttentionKernels& kernels, const AttendCall& call, std::size_t span);

}  // namespace zaya
