#pragma once

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/demo_model.h"
#include "tests/cli/run.h"

namespace zaya {

/// Prepared data for the small model, and configs of runs on it.
class TrainCommand : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(testing::TempDir()) / ("zaya-train-" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    std::string lines;
    for (int i = 0; i < 120; ++i) {
      const Json question = {{"role", "user"},
                             {"content", "Which number follows " + std::to_string(i) + "?"}};
      const Json answer = {{"role", "assistant"},
                           {"content", "<think>\none more\n</think>\n\n" + std::to_string(i + 1)}};
      lines += Json({{"messages", {question, answer}}}).dump() + "\n";
      lines +=
          Json({{"text", "the number " + std::to_string(i) + " and the other numbers"}}).dump() +
          "\n";
    }
    write_file(folder_ / "data.jsonl", lines);
    const RunResult r =
        run({"prepare", in("data.jsonl"), "--model", demo_model(), "-o", in("data"), "--json"});
    ASSERT_EQ(r.exit_code, 0) << r.err;
    counts_ = parse_json(r.out, "prepare");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string in(const std::string& name) const { return (folder_ / name).string(); }

  Json config(const std::string& out) const {
    return {{"model", demo_model()},
            {"out", out},
            {"steps", 24},
            {"data", {{{"path", "data"}}}},
            {"context", 64},
            {"batch_rows", 256},
            {"optimizer", {{"rate", 0.003}, {"warmup", 4}}},
            {"checkpoints", {{"every", 3}}}};
  }
  std::string write_config(const std::string& name, const Json& json) const {
    write_file(folder_ / name, json.dump());
    return in(name);
  }

  /// Steps, losses and norms in a log.
  std::vector<Json> log(const std::string& out) const {
    std::vector<Json> lines;
    std::error_code ignored;
    if (!std::filesystem::exists(folder_ / out / "log.jsonl", ignored)) return lines;
    std::istringstream text(read_file(folder_ / out / "log.jsonl"));
    for (std::string line; std::getline(text, line);) {
      try {
        Json json = parse_json(line, "log");
        json.erase("seconds");
        lines.push_back(std::move(json));
      } catch (const std::exception&) {
        break;  // a line that is being written
      }
    }
    return lines;
  }

  std::filesystem::path folder_;
  Json counts_;
};

}  // namespace zaya
