// --adapter of the commands that generate.
#include <cmath>
#include <cstring>
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

class AdapterOption : public testing::Test {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  /// Writes a rank 1 adapter of the first layer's o projection, with `b` in all of B.
  void write(const std::string& model, float b, const Json& more = Json::object()) const {
    const Json config = read_json_file(fs::path(model) / "config.json");
    const auto hidden = config["hidden_size"].get<std::size_t>();
    const std::size_t in =
        config["num_attention_heads"].get<std::size_t>() * config["head_dim"].get<std::size_t>();
    std::vector<float> values(in + hidden, b);
    for (std::size_t i = 0; i < in; ++i) values[i] = std::sin(static_cast<float>(i));
    const std::string module = "base_model.model.model.layers.0.self_attn.o_proj.";
    const Json tensors = {{module + "lora_A.weight",
                           {{"dtype", "F32"}, {"shape", {1, in}}, {"data_offsets", {0, 4 * in}}}},
                          {module + "lora_B.weight",
                           {{"dtype", "F32"},
                            {"shape", {hidden, 1}},
                            {"data_offsets", {4 * in, 4 * values.size()}}}}};
    const std::string header = tensors.dump();
    std::string file;
    for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xff);
    file += header;
    file.resize(file.size() + 4 * values.size());
    std::memcpy(file.data() + file.size() - 4 * values.size(), values.data(), 4 * values.size());
    fs::create_directories(folder_);
    write_file(folder_ / "adapter_model.safetensors", file);
    Json adapter = {{"peft_type", "LORA"},
                    {"r", 1},
                    {"lora_alpha", 8},
                    {"target_modules", {"o_proj"}},
                    {"layers_to_transform", {0}}};
    adapter.update(more);
    write_file(folder_ / "adapter_config.json", adapter.dump());
  }
  RunResult generate(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{
        "generate", golden("native"), "--tokens",     "301,282,5,9", "-n",
        "12",       "--greedy",       "--ignore-eos", "--compute",   "f32"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  RunResult adapted() const { return generate({"--adapter", folder_.string()}); }

  fs::path folder_ = fs::path(testing::TempDir()) / "zaya-adapter-option";
};

TEST_F(AdapterOption, ChangesWhatIsGenerated) {
  const RunResult plain = generate();
  write(golden("native"), 0.5F);
  const RunResult changed = adapted();
  EXPECT_EQ(changed.exit_code, 0) << changed.err;
  EXPECT_NE(changed.out, plain.out);
  EXPECT_EQ(adapted().out, changed.out);
  write(golden("native"), 0);
  EXPECT_EQ(adapted().out, plain.out) << "an adapter that adds zero";
}

TEST_F(AdapterOption, ChangesAConversation) {
  const auto answer = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"chat", demo_model(), "--seed", "1", "-n", "12", "--ignore-eos"});
    const RunResult r = run(more, "/think off\nHello\nAgain\n");
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return r.out;
  };
  write(demo_model(), 0.5F);
  EXPECT_NE(answer({"--adapter", folder_.string()}), answer({}));
  write(demo_model(), 0);
  EXPECT_EQ(answer({"--adapter", folder_.string()}), answer({}));
}

TEST_F(AdapterOption, SaysWhatIsWrongInOneLine) {
  expect_failure(adapted(), 1, "no such folder, and not a hub id");
  fs::create_directories(folder_);
  expect_failure(adapted(), 1, "adapter_model.safetensors");
  write(golden("native"), 0.5F, {{"use_dora", true}});
  expect_failure(adapted(), 1, "bad value for 'use_dora': expected false: DoRA is not supported");
  write(golden("native"), 0.5F, {{"r", 2}});
  expect_failure(adapted(), 1, "o_proj.lora_A.weight\": wrong shape: expected [2, ");
  write(demo_model(), 0.5F);
  expect_failure(adapted(), 1, "wrong shape");
  write(golden("native"), NAN);
  expect_failure(adapted(), 1, "a value is not a finite number");
  write_file(folder_ / "adapter_model.safetensors", "not one");
  expect_failure(adapted(), 1, "adapter_model.safetensors: ");
}

TEST_F(AdapterOption, IsInTheHelp) {
  for (const char* command : {"generate", "chat"}) {
    EXPECT_TRUE(contains(run({command, "--help"}).out, "--adapter FOLDER")) << command;
  }
}

}  // namespace
}  // namespace zaya
