#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tool_calls_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zaya::test::check_tool_calls({reinterpret_cast<const char*>(data), size});
  return 0;
}
