// The library libzaya_mpi.so: the only place that knows of MPI. Errors of MPI end all ranks, with
// a message: that is its default, and what a training run wants.
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <vector>

#include <mpi.h>

#include "train/communicator.h"

namespace zaya::train {
namespace {

// Counts of MPI are ints.
constexpr std::size_t kMost = std::size_t{1} << 24;

/// f(part of the values, their number) for all of them, in order.
template <class T, class F>
void each_part(std::span<T> values, F&& f) {
  for (std::size_t at = 0; at < values.size(); at += kMost) {
    const std::size_t n = std::min(kMost, values.size() - at);
    f(values.data() + at, static_cast<int>(n));
  }
}

struct Places {
  explicit Places(std::span<const std::size_t> sizes)
      : counts(sizes.begin(), sizes.end()), begins(sizes.size()) {
    std::exclusive_scan(counts.begin(), counts.end(), begins.begin(), 0);
  }
  std::vector<int> counts;
  std::vector<int> begins;
};

class Mpi : public Communicator {
 public:
  Mpi() {
    int level = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;
  ~Mpi() override { MPI_Finalize(); }

  std::size_t rank() const override { return static_cast<std::size_t>(rank_); }
  std::size_t size() const override { return static_cast<std::size_t>(size_); }

  // Not MPI_Allreduce: it need not give all ranks the same bits.
  void sum(std::span<double> values) override {
    reduce(0, values, MPI_DOUBLE);
    broadcast(0, std::as_writable_bytes(values));
  }

  void sum_at(std::size_t to, std::span<float> values) override { reduce(to, values, MPI_FLOAT); }

  void broadcast(std::size_t from, std::span<std::byte> bytes) override {
    each_part(bytes, [&](std::byte* part, int n) {
      MPI_Bcast(part, n, MPI_BYTE, static_cast<int>(from), MPI_COMM_WORLD);
    });
  }

  void move(std::size_t from, std::size_t to, std::span<std::byte> bytes) override {
    if (from == to || (rank() != from && rank() != to)) return;
    each_part(bytes, [&](std::byte* part, int n) {
      if (rank() == from) {
        MPI_Send(part, n, MPI_BYTE, static_cast<int>(to), 0, MPI_COMM_WORLD);
      } else {
        MPI_Recv(part, n, MPI_BYTE, static_cast<int>(from), 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      }
    });
  }

  void exchange(std::span<const std::byte> out, std::span<const std::size_t> out_counts,
                std::span<std::byte> in, std::span<const std::size_t> in_counts,
                std::size_t unit) override {
    // Counts and places in units, as they are ints.
    MPI_Datatype type = MPI_DATATYPE_NULL;
    MPI_Type_contiguous(static_cast<int>(unit), MPI_BYTE, &type);
    MPI_Type_commit(&type);
    const Places from(out_counts);
    const Places to(in_counts);
    MPI_Alltoallv(out.data(), from.counts.data(), from.begins.data(), type, in.data(),
                  to.counts.data(), to.begins.data(), type, MPI_COMM_WORLD);
    MPI_Type_free(&type);
  }

  [[noreturn]] void abort(int exit_code) override {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);
  }

 private:
  template <class T>
  void reduce(std::size_t to, std::span<T> values, MPI_Datatype type) {
    each_part(values, [&](T* part, int n) {
      const bool here = rank() == to;
      MPI_Reduce(here ? MPI_IN_PLACE : part, here ? part : nullptr, n, type, MPI_SUM,
                 static_cast<int>(to), MPI_COMM_WORLD);
    });
  }

  int rank_ = 0;
  int size_ = 1;
};

}  // namespace
}  // namespace zaya::train

extern "C" zaya::train::Communicator* zaya_join_mpi() {
  return new zaya::train::Mpi();
}
