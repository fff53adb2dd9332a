#pragma once

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <span>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "train/communicator.h"

namespace zaya::train {

/// Ranks that are threads of this process: each call passes pointers around between two barriers.
class ThreadRanks {
 public:
  /// Runs f(communicator) as every rank, to the end. f may throw where there is one rank only.
  static void run(std::size_t ranks, const std::function<void(Communicator&)>& f) {
    Meeting meeting(ranks);
    if (ranks == 1) {
      Rank rank(meeting, 0);
      f(rank);
      return;
    }
    std::vector<std::thread> threads;
    for (std::size_t r = 0; r < ranks; ++r) {
      threads.emplace_back([&, r] {
        Rank rank(meeting, r);
        f(rank);
      });
    }
    for (std::thread& t : threads) t.join();
  }

 private:
  struct Meeting {
    explicit Meeting(std::size_t n) : places(n), barrier(static_cast<std::ptrdiff_t>(n)) {}
    std::vector<const void*> places;
    std::barrier<> barrier;
  };

  class Rank : public Communicator {
   public:
    Rank(Meeting& meeting, std::size_t rank) : meeting_(meeting), rank_(rank) {}
    std::size_t rank() const override { return rank_; }
    std::size_t size() const override { return meeting_.places.size(); }
    void sum(std::span<double> values) override { add(values, true); }
    void sum_at(std::size_t to, std::span<float> values) override { add(values, to == rank_); }
    void broadcast(std::size_t from, std::span<std::byte> bytes) override {
      copy(from, from != rank_, bytes);
    }
    void move(std::size_t from, std::size_t to, std::span<std::byte> bytes) override {
      if (from == to) return;
      // All of them come by, where MPI needs the two only.
      copy(from, to == rank_, bytes);
    }
    void exchange(std::span<const std::byte> out, std::span<const std::size_t> out_counts,
                  std::span<std::byte> in, std::span<const std::size_t> in_counts,
                  std::size_t unit) override {
      struct Parcel {
        const std::byte* bytes;
        std::span<const std::size_t> counts;
      };
      const Parcel own{out.data(), out_counts};
      show(&own);
      std::byte* to = in.data();
      for (std::size_t r = 0; r < size(); ++r) {
        const Parcel& parcel = *meet<Parcel>(r);
        const auto before = parcel.counts.first(rank_);
        const std::size_t at = std::accumulate(before.begin(), before.end(), std::size_t{0});
        EXPECT_EQ(parcel.counts[rank_], in_counts[r]);
        to = std::copy_n(parcel.bytes + at * unit, parcel.counts[rank_] * unit, to);
      }
      EXPECT_EQ(to, in.data() + in.size());
      meeting_.barrier.arrive_and_wait();
    }
    [[noreturn]] void abort(int exit_code) override { std::_Exit(exit_code); }

   private:
    template <class T>
    const T* meet(std::size_t of) const {
      return static_cast<const T*>(meeting_.places[of]);
    }
    void show(const void* place) {
      meeting_.places[rank_] = place;
      meeting_.barrier.arrive_and_wait();
    }
    template <class T>
    void add(std::span<T> values, bool here) {
      show(values.data());
      std::vector<T> sums(values.size());
      for (std::size_t r = 0; r < size() && here; ++r) {
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += meet<T>(r)[i];
      }
      meeting_.barrier.arrive_and_wait();
      if (here) std::copy(sums.begin(), sums.end(), values.begin());
    }
    void copy(std::size_t from, bool here, std::span<std::byte> bytes) {
      show(bytes.data());
      if (here) std::copy_n(meet<std::byte>(from), bytes.size(), bytes.begin());
      meeting_.barrier.arrive_and_wait();
    }

    Meeting& meeting_;
    std::size_t rank_;
  };
};

}  // namespace zaya::train
