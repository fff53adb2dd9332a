#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zaya::check_http({reinterpret_cast<const char*>(data), size});
  return 0;
}
