#include "run_config_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zaya::check_run_config({reinterpret_cast<const char*>(data), size});
  return 0;
}
