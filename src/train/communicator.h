#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace zaya::train {

/// The processes, "ranks", that train one model together. Every rank makes the same calls in the
/// same order, from one thread. When a rank is lost, the launcher ends the others: no call returns
/// an error.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  virtual std::size_t rank() const = 0;
  virtual std::size_t size() const = 0;

  /// The values of every rank become the sums over all ranks, the same bits everywhere.
  virtual void sum(std::span<double> values) = 0;
  /// The values of rank `to` become the sums over all ranks; those of the others stay.
  virtual void sum_at(std::size_t to, std::span<float> values) = 0;
  /// Every rank gets the bytes of rank `from`.
  virtual void broadcast(std::size_t from, std::span<std::byte> bytes) = 0;
  /// Rank `to` gets the bytes of rank `from`; the others do nothing.
  virtual void move(std::size_t from, std::size_t to, std::span<std::byte> bytes) = 0;
  /// Every rank sends out_counts[r] units of bytes to rank r, one behind the other, and gets
  /// in_counts[r] units from it: what that rank sends here.
  virtual void exchange(std::span<const std::byte> out, std::span<const std::size_t> out_counts,
                        std::span<std::byte> in, std::span<const std::size_t> in_counts,
                        std::size_t unit) = 0;
  /// Ends every rank at once, with this exit code: for a rank that cannot go on.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

/// A process by itself.
Communicator& alone();

/// What mpirun (or another launcher of MPI) started this process in; a rank of one where nothing
/// did. MPI is in a library of its own, opened here and only then: linking it would cost each start
/// of the program 0.1 s (measured, Open MPI 4.1). Throws Error when the launcher is there and the
/// library is not.
std::unique_ptr<Communicator> join_ranks();

/// What that library exports under the name zaya_join_mpi.
extern "C" using JoinMpi = Communicator * ();

}  // namespace zaya::train
