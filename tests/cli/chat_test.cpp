#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/demo_model.h"
#include "tests/cli/pseudo_terminal.h"
#include "tests/cli/run.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

RunResult chat(const std::string& input, std::vector<std::string> arguments = {}) {
  arguments.insert(arguments.begin(),
                   {"chat", demo_model(), "--seed", "1", "-n", "12", "--ignore-eos"});
  return run(arguments, input);
}

class ChatCommand : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "zaya-chat-test";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  Json saved(const std::string& name) const { return read_json_file(folder_ / name); }

  fs::path folder_;
};

TEST_F(ChatCommand, EachLineOfAPipeIsATurn) {
  const RunResult r = chat("/think off\nHello\n\nSecond\n/save " + file("c.json") + "\n");
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_TRUE(contains(r.err, "built-in ZAYA1 template")) << r.err;
  EXPECT_FALSE(contains(r.out, "\x1b"));
  const Json messages = saved("c.json")["messages"];
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[0], (Json{{"role", "user"}, {"content", "Hello"}}));
  EXPECT_EQ(messages[2]["content"], "Second");
  const auto answer = [&](int i) { return messages[i]["content"].get<std::string>(); };
  EXPECT_FALSE(answer(1).empty());
  EXPECT_EQ(r.out, answer(1) + (answer(1).ends_with('\n') ? "" : "\n") + answer(3) +
                       (answer(3).ends_with('\n') ? "" : "\n"));
}

TEST_F(ChatCommand, ReasoningIsShownOrHidden) {
  const std::vector<std::string> budget = {"--think-budget", "4"};
  const RunResult hidden = chat("Hello\n/think last\n", budget);
  EXPECT_FALSE(contains(hidden.out, "think>")) << hidden.out;
  const RunResult shown = chat("/think show\nHello\n", budget);
  EXPECT_TRUE(shown.out.starts_with("<think>\n")) << shown.out;
  EXPECT_TRUE(contains(shown.out, "\n</think>\n\n")) << shown.out;
  // The same numbers are drawn: the answers agree, and the last reasoning is what was hidden.
  const auto after = shown.out.substr(shown.out.find("</think>") + 10);
  EXPECT_TRUE(hidden.out.starts_with(after)) << hidden.out;
  const auto reasoning = shown.out.substr(8, shown.out.find("\n</think>") - 8);
  EXPECT_TRUE(hidden.out.ends_with(reasoning + "\n")) << hidden.out;
  EXPECT_TRUE(contains(chat("Hello\n", {"--thinking", "show"}).out, "<think>"));
}

TEST_F(ChatCommand, ALaterTurnComputesOnlyWhatIsNew) {
  const RunResult r = chat("Hello\nSecond\n", {"--no-think", "--stats"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  // Everything but the last token of the first answer, which was never fed.
  std::size_t first_prompt = 0;
  std::size_t kept = 0;
  std::istringstream lines(r.err);
  for (std::string line; std::getline(lines, line);) {
    std::size_t k = 0;
    std::size_t computed = 0;
    if (std::sscanf(line.c_str(), "[prompt: %zu tokens kept, %zu computed", &k, &computed) != 2) {
      continue;
    }
    if (first_prompt == 0) first_prompt = computed;
    kept = k;
  }
  EXPECT_GT(first_prompt, 5U) << r.err;
  EXPECT_EQ(kept, first_prompt + 11) << r.err;
}

TEST_F(ChatCommand, AKeptSequenceChangesNoAnswer) {
  // Loading makes the second turn start from nothing; its answer must be the same.
  const std::vector<std::string> options = {"--no-think", "--compute", "f32", "--greedy"};
  const RunResult kept = chat(
      "Hello\n/save " + file("one.json") + "\nSecond\n/save " + file("two.json") + "\n", options);
  ASSERT_EQ(kept.exit_code, 0) << kept.err;
  const RunResult anew =
      chat("/load " + file("one.json") + "\nSecond\n/save " + file("three.json") + "\n", options);
  ASSERT_EQ(anew.exit_code, 0) << anew.err;
  const Json one = saved("one.json");
  ASSERT_TRUE(one["messages"][1]["content"].is_string());
  EXPECT_EQ(saved("two.json")["messages"].size(), 4U);
  EXPECT_EQ(saved("three.json")["messages"].size(), 4U);
  EXPECT_EQ(saved("three.json")["messages"][2], saved("two.json")["messages"][2]);
}

TEST_F(ChatCommand, SystemMessageAndReset) {
  const RunResult r = chat("/system\n/system Be brief.\n/system\nHello\n/reset\n/save " +
                               file("a.json") + "\n/system off\n/save " + file("b.json") + "\n",
                           {"--no-think"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_TRUE(r.out.starts_with("(none)\nBe brief.\n")) << r.out;
  EXPECT_EQ(saved("a.json")["messages"],
            (Json::array({Json{{"role", "system"}, {"content", "Be brief."}}})));
  EXPECT_EQ(saved("b.json")["messages"], Json::array());
}

TEST_F(ChatCommand, SaveAndLoadRoundTrip) {
  ASSERT_EQ(chat("Hello\n/save " + file("a.json") + "\n",
                 {"--system", "Be brief.", "--no-think", "--temp", "0.5", "--top-k", "7"})
                .exit_code,
            0);
  const RunResult r = chat("/save " + file("b.json") + "\n", {"--load", file("a.json")});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_TRUE(contains(r.err, "loaded 3 messages"));
  EXPECT_EQ(saved("b.json"), saved("a.json"));
  EXPECT_EQ(saved("a.json")["settings"]["think"], false);
  EXPECT_EQ(saved("a.json")["settings"]["temperature"], 0.5);
  EXPECT_EQ(saved("a.json")["settings"]["top_k"], 7);
}

TEST_F(ChatCommand, LoadChecksTheFile) {
  const auto message = [&](const std::string& text) {
    write_file(folder_ / "bad.json", text);
    const RunResult r = chat("/load " + file("bad.json") + "\n");
    EXPECT_EQ(r.exit_code, 1) << r.err;
    return r.err;
  };
  const auto with = [](const std::string& messages) {
    return R"({"format": "zaya-chat", "version": 1, "messages": )" + messages + "}";
  };
  EXPECT_TRUE(contains(message("{"), "not valid JSON"));
  EXPECT_TRUE(contains(message("{}"), "format"));
  EXPECT_TRUE(contains(message(R"({"format": "zaya-chat", "version": 2})"), "version"));
  EXPECT_TRUE(contains(message(with("5")), "messages"));
  EXPECT_TRUE(contains(message(with(R"([{"role": "assistant", "content": ""}])")), "role"));
  EXPECT_TRUE(contains(message(with(R"([{"role": "user", "content": ""}])")), "answer at the end"));
  EXPECT_TRUE(contains(message(with(R"([{"role": "user", "content": 5}])")), "content"));
  EXPECT_TRUE(contains(
      message(with("[]").substr(0, with("[]").size() - 1) + R"(, "settings": {"top_p": 7}})"),
      "top_p"));
}

TEST_F(ChatCommand, AScriptEndsAtTheFirstError) {
  const RunResult r = chat("/nonsense\nHello\n");
  EXPECT_EQ(r.exit_code, 1);
  EXPECT_TRUE(contains(r.err, "/nonsense: no such command")) << r.err;
  EXPECT_EQ(r.out, "");
  for (const char* line : {"/save", "/load", "/think maybe", "/stats", "/save /no/such/dir/x"}) {
    EXPECT_EQ(chat(std::string(line) + "\n").exit_code, 1) << line;
  }
  // /exit ends it before.
  EXPECT_EQ(chat("/exit\n/nonsense\n").exit_code, 0);
}

TEST_F(ChatCommand, AMessageMayBeginWithASlash) {
  ASSERT_EQ(chat("//etc/hosts\n/save " + file("a.json") + "\n").exit_code, 0);
  EXPECT_EQ(saved("a.json")["messages"][0]["content"], "/etc/hosts");
}

TEST_F(ChatCommand, AConversationPastTheContextIsAClearError) {
  std::string longest;
  for (int i = 0; i < 5000; ++i) longest += "Q ";
  const RunResult r = chat(longest + "\n");
  EXPECT_EQ(r.exit_code, 1);
  EXPECT_TRUE(contains(r.err, "context of 4096 tokens")) << r.err;
}

TEST_F(ChatCommand, WrongUsage) {
  EXPECT_EQ(chat("", {"--thinking", "maybe"}).exit_code, 2);
  EXPECT_EQ(chat("", {"--logprobs", "2"}).exit_code, 2);
  EXPECT_EQ(run({"chat"}).exit_code, 2);
  const RunResult help = run({"chat", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* option : {"--system", "--no-think", "--thinking", "--load", "--stats"}) {
    EXPECT_TRUE(contains(help.out, option)) << option;
  }
  const RunResult bare = run({"chat", std::string(ZAYA_TEST_DATA) + "/goldens/native"}, "x\n");
  EXPECT_EQ(bare.exit_code, 1);
  EXPECT_TRUE(contains(bare.err, "tokenizer.json")) << bare.err;
}

constexpr const char* kPrompt = "\x1b[1m>\x1b[0m ";
constexpr const char* kPasteMode = "\x1b[?2004h";  // comes just before a prompt

class ChatOnATerminal : public ChatCommand {
 protected:
  // Short answers, unless more options say otherwise.
  static std::vector<std::string> arguments(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"chat", demo_model(), "--seed", "1"});
    return more;
  }
  static void wait_for_prompt(PseudoTerminal& terminal) {
    terminal.read_until(kPasteMode);
    terminal.read_until(kPrompt);
  }
};

TEST_F(ChatOnATerminal, LinesAreEditedAndRemembered) {
  PseudoTerminal terminal(arguments({"-n", "5", "--ignore-eos"}));
  wait_for_prompt(terminal);
  terminal.type("helpo\x7f\x7flo \u00e9\u4f60x\x7f\r");
  wait_for_prompt(terminal);
  terminal.type("\x1b[A!\r");  // up: the line before, and one more character
  wait_for_prompt(terminal);
  terminal.type("\x1b[200~two\rlines\x1b[201~\r");  // pasted
  wait_for_prompt(terminal);
  terminal.type("three\x1b\rlines\r");  // Alt-Enter
  wait_for_prompt(terminal);
  terminal.type("/save " + file("a.json") + "\r");
  wait_for_prompt(terminal);
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
  const Json messages = saved("a.json")["messages"];
  ASSERT_EQ(messages.size(), 8U);
  EXPECT_EQ(messages[0]["content"], "hello \u00e9\u4f60");
  EXPECT_EQ(messages[2]["content"], "hello \u00e9\u4f60!");
  EXPECT_EQ(messages[4]["content"], "two\nlines");
  EXPECT_EQ(messages[6]["content"], "three\nlines");
}

TEST_F(ChatOnATerminal, CtrlCStopsTheAnswerAndNotTheProgram) {
  PseudoTerminal terminal(arguments({"--ignore-eos"}));
  wait_for_prompt(terminal);
  terminal.type("Hello\r");
  terminal.read_until("\x1b[2m");  // it thinks
  terminal.type("\x03");
  EXPECT_TRUE(terminal.read_until("[stopped]").ends_with("[stopped]"));
  wait_for_prompt(terminal);
  terminal.type("given up\x03");  // at the prompt it gives up the line
  wait_for_prompt(terminal);
  terminal.type("/save " + file("a.json") + "\r");
  wait_for_prompt(terminal);
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.wait(), 0);
  const Json messages = saved("a.json")["messages"];
  ASSERT_EQ(messages.size(), 2U);  // what there was of the answer is part of the conversation
  EXPECT_EQ(messages[0]["content"], "Hello");
}

TEST_F(ChatOnATerminal, ThinkingIsDimAndFolds) {
  PseudoTerminal terminal(arguments({"-n", "12", "--ignore-eos", "--think-budget", "4"}));
  wait_for_prompt(terminal);
  terminal.type("Hello\r");
  const std::string shown = terminal.read_until(kPasteMode);
  const auto dim = shown.find("\x1b[2m");
  ASSERT_NE(dim, std::string::npos);
  const auto plain = shown.find("\x1b[0m", dim);
  ASSERT_NE(plain, std::string::npos);
  EXPECT_GT(plain, dim + 6);
  EXPECT_FALSE(contains(shown, "think>"));
  terminal.type("/think hide\r");
  wait_for_prompt(terminal);
  terminal.type("Again\r");
  const std::string hidden = terminal.read_until(kPasteMode);
  EXPECT_TRUE(contains(hidden, "thought for 5 tokens")) << hidden;  // the budget and a newline
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST_F(ChatOnATerminal, AMistakeIsToldAndTheConversationGoesOn) {
  PseudoTerminal terminal(arguments({"-n", "5"}));
  wait_for_prompt(terminal);
  terminal.type("/nonsense\r");
  EXPECT_TRUE(contains(terminal.read_until(kPasteMode), "no such command"));
  terminal.type("/help\r");
  EXPECT_TRUE(contains(terminal.read_until(kPasteMode), "/system"));
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
}

}  // namespace
}  // namespace zaya
