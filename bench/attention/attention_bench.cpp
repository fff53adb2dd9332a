// The kernels of attention at ZAYA1-8B's sizes, for every instruction set of the host:
//   prefill      queries of one kv head over the 8,192 positions before them; items/s are
//                multiplications and additions
//   decode       one query over 32,768 positions, more than the CPU's caches hold; bytes/s
//   elementwise  depthwise convolution, means, norm, rotation and KV write of 512 rows of a layer
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/dtype.h"
#include "base/random.h"
#include "compute/attention.h"
#include "compute/kernels/kernels.h"

namespace zaya {
namespace {

constexpr std::size_t kDim = 128;
constexpr std::size_t kHeads = 4;  // query heads a kv head
constexpr std::size_t kPage = KvBlock::kPositions;
constexpr auto kBf16 = static_cast<std::size_t>(KvFormat::bf16);
constexpr std::size_t kBlock = 2 * KvBlock::part_bytes(kDim, KvFormat::bf16);

struct Free {
  void operator()(void* p) const { ::operator delete (p, std::align_val_t{64}); }
};
template <class T>
using Memory = std::unique_ptr<T, Free>;

template <class T>
Memory<T> random_memory(std::size_t n) {
  Memory<T> memory(static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64})));
  Random random(1, 2);
  for (std::size_t i = 0; i < n; ++i) {
    const auto v = static_cast<float>(random.uniform() - 0.5);
    if constexpr (sizeof(T) == 4) {
      memory.get()[i] = v;
    } else {
      memory.get()[i] = to_bf16(v);
    }
  }
  return memory;
}

/// K and V of one kv head in pages of `layers` blocks, as a sequence of a whole model has them.
struct Cache {
  std::size_t page_bytes;
  Memory<bf16> memory;
  std::vector<const std::byte*> pages;

  Cache(std::size_t positions, std::size_t blocks)
      : page_bytes(blocks * kBlock),
        memory(random_memory<bf16>(positions / kPage * page_bytes / 2)) {
    for (std::size_t p = 0; p < positions / kPage; ++p) {
      pages.push_back(reinterpret_cast<const std::byte*>(memory.get()) + p * page_bytes);
    }
  }
};

struct Call {
  std::size_t rows;
  Memory<float> query = random_memory<float>(rows * kDim);
  Memory<float> state = random_memory<float>(rows * (kDim + 2));
  Memory<float> scratch = random_memory<float>(attend_scratch_bytes(kDim) / 4);

  AttendCall at(const Cache& cache, std::size_t position, std::size_t block) const {
    std::fill_n(state.get(), rows * (kDim + 1), 0.0F);
    std::fill_n(state.get() + rows * kDim, rows, -std::numeric_limits<float>::infinity());
    return {.keys = {.pages = cache.pages.data(), .offset = block * kBlock},
            .values = {.pages = cache.pages.data(), .offset = block * kBlock + kBlock / 2},
            .dim = kDim,
            .heads = kHeads,
            .rows = rows,
            .position = position,
            .window = 0,
            .scale = 1 / std::sqrt(static_cast<float>(kDim)),
            .query = query.get(),
            .scratch = reinterpret_cast<std::byte*>(scratch.get()),
            .highest = state.get() + rows * kDim,
            .total = state.get() + rows * (kDim + 1),
            .sum = state.get()};
  }
};

void prefill(benchmark::State& state, Isa isa) {
  const AttentionKernels& kernels = kernels_of(isa).attention;
  constexpr std::size_t kPositions = 8192;
  constexpr std::size_t kQueries = 32;
  static const Cache cache(kPositions, 1);
  const Call call{kQueries * kHeads};
  double pairs = 0;
  std::size_t position = 0;
  while (state.KeepRunning()) {
    const AttendCall c = call.at(cache, position, 0);
    for (std::size_t s = 0; s <= (position + kQueries - 1) / AttendCall::kSpan; ++s) {
      kernels.attend_bf16(c, s);
    }
    pairs += (static_cast<double>(position) + (kQueries + 1) / 2.0) * kQueries * kHeads;
    position = (position + 7 * kQueries) % kPositions;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(pairs * 4 * kDim));
}

void decode(benchmark::State& state, Isa isa) {
  const AttentionKernels& kernels = kernels_of(isa).attention;
  constexpr std::size_t kPositions = 32768;
  constexpr std::size_t kBlocks = 40;
  static const Cache cache(kPositions, kBlocks);
  const Call call{kHeads};
  std::size_t block = static_cast<std::size_t>(state.thread_index()) * kBlocks / 2;
  while (state.KeepRunning()) {
    const AttendCall c = call.at(cache, kPositions - 1, block);
    for (std::size_t s = 0; s < kPositions / AttendCall::kSpan; ++s) kernels.attend_bf16(c, s);
    block = (block + 1) % kBlocks;
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(kPositions / kPage * kBlock));
}

void elementwise(benchmark::State& state, Isa isa) {
  const AttentionKernels& kernels = kernels_of(isa).attention;
  constexpr std::size_t kRows = 512;
  constexpr std::size_t kAll = 10;  // heads of q and k
  const Memory<float> qk = random_memory<float>((kRows + 2) * kAll * kDim);
  const Memory<float> mixed = random_memory<float>(32 * kDim);
  const Memory<float> u = random_memory<float>(32 * 2 * kDim);
  const Memory<float> out = random_memory<float>(kRows * kAll * kDim);
  const Memory<float> weight = random_memory<float>(3 * kDim);
  Memory<bf16> page = random_memory<bf16>(kRows / kPage * kBlock / 2);
  while (state.KeepRunning()) {
    for (std::size_t i = 0; i < kRows * kAll; ++i) {
      // As the model goes: a head's rows 32 at a time.
      const std::size_t head = i / 32 % kAll;
      const std::size_t row = i / 32 / kAll * 32 + i % 32;
      const float* x = qk.get() + (row * kAll + head) * kDim;
      const float* w[2] = {weight.get(), weight.get() + kDim};
      // The depthwise output of the row before is copied, the row's own computed.
      float* taps = u.get() + i % 32 * 2 * kDim;
      const float* xs[2] = {x, x + kAll * kDim};
      std::copy_n(u.get() + (i + 31) % 32 * 2 * kDim + kDim, kDim, taps);
      kernels.depthwise(xs, w, weight.get(), 2, taps + kDim, kDim);
      float* y = out.get() + i * kDim;
      kernels.mix_head({.mixed = mixed.get() + i % 32 * kDim,
                        .bias = weight.get(),
                        .q = qk.get() + row * kAll * kDim,
                        .q_heads = head < 8 ? 1U : kHeads,
                        .k = qk.get() + (row * kAll + 8) * kDim,
                        .n = kDim,
                        .length = 11,
                        .cosine = weight.get(),
                        .sine = weight.get() + kDim,
                        .half = 32,
                        .out = y});
      if (head >= 8) {
        auto* block = reinterpret_cast<std::byte*>(page.get()) + row / kPage * kBlock;
        kernels.keys[kBf16].write(block, kDim, row % kPage, y);
        kernels.values[kBf16].write(block + kBlock / 2, kDim, row % kPage, x);
      }
    }
  }
}

}  // namespace
}  // namespace zaya

int main(int argc, char** argv) {
  using benchmark::RegisterBenchmark;
  for (const zaya::Isa isa : zaya::host_isas()) {
    if (isa == zaya::Isa::scalar) continue;
    const std::string name(zaya::isa_name(isa));
    RegisterBenchmark(("prefill/" + name).c_str(), zaya::prefill, isa)->UseRealTime();
    RegisterBenchmark(("decode/" + name).c_str(), zaya::decode, isa)
        ->ThreadRange(1, 2)
        ->UseRealTime();
    RegisterBenchmark(("elementwise/" + name).c_str(), zaya::elementwise, isa)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
