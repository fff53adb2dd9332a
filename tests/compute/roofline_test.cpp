#include "compute/roofline.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "compute/kernels/probes.h"
#include "zaya/error.h"

namespace zaya {
namespace {

TEST(Roofline, EveryWayOfReadingReadsEveryByteOnce) {
  std::vector<std::uint64_t> data(5 * Probes::kReadGrain / sizeof(std::uint64_t));
  std::uint64_t want = 0;
  for (std::size_t i = 0; i < data.size(); ++i) {
    data[i] = (i + 1) * 0x9e3779b97f4a7c15ULL;
    want += data[i];
  }
  const auto* bytes = reinterpret_cast<const std::byte*>(data.data());
  for (const Isa isa : host_isas()) {
    const Probes probes = probes_of(isa);
    for (const int streams : {1, 4, 8}) {
      for (const std::size_t ahead : {0, 1024}) {
        EXPECT_EQ(probes.read(bytes, data.size() * sizeof(data[0]), streams, ahead), want)
            << isa_name(isa) << ", " << streams << " streams";
      }
    }
  }
}

TEST(Roofline, OperationsGrowWithRounds) {
  for (const Isa isa : host_isas()) {
    const Probes probes = probes_of(isa);
    for (auto* loop : {probes.f32, probes.bf16, probes.int8, probes.int16}) {
      if (loop == nullptr) continue;
      EXPECT_GT(loop(1), 0) << isa_name(isa);
      EXPECT_EQ(loop(10), 10 * loop(1)) << isa_name(isa);
    }
  }
}

TEST(Roofline, IsPositiveAndFiniteForEveryInstructionSet) {
  const RooflineProbe probe(std::size_t{1} << 22);
  ThreadPool pool(2);
  for (const Isa isa : host_isas()) {
    const Roofline r = probe.measure(isa, pool);
    for (const double value : {r.read, r.f32, r.bf16, r.int8, r.int16}) {
      EXPECT_GT(value, 1e6) << isa_name(isa);
      EXPECT_LT(value, 1e18) << isa_name(isa);
    }
    EXPECT_TRUE(probes_of(isa).bf16 != nullptr || r.bf16 == r.f32);
    EXPECT_TRUE(probes_of(isa).int8 != nullptr || r.int8 == r.f32);
  }
}

TEST(Roofline, HigherTakesTheBestOfEach) {
  const Roofline r = higher({.read = 1, .f32 = 5, .bf16 = 2, .int8 = 9, .int16 = 4},
                            {.read = 3, .f32 = 4, .bf16 = 2, .int8 = 8, .int16 = 6});
  EXPECT_EQ(r.read, 3);
  EXPECT_EQ(r.f32, 5);
  EXPECT_EQ(r.bf16, 2);
  EXPECT_EQ(r.int8, 9);
  EXPECT_EQ(r.int16, 6);
}

TEST(Roofline, SaysWhenThereIsNotEnoughMemory) {
  for (const std::size_t bytes :
       {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() / 2}) {
    try {
      const RooflineProbe probe(bytes);
      FAIL() << "no machine has so much memory";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("no memory to measure"), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace zaya
