#include <cstdint>

#include "session_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zaya::check_session(std::as_bytes(std::span(data, size)));
  return 0;
}
