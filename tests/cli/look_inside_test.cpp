// zaya logits, zaya compare, and what the program says to wrong commands.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/run.h"

namespace zaya {
namespace {

std::string scratch(const std::string& name) {
  return (std::filesystem::path(testing::TempDir()) / ("zaya-look-inside-" + name)).string();
}

TEST(Program, HelpAndWrongCommands) {
  const RunResult help = run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_TRUE(contains(help.out, "compare")) << help.out;
  EXPECT_TRUE(contains(run({"--version"}).out, "zaya "));
  expect_failure(run({"frobnicate"}), 2, "there is no command 'frobnicate'");
  expect_failure(run({}), 2, "zaya --help");
  expect_failure(run({"--frobnicate"}), 2, "zaya --help");
}

TEST(Logits, OfNativeAndLegacyAreTheSameBytes) {
  const std::string a = scratch("a.safetensors");
  const std::string b = scratch("b.safetensors");
  const RunResult native = run({"logits", golden("native"), "--tokens", "183,196,29", "--out", a});
  EXPECT_EQ(native.exit_code, 0) << native.err;
  EXPECT_EQ(native.out + native.err, "");
  EXPECT_EQ(run({"logits", golden("legacy"), "--tokens", "183 196 29", "--out", b}).exit_code, 0);
  const std::string bytes = read_file(a);
  EXPECT_EQ(bytes, read_file(b));
  EXPECT_TRUE(contains(bytes, R"("logits":{"dtype":"F32","shape":[3, 320])"))
      << bytes.substr(0, 200);
  std::filesystem::remove(a);
  std::filesystem::remove(b);
}

TEST(Logits, WrongUsageAndBadInput) {
  const std::string out = scratch("none.safetensors");
  EXPECT_TRUE(contains(run({"logits", "--help"}).out, "Usage: zaya logits"));
  expect_failure(run({"logits", golden("native"), "--out", out}), 2, "either --tokens or --prompt");
  expect_failure(run({"logits", golden("native"), "--tokens", "1", "--prompt", "x", "--out", out}),
                 2, "either --tokens or --prompt");
  expect_failure(run({"logits", golden("native"), "--tokens", "1,x", "--out", out}), 2,
                 "'x' is no token id");
  expect_failure(run({"logits", golden("native"), "--tokens", "1,320", "--out", out}), 1,
                 "expected 0 to 319, found 320");
  expect_failure(run({"logits", golden("native"), "--prompt", "hi", "--out", out}), 1,
                 "tokenizer.json");
  expect_failure(run({"logits", "/nowhere", "--tokens", "1", "--out", out}), 1, "/nowhere");
  expect_failure(run({"logits", golden("native"), "--tokens", "1", "--out", "/nowhere/x"}), 1,
                 "/nowhere/x");
  expect_failure(
      run({"logits", golden("native"), "--tokens", "1", "--out", out, "--compute", "f8"}), 2,
      "--compute");
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Compare, TheSameModelIsAtDistanceZero) {
  const RunResult r = run({"compare", golden("native"), golden("legacy"), "--tokens",
                           "114,276,50,154,273,155,289,124", "--json"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const Json json = parse_json(r.out, "stdout");
  EXPECT_EQ(json["positions"], 7);
  EXPECT_EQ(json["mean_kl"], 0.0);
  EXPECT_EQ(json["max_kl"], 0.0);
  EXPECT_EQ(json["top1_agreement"], 1.0);
  EXPECT_EQ(json["perplexity_a"], json["perplexity_b"]);
}

TEST(Compare, Bf16AndWindowsAreMeasured) {
  const std::vector<std::string> arguments{"compare",
                                           golden("native-bf16"),
                                           golden("native-bf16"),
                                           "--tokens",
                                           "114,276,50,154,273,155,289,124",
                                           "--compute-b",
                                           "fast",
                                           "--context",
                                           "4",
                                           "--json"};
  const RunResult r = run(arguments);
  ASSERT_EQ(r.exit_code, 0) << r.err;
  const Json json = parse_json(r.out, "stdout");
  EXPECT_EQ(json["positions"], 6) << "two windows of four tokens predict three each";
  EXPECT_GT(json["max_kl"], 0.0);
  const RunResult text = run({"compare", golden("native"), golden("native"), "--tokens", "1,2,3"});
  EXPECT_TRUE(contains(text.out, "same top-1 token    100.00 %")) << text.out;
}

TEST(Compare, WrongUsageAndBadInput) {
  EXPECT_TRUE(contains(run({"compare", "--help"}).out, "Usage: zaya compare"));
  expect_failure(run({"compare", golden("native")}), 2, "b is required");
  expect_failure(run({"compare", golden("native"), golden("native")}), 2,
                 "either --text or --tokens");
  expect_failure(run({"compare", golden("native"), golden("native-bf16"), "--tokens", "1,2"}), 1,
                 "expected 320 tokens, found 640 tokens");
  expect_failure(run({"compare", golden("native"), golden("native"), "--tokens", "1"}), 1,
                 "too short to compare on");
}

}  // namespace
}  // namespace zaya
