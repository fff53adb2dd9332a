// zaya kv-policy, and the commands that take what it writes.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/demo_model.h"

namespace zaya {
namespace {

std::string file(const std::string& name) {
  return (std::filesystem::path(testing::TempDir()) / name).string();
}

TEST(KvPolicyCommand, WritesATableThatOtherCommandsTake) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "The quick brown fox " + std::to_string(i) + " jumps. ";
  write_file(file("kv-text.txt"), text);
  const std::string out = file("kv-policy.json");
  // 2 kv heads... whatever the model: between the least and bf16.
  const RunResult least = run({"kv-policy", demo_model(), "--budget", "1", "--text",
                               file("kv-text.txt"), "-o", out});
  expect_failure(least, 1, "at least");
  const std::size_t at = least.err.find("at least ") + 9;
  const std::size_t bytes = std::stoul(least.err.substr(at));
  const RunResult made = run({"kv-policy", demo_model(), "--budget", std::to_string(bytes * 3 / 2),
                              "--text", file("kv-text.txt"), "-o", out, "--context", "100"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_TRUE(contains(made.out, "chosen"));
  EXPECT_TRUE(contains(made.out, "int4"));
  EXPECT_FALSE(std::filesystem::exists(out + ".measured")) << "the journal goes when it is done";
  const Json policy = parse_json(read_file(out), out);
  EXPECT_LE(policy["bytes_per_token"], bytes * 3 / 2);

  const RunResult compared = run({"compare", demo_model(), demo_model(), "--tokens",
                                  "5,6,7,8,9,10,11,12,13,14", "--kv-policy", out, "--json"});
  ASSERT_EQ(compared.exit_code, 0) << compared.err;
  EXPECT_GT(parse_json(compared.out, "compare")["mean_kl"], 0);
  for (const char* dtype : {"auto", "fp8", "int8", "int4"}) {
    const RunResult r = run({"generate", demo_model(), "--prompt", "Hello", "-n", "4",
                             "--kv-cache-dtype", dtype, "--ignore-eos"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
  }
  expect_failure(run({"generate", demo_model(), "--prompt", "Hello", "--kv-policy", "none.json"}),
                 1, "none.json");
  EXPECT_EQ(run({"generate", demo_model(), "--kv-policy", out, "--kv-cache-dtype", "fp8"}).exit_code,
            2);
}

TEST(KvPolicyCommand, GoesOnWhereItWasStopped) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "Pack my box " + std::to_string(i) + " with jugs. ";
  write_file(file("kv-text2.txt"), text);
  const std::string out = file("kv-policy2.json");
  const std::vector<std::string> command{"kv-policy", demo_model(), "--budget", "1000000", "--text",
                                         file("kv-text2.txt"), "-o", out, "--context", "100"};
  // A journal of something else, and one cut off, start anew.
  write_file(out + ".measured", "{\"model\": \"another\"}\n{\"layer\": 0");
  const RunResult first = run(command);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const RunResult second = run(command);
  EXPECT_EQ(first.out, second.out);
}

}  // namespace
}  // namespace zaya
