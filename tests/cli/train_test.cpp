#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/random.h"
#include "tests/cli/train_runs.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

TEST_F(TrainCommand, PreparesTrainsAndGenerates) {
  EXPECT_EQ(counts_["examples"], 240);
  EXPECT_LT(counts_["targets"], counts_["tokens"]);
  EXPECT_EQ(counts_["kept"], 0);
  const RunResult again =
      run({"prepare", in("data.jsonl"), "--model", demo_model(), "-o", in("data")});
  EXPECT_TRUE(contains(again.out, "shards    1, 1 of them kept")) << again.out;

  Json json = config("run");
  json["evaluation"] = {{"data", {{{"path", "data"}}}}, {"every", 12}, {"rows", 512}};
  const RunResult r = run({"train", write_config("run.json", json)});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out, in("run/step-00000024") + "\n");
  for (const char* part :
       {"Mflop a token", "step 24/24", "tokens/s", "MFU", "left", "held-out loss"}) {
    EXPECT_TRUE(contains(r.err, part)) << part << "\n" << r.err;
  }
  const auto lines = log("run");
  ASSERT_EQ(lines.size(), 24U);
  EXPECT_LT(lines[23]["loss"].get<double>(), lines[0]["loss"].get<double>() - 1);
  EXPECT_LT(lines[23]["evaluation_loss"].get<double>(), lines[11]["evaluation_loss"].get<double>());

  const RunResult text = run({"generate", in("run/step-00000024"), "the number", "-n", "8"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_FALSE(text.out.empty());
  const RunResult inspected = run({"inspect", in("run/step-00000024")});
  EXPECT_TRUE(contains(inspected.out, "layout             native")) << inspected.err;
  // Done already.
  EXPECT_EQ(run({"train", in("run.json")}).out, r.out);
}

class KilledTrainCommand : public TrainCommand {
 protected:
  /// Runs with these settings once, and again with kills; `model` is compared at the end.
  void expect_the_same(const Json& settings, const std::string& model);
};

void KilledTrainCommand::expect_the_same(const Json& settings, const std::string& model) {
  const auto config_of = [&](const std::string& out) {
    Json json = config(out);
    json.update(settings);
    return write_config(out + ".json", json);
  };
  ASSERT_EQ(run({"train", config_of("whole")}).exit_code, 0);
  const std::string file = config_of("killed");
  Random random(7);
  int kills = 0;
  for (std::size_t reach = 2;; reach += 4) {
    std::string program = ZAYA_BUILD_DIR "/bin/zaya";
    std::string command = "train";
    std::string path = file;
    char* arguments[] = {program.data(), command.data(), path.data(), nullptr};
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    pid_t child = 0;
    ASSERT_EQ(::posix_spawn(&child, program.c_str(), &quiet, nullptr, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&quiet);
    // Once it has got further than before, after a moment of any length within a step.
    int status = 0;
    bool ended = false;
    while (log("killed").size() < reach && !ended) {
      ended = ::waitpid(child, &status, WNOHANG) == child;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (!ended) {
      std::this_thread::sleep_for(std::chrono::microseconds(random.next() % 40000));
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
    }
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    ++kills;
  }
  EXPECT_GE(kills, 4);
  EXPECT_EQ(log("killed"), log("whole"));
  EXPECT_EQ(log("killed").size(), 24U);
  EXPECT_EQ(read_file(folder_ / "killed/step-00000024" / model),
            read_file(folder_ / "whole/step-00000024" / model));
}

TEST_F(KilledTrainCommand, GoesOnWithTheSameLosses) {
  expect_the_same(Json::object(), "model.safetensors");
}

TEST_F(KilledTrainCommand, GoesOnWithAnAdapter) {
  expect_the_same({{"lora", {{"rank", 4}}}, {"optimizer", {{"rate", 0.01}}}},
                  "adapter_model.safetensors");
  const RunResult plain = run({"generate", demo_model(), "the number", "-n", "8", "--greedy"});
  const RunResult adapted = run({"generate", demo_model(), "the number", "-n", "8", "--greedy",
                                 "--adapter", in("whole/step-00000024")});
  EXPECT_EQ(adapted.exit_code, 0) << adapted.err;
  EXPECT_NE(adapted.out, plain.out);
}

TEST_F(TrainCommand, FailuresAreOneLine) {
  expect_failure(run({"train"}), 2, "config is required");
  expect_failure(run({"train", in("gone.json")}), 1, "gone.json: cannot open");
  Json json = config("x");
  json["rate"] = 1;
  expect_failure(run({"train", write_config("x.json", json)}), 1, "there is no setting 'rate'");
  json = config("x");
  json["data"][0]["path"] = "nowhere";
  expect_failure(run({"train", write_config("x.json", json)}), 1, "nowhere: cannot list");
  write_file(folder_ / "bad.jsonl", "{\"text\": \"a\"}\n[]\n");
  expect_failure(run({"prepare", in("bad.jsonl"), "--model", demo_model(), "-o", in("y")}), 1,
                 "bad.jsonl:2");
  expect_failure(run({"prepare", in("bad.jsonl"), "-o", in("y")}), 2, "--model is required");
  for (const std::string command : {"train", "prepare"}) {
    EXPECT_TRUE(contains(run({command, "--help"}).out, "Usage: zaya " + command));
  }
}

}  // namespace
}  // namespace zaya
