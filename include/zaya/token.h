#pragma once

#include <cstdint>

namespace zaya {

/// Index into the vocabulary; never negative in valid data.
using TokenId = std::int32_t;

}  // namespace zaya
