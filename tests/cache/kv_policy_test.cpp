// Tables of KV formats, as users write them.
#include "cache/kv_policy.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya {
namespace {

ModelConfig two_layers() {
  ModelConfig config;
  config.layers = 2;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_dim = 32;
  config.sliding = {false, false};
  return config;
}

TEST(KvPolicyFile, IsReadAsItWasWritten) {
  const auto file = std::filesystem::path(testing::TempDir()) / "kv_policy.json";
  const KvPolicy policy{{KvFormat::int8, KvFormat::int4}, {KvFormat::bf16, KvFormat::fp8}};
  write_file(file, kv_policy_json(policy, {{"made_by", "a test"}}));
  EXPECT_EQ(read_kv_policy(file, two_layers()), policy);
  EXPECT_EQ(uniform_kv_policy(two_layers(), "auto"), KvPolicy{});
  EXPECT_EQ(uniform_kv_policy(two_layers(), "fp8_e4m3"),
            KvPolicy(2, {KvFormat::fp8, KvFormat::fp8}));
}

TEST(KvPolicyFile, MistakesAreNamed) {
  const auto file = std::filesystem::path(testing::TempDir()) / "kv_policy_bad.json";
  const auto message = [&](const std::string& text) -> std::string {
    write_file(file, text);
    try {
      read_kv_policy(file, two_layers());
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(message("[]"), "object"));
  EXPECT_TRUE(has(message("{}"), "layers"));
  EXPECT_TRUE(has(message(R"({"layers": 3})"), "array"));
  EXPECT_TRUE(has(message(R"({"layers": [{"keys": "fp8", "values": "fp8"}]})"), "2 layers"));
  EXPECT_TRUE(has(message(R"({"layers": [{"keys": "fp8", "values": "fp8"}, {"keys": "fp8"}]})"),
                  "layer 1"));
  EXPECT_TRUE(has(
      message(R"({"layers": [{"keys": "f32", "values": "f32"}, {"keys": "fp8", "values": 1}]})"),
      "bf16, fp8, int8 or int4"));
}

}  // namespace
}  // namespace zaya
