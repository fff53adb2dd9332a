// zaya bench: what it prints, and what it refuses.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/cli/run.h"

namespace zaya {
namespace {

/// A run that takes no time on a small model.
RunResult bench(const std::vector<std::string>& arguments) {
  std::vector<std::string> all{"bench", golden("native"), "--probe-size", "2MB", "--repeat", "2"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run(all);
}

TEST(Bench, TableHasALineForEveryCombination) {
  const RunResult r = bench({"--prompt", "8,40", "--depth", "0,33", "--batch", "1,3", "--decode",
                             "4", "--threads", "1,2", "--beside-busy"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.err, "");
  const auto count = [&](const std::string& part) {
    std::size_t n = 0;
    for (auto at = r.out.find(part); at != std::string::npos; at = r.out.find(part, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(count("\nprompt 8 "), 2U) << r.out;
  EXPECT_EQ(count("\nprompt 40 "), 2U) << r.out;
  EXPECT_EQ(count("\ndecode at 0 "), 4U) << r.out;
  EXPECT_EQ(count("\ndecode at 33 "), 4U) << r.out;
  EXPECT_EQ(count(" x\n"), 8U) << "how much slower beside a busy process\n" << r.out;
  for (const char* part : {"1 thread ", "2 threads ", "peak memory", "stolen", "tok/s median",
                           "GB/s", "TFLOP/s", "bound", "at most", "reached", "inputs of 16"}) {
    EXPECT_GE(count(part), 1U) << part << "\n" << r.out;
  }
}

TEST(Bench, JsonHoldsEveryFigureAndTheyAgree) {
  const RunResult r = bench({"--prompt", "40", "--depth", "33", "--batch", "3", "--decode", "4",
                             "--threads", "2", "--compute", "f32", "--beside-busy", "--json"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(std::count(r.out.begin(), r.out.end(), '\n'), 1);
  const Json json = parse_json(r.out, "bench");
  EXPECT_EQ(json["compute"], "f32");
  EXPECT_GT(json["file_bytes"].get<double>(), 0);
  EXPECT_GT(json["peak_memory_bytes"].get<double>(), 1e6);
  EXPECT_EQ(json["loads"].size(), 1U);
  EXPECT_GE(json["loads"][0]["first_token_seconds"], json["loads"][0]["load_seconds"]);
  ASSERT_EQ(json["lines"].size(), 2U);
  for (const Json& line : json["lines"]) {
    const auto number = [&](const char* key) { return line.at(key).get<double>(); };
    EXPECT_EQ(line["threads"], 2);
    EXPECT_GT(number("tokens_per_second_median"), 0);
    EXPECT_GE(number("tokens_per_second_best"), number("tokens_per_second_median"));
    EXPECT_GT(number("share_of_roofline_best"), 0);
    EXPECT_NEAR(number("share_of_roofline_best"),
                number("tokens_per_second_best") / number("tokens_per_second_at_most"), 1e-9);
    const double seconds = number("tokens") / number("tokens_per_second_best");
    const double bytes = number("weight_bytes") + number("state_bytes");
    EXPECT_NEAR(number("bytes_per_second") * seconds / bytes, 1, 1e-9);
    EXPECT_NEAR(number("operations_per_second") * seconds / number("operations"), 1, 1e-9);
    // In f32 every product is bound by the fp32 units.
    const Json& roofline = line["roofline"];
    const double memory = bytes / roofline["read_bytes_per_second"].get<double>();
    const double compute =
        number("operations") / roofline["f32_operations_per_second"].get<double>();
    EXPECT_EQ(line["bound"], memory >= compute ? "memory" : "compute");
    EXPECT_NEAR(number("tokens") / number("tokens_per_second_at_most") / std::max(memory, compute),
                1, 1e-9);
  }
  const Json& prompt = json["lines"][0];
  EXPECT_EQ(prompt["test"], "prompt");
  EXPECT_EQ(prompt["context"], 40);
  EXPECT_FALSE(prompt.contains("times_slower_beside_busy"));
  const Json& decode = json["lines"][1];
  EXPECT_EQ(decode["test"], "decode");
  EXPECT_EQ(decode["batch"], 3);
  EXPECT_EQ(decode["tokens"], 12);
  EXPECT_GT(decode["times_slower_beside_busy"].get<double>(), 0);
}

TEST(Bench, AFilledCacheIsCountedLikeARealOne) {
  const auto lines = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"--depth", "100", "--decode", "2", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const RunResult r = bench(arguments);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return parse_json(r.out, "bench")["lines"];
  };
  const Json real = lines({});
  const Json filled = lines({"--fill-cache"});
  ASSERT_EQ(real.size(), 1U);
  ASSERT_EQ(filled.size(), 1U);
  EXPECT_EQ(filled[0]["state_bytes"], real[0]["state_bytes"]);
  EXPECT_EQ(filled[0]["context"], 100);
}

TEST(Bench, MeasuresOnlyWhatIsAskedFor) {
  const auto tests = [](const std::vector<std::string>& arguments) {
    std::vector<std::string> all = arguments;
    all.emplace_back("--json");
    std::string text;
    const RunResult r = bench(all);
    const Json json = parse_json(r.out, "bench");
    for (const Json& line : json["lines"]) {
      text += line["test"].get<std::string>() + line["context"].dump() + " ";
    }
    return text;
  };
  EXPECT_EQ(tests({"--prompt", "5"}), "prompt5 ");
  EXPECT_EQ(tests({"--batch", "2", "--decode", "1"}), "decode128 ");
  EXPECT_EQ(tests({"--decode", "1"}), "decode128 ");
  EXPECT_EQ(tests({}), "prompt512 decode128 ");
}

TEST(Bench, WrongUsageAndBadInput) {
  const RunResult help = run({"bench", "--help"});
  EXPECT_TRUE(contains(help.out, "Usage: zaya bench")) << help.out;
  expect_failure(run({"bench"}), 2, "model is required");
  expect_failure(bench({"--prompt", "0"}), 2, "--prompt");
  expect_failure(bench({"--prompt", "5,x"}), 2, "--prompt");
  expect_failure(bench({"--batch", "1,-2"}), 2, "--batch");
  expect_failure(bench({"--decode", "0"}), 2, "--decode");
  expect_failure(bench({"--probe-size", "12"}), 2, "--probe-size");
  expect_failure(run({"bench", "/nowhere", "--probe-size", "2MB"}), 1, "/nowhere");
  // The model's context is 4,096.
  expect_failure(bench({"--prompt", "4097"}), 1, "expected at most 4096 tokens, found 4097 tokens");
  expect_failure(bench({"--depth", "4090", "--decode", "7"}), 1,
                 "expected at most 4096 tokens, found 4097 tokens");
}

}  // namespace
}  // namespace zaya
