#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/cli/run.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

class TemplateCommand : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "zaya-template-command";
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "empty");
    write_file(folder_ / "chat_template.jinja",
               "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}\n"
               "{% if tools %}{{ tools | length }} tools{% endif %}\n"
               "{{ flavour }}{{ '<assistant>' if add_generation_prompt }}");
    write_file(folder_ / "tokenizer_config.json", R"({"bos_token": {"content": "<s>"}})");
    write_file(folder_ / "messages.json", kMessages);
    write_file(folder_ / "tools.json", R"([{"type": "function", "function": {"name": "f"}}])");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string model() const { return folder_.string(); }
  std::string in(const std::string& name) const { return (folder_ / name).string(); }

  static constexpr const char* kMessages = R"([{"role": "user", "content": "Grüße \n"}])";
  fs::path folder_;
};

void expect_output(const RunResult& r, const std::string& out, const std::string& err = "") {
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out, out);
  EXPECT_EQ(r.err, err);
}

TEST_F(TemplateCommand, PrintsTheExactBytes) {
  expect_output(run({"template", model(), "--messages", in("messages.json")}),
                "<s><user>Grüße \n\n<assistant>");
  expect_output(run({"template", model(), "--messages", "-"}, kMessages),
                "<s><user>Grüße \n\n<assistant>");
  expect_output(
      run({"template", model(), "--messages", in("messages.json"), "--no-generation-prompt"}),
      "<s><user>Grüße \n\n");
}

TEST_F(TemplateCommand, PassesToolsAndVariables) {
  expect_output(run({"template", model(), "--messages", in("messages.json"), "--tools",
                     in("tools.json"), "--kwargs", R"({"flavour": "mint"})"}),
                "<s><user>Grüße \n\n1 toolsmint<assistant>");
}

TEST_F(TemplateCommand, SaysWhenItUsesTheBuiltInTemplate) {
  const RunResult r =
      run({"template", in("empty"), "--messages", "-", "--kwargs", R"({"enable_thinking": false})"},
          kMessages);
  expect_output(r,
                "<bos>\n<|im_start|>user\nGrüße \n<|im_end|>\n<|im_start|>assistant\n"
                "<think>\n</think>\n\n",
                "zaya: note: " + in("empty") +
                    " has no chat template; the built-in ZAYA1 template is used\n");
}

TEST_F(TemplateCommand, FailsInOneLine) {
  expect_failure(run({"template", model()}), 2, "--messages is required");
  expect_failure(run({"template", "--messages", "-"}, kMessages), 2, "model is required");
  expect_failure(run({"template", model(), "--messages", "-", "--tools", "-"}), 2,
                 "cannot both be stdin");
  expect_failure(run({"template", model(), "--messages", in("messages.json"), "--colour"}), 2,
                 "--colour");
  expect_failure(run({"template", in("absent"), "--messages", "-"}, kMessages), 1, "absent");
  expect_failure(run({"template", model(), "--messages", in("absent.json")}), 1, "absent.json");
  expect_failure(run({"template", model(), "--messages", "-"}, "[{"), 1, "stdin: byte");
  expect_failure(run({"template", model(), "--messages", "-"}, "{}"), 1, "a list of messages");
  expect_failure(run({"template", model(), "--messages", "-"}, "[{}]"), 1,
                 "messages[0]: the message has no role");
  expect_failure(
      run({"template", model(), "--messages", in("messages.json"), "--kwargs", "{enable"}), 1,
      "--kwargs");
  expect_failure(run({"template", model(), "--messages", in("messages.json"), "--kwargs", "[]"}), 1,
                 "kwargs");
  write_file(folder_ / "chat_template.jinja", "\n{{ raise_exception('only system turns') }}");
  expect_failure(run({"template", model(), "--messages", in("messages.json")}), 1,
                 "chat_template.jinja: line 2: only system turns");
  write_file(folder_ / "chat_template.jinja", "a\n{% if %}");
  expect_failure(run({"template", model(), "--messages", in("messages.json")}), 1,
                 "chat_template.jinja: line 2: Expected an expression");
}

TEST_F(TemplateCommand, Helps) {
  const RunResult r = run({"template", "--help"});
  EXPECT_EQ(r.exit_code, 0);
  for (const char* option : {"--messages", "--tools", "--kwargs", "--no-generation-prompt"}) {
    EXPECT_TRUE(contains(r.out, option)) << r.out;
  }
}

}  // namespace
}  // namespace zaya
