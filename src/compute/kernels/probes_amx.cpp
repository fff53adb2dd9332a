#include "compute/kernels/amx_tiles.h"
#include "compute/kernels/probes.h"

namespace zaya {
namespace {

constexpr double kRows = 16;
constexpr double kCols = 16;
constexpr int kProducts = 4;  // four sums: a product must not wait for the one before

/// Operand tiles of a value that is small and normal both as two bf16 and as four int8.
void load_operands() {
  alignas(64) unsigned char block[1024];
  for (int i = 0; i < 1024; ++i) block[i] = i % 2 == 0 ? 0x02 : 0x3c;
  amx::configure(16);
  amx::load<4>(block, 64);
  amx::load<5>(block, 64);
  amx::load<6>(block, 64);
  amx::load<7>(block, 64);
}

double bf16(std::size_t rounds) {
  load_operands();
  for (std::size_t i = 0; i < rounds; ++i) {
    amx::dot_bf16<0, 4, 6>();
    amx::dot_bf16<1, 4, 7>();
    amx::dot_bf16<2, 5, 6>();
    amx::dot_bf16<3, 5, 7>();
  }
  amx::release();
  return 2.0 * kRows * kCols * 32 * kProducts * static_cast<double>(rounds);
}

double int8(std::size_t rounds) {
  load_operands();
  for (std::size_t i = 0; i < rounds; ++i) {
    amx::dot_signed<0, 4, 6>();
    amx::dot_signed<1, 4, 7>();
    amx::dot_signed<2, 5, 6>();
    amx::dot_signed<3, 5, 7>();
  }
  amx::release();
  return 2.0 * kRows * kCols * 64 * kProducts * static_cast<double>(rounds);
}

}  // namespace

void add_amx_probes(Probes& probes) {
  probes.bf16 = bf16;
  probes.int8 = int8;
}

}  // namespace zaya
