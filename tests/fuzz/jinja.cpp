#include <cstddef>
#include <cstdint>
#include <string_view>

#include "jinja_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zaya::check_template({reinterpret_cast<const char*>(data), size});
  return 0;
}
