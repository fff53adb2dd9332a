#include "text/chat.h"

#include <filesystem>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/text/fixed_clock.h"
#include "zaya/error.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

ChatTemplate load_package(const std::string& package) {
  if (package == "builtin") return ChatTemplate::builtin();
  const fs::path folder = fs::path(ZAYA_NPM_DATA) / package / "models";
  if (!fs::exists(folder)) {
    throw Error({.where = folder.string(), .what = "the npm package is not there; run ./test"});
  }
  return ChatTemplate::load(folder);
}

ChatRequest request_of(const Json& chat) {
  ChatRequest request{.messages = chat.at("messages")};
  if (chat.contains("tools")) request.tools = chat.at("tools");
  if (chat.contains("kwargs")) request.kwargs = chat.at("kwargs");
  request.add_generation_prompt = chat.value("add_generation_prompt", true);
  return request;
}

// tests/text/record_templates.py recorded what Python's jinja2 does.
TEST(Chat, AgreesWithPythonOnRealTemplates) {
  const Json recorded = read_json_file(ZAYA_TEST_DATA "/templates/chats.json");
  std::map<std::string, ChatTemplate> templates;
  std::size_t outputs = 0;
  for (const Json& c : recorded.at("cases")) {
    const auto package = c.at("package").get<std::string>();
    const auto name = c.at("chat").get<std::string>();
    SCOPED_TRACE(std::string(package).append(" ").append(name));
    if (!templates.contains(package)) templates.emplace(package, load_package(package));
    const ChatRequest request = request_of(recorded.at("chats").at(name));
    const bool fails = c.contains("error");
    try {
      const std::string prompt = templates.at(package).render(request, fixed_clock());
      ASSERT_FALSE(fails) << "rendered " << prompt;
      EXPECT_EQ(prompt, c.at("output").get<std::string>());
      ++outputs;
    } catch (const Error& e) {
      ASSERT_TRUE(fails) << e.what();
      if (c.at("exact").get<bool>()) {
        EXPECT_EQ(e.detail().what, c.at("error").get<std::string>());
      }
    }
  }
  EXPECT_GT(outputs, 400U);
}

class ChatFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "zaya-chat-folder";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const char* name, const std::string& text) const { write_file(folder_ / name, text); }
  std::string render(const ChatRequest& request = {}) const {
    return ChatTemplate::load(folder_).render(request);
  }
  std::string error(const ChatRequest& request = {}) const {
    try {
      return "no error: " + render(request);
    } catch (const Error& e) {
      return e.what();
    }
  }

  fs::path folder_;
};

TEST_F(ChatFolder, PrefersTheJinjaFileThenTheConfigThenTheJsonFile) {
  write("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(render(), "json");
  write("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_EQ(render(), "json");
  write("tokenizer_config.json", R"({"chat_template": "config"})");
  EXPECT_EQ(render(), "config");
  write("chat_template.jinja", "file");
  EXPECT_EQ(render(), "file");
  EXPECT_TRUE(ChatTemplate::load(folder_).notes().empty());
}

TEST_F(ChatFolder, TakesTheToolTemplateForTools) {
  write("tokenizer_config.json", R"({"chat_template": [
      {"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]})");
  EXPECT_EQ(render(), "plain");
  EXPECT_EQ(render({.tools = Json::array()}), "tools");
  EXPECT_EQ(ChatTemplate::load(folder_).source(true), "tools");
  write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  EXPECT_NE(error().find("no chat template is named 'default': found 'rag'"), std::string::npos);
}

TEST_F(ChatFolder, PassesSpecialTokensAndVariables) {
  write("chat_template.jinja",
        "{{ bos_token }}|{{ eos_token }}|{{ pad_token is defined }}|{{ image_token }}|"
        "{{ additional_special_tokens }}|{{ tools }}|{{ documents }}|{{ add_generation_prompt }}|"
        "{{ colour }}");
  write("tokenizer_config.json", R"({
      "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null,
      "add_bos_token": true, "extra_special_tokens": {"image_token": "<img>"},
      "additional_special_tokens": ["<a>", {"content": "<b>"}]})");
  write("special_tokens_map.json", R"({"bos_token": "ignored"})");
  EXPECT_EQ(render({.kwargs = {{"colour", "red"}}}),
            "<s>|</s>|False|<img>|['<a>', '<b>']|None|None|True|red");
  EXPECT_EQ(render({.kwargs = {{"bos_token", "mine"}}, .add_generation_prompt = false}),
            "mine|</s>|False|<img>|['<a>', '<b>']|None|None|False|");
}

TEST_F(ChatFolder, FallsBackToTheBuiltInTemplateAndSaysSo) {
  const ChatTemplate chat = ChatTemplate::load(folder_);
  ASSERT_EQ(chat.notes().size(), 1U);
  EXPECT_NE(chat.notes()[0].find("built-in ZAYA1 template"), std::string::npos);
  EXPECT_EQ(chat.render({.messages = {{{"role", "user"}, {"content", "Hi"}}}}),
            "<bos>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n");
}

TEST_F(ChatFolder, NamesWhatIsWrong) {
  write("chat_template.jinja", "\n\n{{ messages.x.y }}");
  EXPECT_NE(error().find("chat_template.jinja: line 3: 'list object' has no attribute 'x'"),
            std::string::npos);
  write("chat_template.jinja", "{% for %}");
  EXPECT_NE(error().find("chat_template.jinja: line 1: "), std::string::npos);
  fs::remove(folder_ / "chat_template.jinja");
  write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_NE(error().find("a template or a list of them"), std::string::npos);
  write("tokenizer_config.json", R"({"chat_template": "{{ x.y }}"})");
  EXPECT_NE(error().find("tokenizer_config.json: chat_template: line 1: 'x' is undefined"),
            std::string::npos);
  write("tokenizer_config.json", "[]");
  EXPECT_NE(error().find("expected an object"), std::string::npos);
  write("tokenizer_config.json", "{}");
  EXPECT_NE(error({.messages = {{{"content", "x"}}}}).find("messages[0]: the message has no role"),
            std::string::npos);
  EXPECT_NE(error({.messages = {"x"}}).find("messages[0]"), std::string::npos);
  EXPECT_NE(error({.tools = 5}).find("tools"), std::string::npos);
  EXPECT_NE(error({.kwargs = {{"tools", 5}}}).find("'tools' has a place of its own"),
            std::string::npos);
  EXPECT_THROW(ChatTemplate::load(folder_ / "absent"), Error);
}

}  // namespace
}  // namespace zaya
