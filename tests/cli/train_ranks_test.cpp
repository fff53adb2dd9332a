// zaya train under mpirun.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/file.h"
#include "tests/cli/train_runs.h"

namespace zaya {
namespace {

class TrainRanks : public TrainCommand {
 protected:
  static constexpr std::size_t kSteps = 40;

  void SetUp() override {
    if (!ZAYA_WITH_MPI) GTEST_SKIP() << "a build without MPI";
    TrainCommand::SetUp();
    // mpirun refuses root without both.
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    // Open MPI frees little of what it allocates.
    ::setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
  }
  void TearDown() override {
    ::unsetenv("ASAN_OPTIONS");
    TrainCommand::TearDown();
  }

  /// Steps of four batches.
  Json config_of_ranks(const std::string& out) const {
    Json json = config(out);
    json["steps"] = kSteps;
    json["batch_rows"] = 64;
    json["accumulate"] = 4;
    json["precision"] = "f32";
    json["threads"] = 1;
    return json;
  }

  /// mpirun with zaya train; stdout and stderr go to NAME.out and NAME.err.
  pid_t start(const std::string& name, int ranks, const std::string& file) const {
    std::vector<std::string> words = {"mpirun",
                                      "--oversubscribe",
                                      "--bind-to",
                                      "none",
                                      "-n",
                                      std::to_string(ranks),
                                      ZAYA_BUILD_DIR "/bin/zaya",
                                      "train",
                                      file};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&files, 1, in(name + ".out").c_str(), flags, 0600);
    posix_spawn_file_actions_addopen(&files, 2, in(name + ".err").c_str(), flags, 0600);
    pid_t child = 0;
    EXPECT_EQ(::posix_spawnp(&child, "mpirun", &files, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&files);
    return child;
  }

  /// Its exit code; -1 when it hangs, and is ended then.
  static int wait(pid_t child) {
    using namespace std::chrono_literals;
    const auto limit = std::chrono::steady_clock::now() + 120s;
    for (int status = 0; std::chrono::steady_clock::now() < limit;) {
      if (::waitpid(child, &status, WNOHANG) == child) {
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      std::this_thread::sleep_for(10ms);
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return -1;
  }

  /// Processes that `parent` has started, in the order of their ids.
  static std::vector<pid_t> children(pid_t parent) {
    std::vector<pid_t> found;
    const auto tasks = std::filesystem::path("/proc") / std::to_string(parent) / "task";
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
      std::ifstream list(task.path() / "children");
      for (pid_t child = 0; list >> child;) found.push_back(child);
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  /// Whether a process ends within a moment; nobody may ask after its status.
  static bool ends(pid_t process) {
    const auto stat = std::filesystem::path("/proc") / std::to_string(process) / "stat";
    for (int i = 0; i < 1000; ++i) {
      std::ifstream file(stat);
      std::string line;
      if (!std::getline(file, line) || contains(line, ") Z ")) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  static void expect_near(const std::vector<Json>& got, const std::vector<Json>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(got[i]["step"], want[i]["step"]);
      EXPECT_EQ(got[i]["targets"], want[i]["targets"]);
      const auto loss = want[i]["loss"].get<double>();
      EXPECT_NEAR(got[i]["loss"].get<double>(), loss, 2e-3 * loss) << got[i];
    }
  }
};

TEST_F(TrainRanks, EqualOneProcessAndSurviveALostOne) {
  ASSERT_EQ(run({"train", write_config("one.json", config_of_ranks("one"))}).exit_code, 0);
  const std::vector<Json> one = log("one");
  ASSERT_EQ(one.size(), kSteps);

  // A rank is killed after its eighth step: the last checkpoint is of the sixth, or the ninth.
  const std::string file = write_config("lost.json", config_of_ranks("lost"));
  const pid_t lost = start("lost", 2, file);
  while (log("lost").size() < 8) {
    ASSERT_EQ(::waitpid(lost, nullptr, WNOHANG), 0) << read_file(in("lost.err"));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const std::vector<pid_t> ranks = children(lost);
  ASSERT_EQ(ranks.size(), 2U);
  ::kill(ranks[1], SIGKILL);
  const int code = wait(lost);
  EXPECT_GT(code, 0);
  EXPECT_TRUE(contains(read_file(in("lost.err")), "exited on signal 9"))
      << read_file(in("lost.err"));
  EXPECT_LT(log("lost").size(), kSteps);
  EXPECT_TRUE(ends(ranks[0]));

  // On with one process; its last steps again with three that share out the experts.
  const RunResult rest = run({"train", file});
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_TRUE(contains(rest.err, "going on after step")) << rest.err;
  expect_near(log("lost"), one);
  std::filesystem::remove_all(in("lost/step-00000040"));
  Json json = config_of_ranks("lost");
  json["expert_parallel"] = true;
  write_config("lost.json", json);
  EXPECT_EQ(wait(start("three", 3, file)), 0) << read_file(in("three.err"));
  EXPECT_TRUE(contains(read_file(in("three.err")), "3 processes, here 1 threads"))
      << read_file(in("three.err"));
  EXPECT_EQ(read_file(in("three.out")), in("lost/step-00000040") + "\n");
  expect_near(log("lost"), one);
  const RunResult text = run({"generate", in("lost/step-00000040"), "the number", "-n", "4"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
}

TEST_F(TrainRanks, FailTogether) {
  Json json = config_of_ranks("x");
  json["accumulate"] = 1;
  EXPECT_EQ(wait(start("x", 2, write_config("x.json", json))), 1);
  const std::string said = read_file(in("x.err"));
  EXPECT_TRUE(contains(said, "zaya: error: process 1 of 2: accumulate: a step has fewer batches"))
      << said;
  EXPECT_FALSE(contains(said, "process 2 of 2")) << said;
}

}  // namespace
}  // namespace zaya
