#include "train/communicator.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include <dlfcn.h>

#include "zaya/error.h"

namespace zaya::train {
namespace {

class Alone : public Communicator {
 public:
  std::size_t rank() const override { return 0; }
  std::size_t size() const override { return 1; }
  void sum(std::span<double>) override {}
  void sum_at(std::size_t, std::span<float>) override {}
  void broadcast(std::size_t, std::span<std::byte>) override {}
  void move(std::size_t, std::size_t, std::span<std::byte>) override {}
  void exchange(std::span<const std::byte> out, std::span<const std::size_t>,
                std::span<std::byte> in, std::span<const std::size_t>, std::size_t) override {
    std::copy(out.begin(), out.end(), in.begin());
  }
  [[noreturn]] void abort(int exit_code) override { std::_Exit(exit_code); }
};

/// Set by the launchers of Open MPI, of MPICH and its relatives, and by Slurm with PMIx.
constexpr std::array kLaunchers{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"};

}  // namespace

Communicator& alone() {
  static Alone instance;
  return instance;
}

std::unique_ptr<Communicator> join_ranks() {
  bool launched = false;
  for (const char* name : kLaunchers) launched = launched || std::getenv(name) != nullptr;
  if (!launched) return std::make_unique<Alone>();

  constexpr const char* kLibrary = "libzaya_mpi.so";
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  std::string path = (folder / kLibrary).string();
  if (!std::filesystem::exists(path, error)) {
    path = (folder.parent_path() / "lib" / "zaya" / kLibrary).string();
  }
  // Never closed. Global: Open MPI's components look for its symbols there.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  auto* join =
      library != nullptr ? reinterpret_cast<JoinMpi*>(::dlsym(library, "zaya_join_mpi")) : nullptr;
  if (join == nullptr) {
    throw Error(
        {.where = "mpirun",
         .what = "this program cannot train with several processes",
         .expected = std::string(kLibrary) + " beside it, which a build with -DZAYA_MPI=ON makes",
         .found = ::dlerror()});
  }
  return std::unique_ptr<Communicator>(join());
}

}  // namespace zaya::train
