#include <cstddef>
#include <cstdint>

#include "json_schema_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zaya::test::check_json_schema({reinterpret_cast<const char*>(data), size});
  return 0;
}
