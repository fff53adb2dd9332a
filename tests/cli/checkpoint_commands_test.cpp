#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/demo_model.h"
#include "tests/cli/run.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

class CheckpointCommands : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "zaya-checkpoint-commands";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string in(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

TEST_F(CheckpointCommands, EachExplainsItself) {
  for (const std::string command : {"inspect", "convert", "init", "quantize"}) {
    const RunResult r = run({command, "--help"});
    EXPECT_EQ(r.exit_code, 0);
    EXPECT_TRUE(contains(r.out, "Usage: zaya " + command)) << r.out;
    EXPECT_EQ(r.err, "");
  }
}

TEST_F(CheckpointCommands, InspectShowsWhatIsThere) {
  const RunResult r = run({"inspect", golden("legacy-sliding")});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.err, "");
  for (const char* line :
       {"  layout             legacy\n", "  tensors            155\n",
        "  bytes              2443152 (2.44 MB)\n",
        "  attention          6 query heads, 2 KV heads of 32\n",
        "  sliding layers     2 with a window of 7; theta 10000, 16 of 32 dimensions\n",
        "  total              610768\n", "  a token            2.05 kB in f32, 1.02 kB in bf16",
        "  a sequence         8.70 kB", "Memory to generate, one sequence of 4096 tokens"}) {
    EXPECT_TRUE(contains(r.out, line)) << line << "\n" << r.out;
  }
  EXPECT_TRUE(
      contains(run({"inspect", golden("base-schema")}).out, "'num_hidden_layers' is stale"));
}

TEST_F(CheckpointCommands, InspectAsJson) {
  const RunResult r = run({"inspect", golden("native-bf16"), "--json", "--context", "100"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const Json json = parse_json(r.out, "stdout");
  EXPECT_EQ(json["layout"], "native");
  EXPECT_EQ(json["tensors"], 99);
  EXPECT_EQ(json["config"]["num_experts"], 16);
  EXPECT_EQ(json["dtypes"]["F32"]["tensors"], 3);
  EXPECT_EQ(json["state"]["bytes_per_token_bf16"], 2 * 3 * 2 * 256);
  const Json& memory = json["memory"];
  EXPECT_EQ(memory["context"], 100);
  EXPECT_EQ(memory["total_bf16"].get<std::uint64_t>(),
            memory["weights"].get<std::uint64_t>() + memory["state_bf16"].get<std::uint64_t>() +
                memory["work"].get<std::uint64_t>());
}

TEST_F(CheckpointCommands, ConvertGoesThereAndBack) {
  const RunResult there = run({"convert", golden("native"), "--layout", "legacy", "-o", in("l")});
  ASSERT_EQ(there.exit_code, 0) << there.err;
  EXPECT_EQ(there.out + there.err, "");
  const RunResult back =
      run({"convert", in("l"), "--layout", "native", "-o", in("n"), "--max-shard-size", "500KB"});
  ASSERT_EQ(back.exit_code, 0) << back.err;
  EXPECT_TRUE(fs::exists(folder_ / "n" / "model.safetensors.index.json"));
  const Json before = parse_json(run({"inspect", golden("native"), "--json"}).out, "before");
  const Json after = parse_json(run({"inspect", in("n"), "--json"}).out, "after");
  EXPECT_EQ(after["config"], before["config"]);
  EXPECT_EQ(after["bytes"], before["bytes"]);
}

TEST_F(CheckpointCommands, InitIsTheSameForTheSameSeed) {
  const std::string config = golden("native") + "/config.json";
  const auto make = [&](const std::string& name, const std::string& seed) {
    const RunResult r = run({"init", "--config", config, "--seed", seed, "--dtype", "f32", "-o",
                             in(name), "--text-from", golden("native")});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return read_file(folder_ / name / "model.safetensors");
  };
  const std::string first = make("a", "7");
  EXPECT_EQ(make("b", "7"), first);
  EXPECT_NE(make("c", "8"), first);
  EXPECT_TRUE(fs::exists(folder_ / "a" / "expected.json"));
  EXPECT_TRUE(contains(run({"inspect", in("a")}).out, "layout             native"));
}

TEST_F(CheckpointCommands, QuantizeByPresetAndByPart) {
  const RunResult r = run({"quantize", golden("native"), "-o", in("q"), "--preset", "q4",
                           "--attention", "fp8", "--router", "int8"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out + r.err, "");
  const Json json = parse_json(run({"inspect", in("q"), "--json"}).out, "inspect");
  EXPECT_EQ(json["quantization"]["method"], "compressed-tensors");
  EXPECT_EQ(json["quantization"]["stepped_scales"], true);
  const Json& roles = json["roles"];
  EXPECT_EQ(roles["experts"]["formats"], Json::array({"int4, BF16 scale every 32 columns"}));
  EXPECT_EQ(roles["experts"]["bits_per_weight"], 4.5);
  EXPECT_EQ(roles["attention"]["formats"], Json::array({"fp8-e4m3, BF16 scale every row"}));
  EXPECT_EQ(roles["router"]["formats"], Json::array({"int8, BF16 scale every row"}));
  EXPECT_EQ(roles["embed"]["formats"], Json::array({"int8, BF16 scale every row"}));
  EXPECT_EQ(roles["other"]["formats"], Json::array({"F32"}));
  std::uint64_t bytes = 0;
  for (const auto& [name, role] : roles.items()) bytes += role["bytes"].get<std::uint64_t>();
  EXPECT_EQ(json["bytes"], bytes);
  const std::string text = run({"inspect", in("q")}).out;
  EXPECT_TRUE(contains(text, "quantised by       compressed-tensors"));
  EXPECT_TRUE(contains(text, " 4.50 bits a weight  int4, BF16 scale every 32 columns")) << text;
  // The head is the embedding: either option names it.
  EXPECT_EQ(run({"quantize", golden("native"), "-o", in("h"), "--head", "int4"}).exit_code, 0);
  EXPECT_TRUE(contains(run({"inspect", in("h")}).out, "embed"));
  expect_failure(run({"convert", in("q"), "--layout", "legacy", "-o", in("x")}), 1,
                 "is quantised and cannot be converted");
}

TEST_F(CheckpointCommands, CalibrationChangesTheScales) {
  write_file(folder_ / "text.txt", "The quick brown fox jumps over the lazy dog. 0123456789\n");
  const auto make = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"quantize", demo_model(), "-o",
                                          in(name),   "--preset",   "q4-small"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const RunResult r = run(arguments);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return read_file(folder_ / name / "model.safetensors");
  };
  const std::string plain = make("plain", {});
  const std::string calibrated = make("calibrated", {"--calibrate", in("text.txt")});
  EXPECT_EQ(plain.size(), calibrated.size());
  EXPECT_NE(plain, calibrated);
  EXPECT_EQ(make("again", {"--calibrate", in("text.txt")}), calibrated);
  expect_failure(run({"quantize", golden("native"), "-o", in("x"), "--preset", "q4", "--calibrate",
                      in("text.txt")}),
                 1, "tokenizer.json");
  expect_failure(
      run({"quantize", demo_model(), "-o", in("x"), "--preset", "q4", "--calibrate", in("gone")}),
      1, "gone");
  write_file(folder_ / "bad.txt", "\xff");
  expect_failure(run({"quantize", demo_model(), "-o", in("x"), "--preset", "q4", "--calibrate",
                      in("bad.txt")}),
                 1, "bad.txt");
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

TEST_F(CheckpointCommands, QuantizeSaysWhatIsWrong) {
  expect_failure(run({"quantize", golden("native"), "-o", in("x")}), 2, "needs --preset");
  expect_failure(run({"quantize", golden("native"), "--preset", "q8"}), 2, "--out is required");
  expect_failure(run({"quantize", golden("native"), "-o", in("x"), "--preset", "q5"}), 2, "q5");
  expect_failure(run({"quantize", golden("native"), "-o", in("x"), "--experts", "int3"}), 2,
                 "int3");
  expect_failure(
      run({"quantize", golden("native"), "-o", in("x"), "--embed", "int8", "--head", "int4"}), 2,
      "--head and --embed must agree");
  expect_failure(run({"quantize", golden("native"), "-o", in("x"), "--router", "int4"}), 1,
                 "mlp.gate.router_mlp.fc1.weight: int4: has a scale every 32 columns");
  expect_failure(run({"quantize", in("gone"), "-o", in("x"), "--preset", "q8"}), 1,
                 "no such folder");
  write_file(folder_ / "taken", "x");
  expect_failure(run({"quantize", golden("native"), "-o", in(""), "--preset", "q8"}), 1,
                 "exists and is not empty");
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

TEST_F(CheckpointCommands, FailuresAreOneLine) {
  expect_failure(run({"inspect", in("gone")}), 1, "no such folder");
  expect_failure(run({"inspect", "owner/no-such-model"}), 1, "models--owner--no-such-model");
  expect_failure(run({"inspect", in("")}), 1, "config.json: cannot open");
  write_file(folder_ / "config.json", "{\"model_type\": \"zaya\",}");
  expect_failure(run({"inspect", in("")}), 1, "config.json: byte 23: not valid JSON");
  expect_failure(run({"init", "--config", in("config.json"), "-o", in("x")}), 1, "not valid JSON");
  expect_failure(run({"init", "--config", in("gone"), "-o", in("x")}), 1, "cannot open");
  expect_failure(run({"convert", golden("native"), "--layout", "legacy", "-o", in("")}), 1,
                 "exists and is not empty");
  expect_failure(run({"init", "--config", golden("native") + "/config.json", "-o", in("")}), 1,
                 "exists and is not empty");
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

TEST_F(CheckpointCommands, WrongUsageIsTwo) {
  expect_failure(run({"inspect"}), 2, "model is required");
  expect_failure(run({"inspect", golden("native"), "--context", "0"}), 2, "--context");
  expect_failure(run({"inspect", golden("native"), "--bogus"}), 2, "--bogus");
  expect_failure(run({"convert", golden("native"), "-o", in("x")}), 2, "--layout is required");
  expect_failure(run({"convert", golden("native"), "--layout", "modern", "-o", in("x")}), 2,
                 "modern");
  expect_failure(run({"convert", golden("native"), "--layout", "legacy", "-o", in("x"),
                      "--max-shard-size", "5 bananas"}),
                 2, "--max-shard-size");
  expect_failure(run({"init", "--config", "c", "--dtype", "f16", "-o", in("x")}), 2, "f16");
  expect_failure(run({"init", "--config", "c", "--seed", "-1", "-o", in("x")}), 2, "--seed");
}

}  // namespace
}  // namespace zaya
