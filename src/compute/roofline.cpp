#include "compute/roofline.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include <sys/mman.h>

#include "compute/kernels/probes.h"
#include "zaya/error.h"

namespace zaya {
namespace {

// What one task reads: small enough that threads of unequal speed finish together.
constexpr std::size_t kPiece = std::size_t{1} << 18;

/// How memory is read. Which way is fastest depends on the machine's own prefetchers.
struct ReadWay {
  int streams;
  std::size_t ahead;
};
constexpr std::array<ReadWay, 6> kReadWays{
    {{1, 0}, {1, 4096}, {4, 0}, {4, 1024}, {8, 0}, {8, 1024}}};

template <class F>
double seconds(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double operations_per_second(double (*loop)(std::size_t rounds), ThreadPool& pool) {
  constexpr double kTaskSeconds = 5e-4;
  constexpr int kTasksEach = 8;
  constexpr int kPasses = 4;
  std::size_t rounds = 256;
  while (seconds([&] { loop(rounds); }) < kTaskSeconds) rounds *= 2;
  const auto tasks = static_cast<std::size_t>(pool.threads()) * kTasksEach;
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    std::atomic<double> operations = 0;
    const double time =
        seconds([&] { pool.run(tasks, [&](std::size_t) { operations += loop(rounds); }); });
    best = std::max(best, operations / time);
  }
  return best;
}

}  // namespace

Roofline higher(const Roofline& a, const Roofline& b) {
  return {.read = std::max(a.read, b.read),
          .f32 = std::max(a.f32, b.f32),
          .bf16 = std::max(a.bf16, b.bf16),
          .int8 = std::max(a.int8, b.int8),
          .int16 = std::max(a.int16, b.int16)};
}

RooflineProbe::RooflineProbe(std::size_t bytes) : bytes_((bytes + kPiece - 1) / kPiece * kPiece) {
  void* memory = bytes_ < bytes ? MAP_FAILED
                                : ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error({.where = "roofline",
                 .what = "no memory to measure its speed with",
                 .expected = std::to_string(bytes) + " bytes"});
  }
  data_ = static_cast<std::byte*>(memory);
  // Large pages where the system grants them; every page written, so that each is a page of its own
  // and not the shared page of zeros.
  ::madvise(data_, bytes_, MADV_HUGEPAGE);
  for (std::size_t i = 0; i < bytes_; i += 4096) data_[i] = static_cast<std::byte>(i >> 12);
}

RooflineProbe::~RooflineProbe() {
  ::munmap(data_, bytes_);
}

Roofline RooflineProbe::measure(Isa isa, ThreadPool& pool) const {
  const Probes probes = probes_of(isa);
  Roofline roofline;
  for (const ReadWay& way : kReadWays) {
    std::atomic<std::uint64_t> digest = 0;  // what is read must be used
    const double time = seconds([&] {
      pool.run(bytes_ / kPiece, [&](std::size_t i) {
        digest += probes.read(data_ + i * kPiece, kPiece, way.streams, way.ahead);
      });
    });
    roofline.read = std::max(roofline.read, static_cast<double>(bytes_) / time);
  }
  roofline.f32 = operations_per_second(probes.f32, pool);
  roofline.bf16 = roofline.f32;
  roofline.int8 = roofline.f32;
  if (probes.bf16 != nullptr) roofline.bf16 = operations_per_second(probes.bf16, pool);
  if (probes.int8 != nullptr) roofline.int8 = operations_per_second(probes.int8, pool);
  // Two planes of 8 bits, or one product of 16.
  roofline.int16 = probes.int8 != nullptr ? roofline.int8 / 2 : roofline.f32;
  if (probes.int16 != nullptr) roofline.int16 = operations_per_second(probes.int16, pool);
  return roofline;
}

}  // namespace zaya
