#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/run.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

// <s> 0 (special, put before), <unk> 1, a 2, b 3, ▁ 4, ab 5, newline 6, é 7, " 8.
constexpr const char* kTokenizer = R"({
  "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
  "pre_tokenizer": null,
  "post_processor": {"type": "TemplateProcessing", "special_tokens":
      {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                 {"Sequence": {"id": "A", "type_id": 0}}]},
  "decoder": {"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
      {"type": "ByteFallback"}, {"type": "Fuse"}]},
  "model": {"type": "BPE", "unk_token": "<unk>", "merges": [["a", "b"]],
            "vocab": {"<s>": 0, "<unk>": 1, "a": 2, "b": 3, "▁": 4, "ab": 5, "\n": 6, "é": 7,
                      "\"": 8}}
})";

class TokenizeCommands : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "zaya-tokenize-commands";
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "empty");
    write_file(folder_ / "tokenizer.json", kTokenizer);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string model() const { return folder_.string(); }
  std::string in(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

void expect_output(const RunResult& r, const std::string& out) {
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out, out);
  EXPECT_EQ(r.err, "");
}

/// Failed in a later line, named by `part`, after the results `out` of those before.
void expect_failure_after(const std::string& out, RunResult r, const std::string& part) {
  EXPECT_EQ(r.out, out);
  r.out.clear();
  expect_failure(r, 1, part);
}

TEST_F(TokenizeCommands, EachExplainsItself) {
  for (const std::string command : {"tokenize", "detokenize"}) {
    const RunResult r = run({command, "--help"});
    EXPECT_EQ(r.exit_code, 0);
    EXPECT_NE(r.out.find("Usage: zaya " + command), std::string::npos) << r.out;
    EXPECT_NE(r.out.find("--jsonl"), std::string::npos) << r.out;
    EXPECT_EQ(r.err, "");
  }
}

TEST_F(TokenizeCommands, TokenizeReadsArgumentFileOrStandardInput) {
  expect_output(run({"tokenize", model(), "ab aé"}), "[5,4,2,7]\n");
  expect_output(run({"tokenize", model(), ""}, "ab"), "[]\n");
  expect_output(run({"tokenize", model(), "--", "--a"}), "[1,1,2]\n");
  expect_output(run({"tokenize", model()}, "ab\n"), "[5,6]\n");
  expect_output(run({"tokenize", model()}), "[]\n");
  write_file(in("text"), "b\n\nb");
  expect_output(run({"tokenize", model(), "--file", in("text")}, "ab"), "[3,6,6,3]\n");
}

TEST_F(TokenizeCommands, TokenizeAddsSpecialTokensOnlyWhenAsked) {
  expect_output(run({"tokenize", model(), "<s>ab"}), "[0,5]\n");
  expect_output(run({"tokenize", model(), "ab", "--add-special-tokens"}), "[0,5]\n");
  expect_output(run({"tokenize", model(), "--jsonl", "--add-special-tokens"}, "\"\"\n\"a\"\n"),
                "[0]\n[0,2]\n");
}

TEST_F(TokenizeCommands, TokenizeShowsThePieces) {
  expect_output(run({"tokenize", model(), "--show"}, "ab \"\n"),
                "       5  \"ab\"\n       4  \"▁\"\n       8  \"\\\"\"\n       6  \"\\n\"\n");
}

TEST_F(TokenizeCommands, JsonLinesGoBothWays) {
  const std::string texts = "\"ab\"\n\"\"\n\"a\\nb\\\"\"\n\"é\"";  // the last line may lack its end
  const std::string ids = "[5]\n[]\n[2,6,3,8]\n[7]\n";
  expect_output(run({"tokenize", model(), "--jsonl"}, texts), ids);
  expect_output(run({"detokenize", model(), "--jsonl"}, ids), texts + "\n");
  write_file(in("ids"), ids);
  expect_output(run({"detokenize", model(), "--jsonl", "--file", in("ids")}), texts + "\n");
  expect_output(run({"tokenize", model(), "--jsonl"}), "");
}

TEST_F(TokenizeCommands, DetokenizeTakesIdsInAnyFormOfList) {
  expect_output(run({"detokenize", model(), "5,4,2"}), "ab a");
  expect_output(run({"detokenize", model(), "5", "4", "2"}), "ab a");
  expect_output(run({"detokenize", model(), "[5, 4,2]"}), "ab a");
  expect_output(run({"detokenize", model()}, "[5,4,2,6]\n"), "ab a\n");
  expect_output(run({"detokenize", model()}, "5\n4\n2\n"), "ab a");
  expect_output(run({"detokenize", model()}), "");
}

TEST_F(TokenizeCommands, DetokenizeKeepsSpecialTokensUnlessTold) {
  expect_output(run({"detokenize", model(), "0,5"}), "<s>ab");
  expect_output(run({"detokenize", model(), "0,5", "--skip-special-tokens"}), "ab");
  expect_output(run({"detokenize", model(), "--jsonl", "--skip-special-tokens"}, "[0,5]"),
                "\"ab\"\n");
}

TEST_F(TokenizeCommands, BadModelsAreErrors) {
  for (const std::string command : {"tokenize", "detokenize"}) {
    expect_failure(run({command, in("empty")}), 1, in("empty/tokenizer.json") + ": cannot open");
    expect_failure(run({command, in("nowhere")}), 1, in("nowhere"));
    write_file(in("empty/tokenizer.json"), "{\"model\":");
    expect_failure(run({command, in("empty")}), 1, "tokenizer.json: is not valid JSON");
    fs::remove(in("empty/tokenizer.json"));
  }
}

TEST_F(TokenizeCommands, BadTextIsAnError) {
  expect_failure(run({"tokenize", model()}, "ab\xff"), 1,
                 "standard input: text is not UTF-8: found byte 0xff at offset 2");
  expect_failure(run({"tokenize", model(), "a\xc3"}), 1, "TEXT: text is not UTF-8");
  expect_failure(run({"tokenize", model(), "--file", in("none")}), 1, in("none") + ": cannot open");
  expect_failure(run({"tokenize", model(), "--file", in("empty")}), 1,
                 in("empty") + ": cannot read");
  expect_failure_after("[2]\n", run({"tokenize", model(), "--jsonl"}, "\"a\"\nb\n"),
                       "standard input: line 2");
  expect_failure_after(
      "[2]\n", run({"tokenize", model(), "--jsonl"}, "\"a\"\n[1]\n"),
      "standard input: line 2: unexpected value: expected a JSON string, found array");
}

TEST_F(TokenizeCommands, BadIdsAreErrors) {
  expect_failure(run({"detokenize", model(), "5,9"}), 1,
                 "IDS: no token has id 9: expected ids from 0 to 8");
  expect_failure(run({"detokenize", model()}, "5 x"), 1, "standard input: 'x' is no token id");
  expect_failure(run({"detokenize", model()}, "99999999999"), 1, "'99999999999' is no token id");
  expect_failure_after("\"ab\"\n", run({"detokenize", model(), "--jsonl"}, "[5]\n[9]\n"),
                       "standard input: line 2: no token has id 9");
  for (const char* line : {"5", "[-1]", "[1.5]", "[\"5\"]", "[4294967296]", "{}"}) {
    expect_failure(run({"detokenize", model(), "--jsonl"}, line), 1,
                   "standard input: line 1: unexpected value: expected a JSON array of token ids");
  }
}

TEST_F(TokenizeCommands, WrongUsageIsNamed) {
  expect_failure(run({"tokenize"}), 2, "model is required");
  expect_failure(run({"detokenize"}), 2, "model is required");
  expect_failure(run({"tokenize", model(), "a", "b"}), 2, "b");
  expect_failure(run({"tokenize", model(), "a", "--file", in("x")}), 2, "excludes --file");
  expect_failure(run({"tokenize", model(), "a", "--jsonl"}), 2, "excludes --jsonl");
  expect_failure(run({"tokenize", model(), "--jsonl", "--show"}), 2, "--jsonl excludes --show");
  expect_failure(run({"detokenize", model(), "5x"}), 2, "'5x' is no token id");
  expect_failure(run({"detokenize", model(), "5", "--file", in("x")}), 2, "excludes --file");
  expect_failure(run({"detokenize", model(), "5", "--jsonl"}), 2, "excludes --jsonl");
  expect_failure(run({"detokenize", model(), "-1"}), 2, "-1");
}

}  // namespace
}  // namespace zaya
