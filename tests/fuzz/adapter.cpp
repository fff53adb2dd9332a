#include "adapter_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zaya::check_adapter(std::as_bytes(std::span(data, size)));
  return 0;
}
