#include <cstddef>
#include <cstdint>
#include <string_view>

#include "answers_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zaya::test::check_answers({reinterpret_cast<const char*>(data), size});
  return 0;
}
