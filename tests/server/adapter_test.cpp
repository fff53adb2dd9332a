// LoRA adapters of a server: loaded at its start and later, and named as models.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "tests/checkpoint/adapter_files.h"
#include "tests/server/server_process.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

/// A folder with adapters "one" and "two"; "bad" is damaged, and beside it is "outside".
const std::string& folder() {
  struct Folder {
    std::string path = demo_model() + "-adapters";
    Folder() {
      const ModelConfig config = read_config(demo_model()).model;
      const auto write = [&](const std::string& name, std::uint64_t seed) {
        AdapterFiles files;
        files.config["lora_alpha"] = 64;
        files.config["target_modules"] = {"q_proj", "o_proj"};
        for (std::size_t layer = 0; layer < 4; ++layer) {
          files.add_layer(config, Layout::native, layer, {Projection::q, Projection::o}, seed);
        }
        files.write(name);
      };
      write(path + "/in/one", 1);
      write(path + "/in/two", 2);
      write(path + "/outside", 3);
      fs::create_directories(path + "/in/bad");
      write_file(path + "/in/bad/adapter_config.json", "{");
      fs::create_directory_symlink(path + "/outside", path + "/in/link");
    }
    ~Folder() { fs::remove_all(path); }
  };
  static const Folder made;
  return made.path;
}

std::string text_of(std::uint16_t port, const char* model) {
  const HttpAnswer answer =
      post(port, "/v1/completions", {{"model", model}, {"prompt", "Once"}, {"temperature", 0}});
  EXPECT_EQ(answer.status, 200) << answer.body;
  return answer.json().at("choices")[0].at("text");
}

TEST(Adapters, AreModelsBesideTheModel) {
  ServerProcess own({"--served-model-name", "tiny", "--adapter", "first=" + folder() + "/in/one",
                     "--adapter-folder", folder() + "/in"});
  const auto port = own.port();
  const auto load = [&](const Json& body) { return post(port, "/v1/load_lora_adapter", body); };
  const auto unload = [&](const char* name) {
    return post(port, "/v1/unload_lora_adapter", {{"lora_name", name}}).status;
  };
  EXPECT_EQ(load({{"lora_name", "second"}, {"lora_path", "two"}}).status, 200);
  EXPECT_EQ(load({{"lora_name", "same"}, {"lora_path", folder() + "/in/one"}}).status, 200);
  const Json list = get(port, "/v1/models").json().at("data");
  ASSERT_EQ(list.size(), 4U);
  EXPECT_EQ(list[1].at("id"), "first");
  EXPECT_EQ(list[1].at("parent"), "tiny");
  EXPECT_TRUE(list[0].at("parent").is_null());
  const std::string plain = text_of(port, "tiny");
  const std::string first = text_of(port, "first");
  EXPECT_NE(first, plain);
  EXPECT_NE(text_of(port, "second"), first);
  EXPECT_EQ(text_of(port, "same"), first);

  for (const char* path :
       {"none", "..", "../outside", "link", "", ".", "/etc", "bad/../../outside"}) {
    const HttpAnswer answer = load({{"lora_name", "x"}, {"lora_path", path}});
    EXPECT_EQ(answer.status, 400) << path;
    EXPECT_EQ(answer.json().at("error").at("param"), "lora_path") << answer.body;
  }
  EXPECT_EQ(load({{"lora_name", "x"}, {"lora_path", "bad"}}).status, 400);
  EXPECT_EQ(load({{"lora_name", "tiny"}, {"lora_path", "two"}}).status, 400);
  EXPECT_EQ(load({{"lora_name", "second"}, {"lora_path", "two"}}).status, 400);
  EXPECT_EQ(load({{"lora_name", "x"}}).status, 400);
  EXPECT_EQ(unload("second"), 200);
  EXPECT_EQ(unload("second"), 404);
  EXPECT_EQ(unload("tiny"), 404);
  EXPECT_EQ(post(port, "/v1/completions", {{"model", "second"}, {"prompt", "a"}}).status, 404);
  EXPECT_EQ(text_of(port, "tiny"), plain);
}

TEST(Adapters, AreNotLoadedFromAnywhere) {
  ServerProcess own;
  EXPECT_EQ(post(own.port(), "/v1/load_lora_adapter",
                 {{"lora_name", "x"}, {"lora_path", folder() + "/in/one"}})
                .status,
            403);
  EXPECT_EQ(post(own.port(), "/v1/unload_lora_adapter", {{"lora_name", "x"}}).status, 403);
  expect_failure(run({"serve", demo_model(), "--port", "0", "--adapter", folder()}), 2,
                 "NAME=FOLDER");
}

}  // namespace
}  // namespace zaya
