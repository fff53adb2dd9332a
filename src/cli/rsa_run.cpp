#include "cli/rsa_run.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include "cli/terminal.h"

namespace zaya::cli {

void RunOptions::add_to(CLI::App& command, const std::string& resume_needs) {
  CLI::Option* begun = command
                           .add_option("--journal", journal,
                                       "Keep each candidate in a file as soon as it is finished")
                           ->type_name("FILE");
  command
      .add_option("--resume", resume,
                  "Go on with the run of a journal" + resume_needs +
                      "; only unfinished candidates are done again")
      ->type_name("FILE")
      ->excludes(begun);
  command.add_flag("-q,--quiet", quiet, "No progress on stderr");
}

std::vector<rsa::Result> solve_watched(rsa::Generator& generator,
                                       const std::vector<rsa::Problem>& problems,
                                       const rsa::Settings& settings, const rsa::Observer& observer,
                                       const std::function<void()>& draw) {
  std::stop_source stop;
  std::atomic<bool> done = false;
  std::vector<rsa::Result> results;
  std::exception_ptr failure;
  std::thread worker([&] {
    try {
      results = rsa::solve(generator, problems, settings,
                           {.observer = observer, .stop = stop.get_token()});
    } catch (...) {
      failure = std::current_exception();
    }
    done = true;
  });
  for (int tick = 0; !done; ++tick) {
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    if (Interrupt::requested()) stop.request_stop();
    if (tick % 8 == 0) draw();
  }
  worker.join();
  if (failure) std::rethrow_exception(failure);
  return results;
}

}  // namespace zaya::cli
