#include <algorithm>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/demo_model.h"
#include "tests/cli/pseudo_terminal.h"
#include "tests/cli/run.h"

namespace zaya {
namespace {

// generate --json on the demo model with a fixed seed.
Json generate(std::vector<std::string> arguments, const std::string& input = {}) {
  arguments.insert(arguments.begin(), {"generate", demo_model(), "--json", "--seed", "5"});
  const RunResult r = run(arguments, input);
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(std::count(r.out.begin(), r.out.end(), '\n'), 1);
  return parse_json(r.out, "stdout");
}

std::string joined(const Json& ids) {
  std::string text;
  for (const Json& id : ids) text += (text.empty() ? "" : ",") + std::to_string(id.get<int>());
  return text;
}

class GoldenGenerate : public testing::TestWithParam<const char*> {};

TEST_P(GoldenGenerate, GreedyTokensAreTheReferences) {
  const Json cases = read_json_file(golden(GetParam()) + "/expected.json");
  ASSERT_FALSE(cases.empty());
  for (const Json& c : cases) {
    const RunResult r = run({"generate", golden(GetParam()), "--tokens", joined(c["input_ids"]),
                             "-n", "24", "--greedy", "--ignore-eos", "--json", "--compute", "f32"});
    ASSERT_EQ(r.exit_code, 0) << r.err;
    const Json json = parse_json(r.out, "stdout");
    EXPECT_EQ(json["token_ids"], c["greedy"]);
    EXPECT_EQ(json["text"], "");
    EXPECT_EQ(json["finish_reason"], "length");
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenGenerate,
                         testing::Values("native", "legacy", "native-sliding", "legacy-sliding",
                                         "base-schema", "native-bf16"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(GenerateCommand, PrintsIdsWhereThereIsNoTokenizer) {
  const RunResult r = run({"generate", golden("native"), "--tokens", "301,282", "-n", "3",
                           "--greedy", "--ignore-eos", "--compute", "f32"});
  EXPECT_EQ(r.out, "91,54,185\n");
  expect_failure(run({"generate", golden("native"), "hello"}), 1, "tokenizer.json");
}

TEST(GenerateCommand, TextOnStdoutIsTheTextOfTheJson) {
  const Json json = generate({"Once upon", "-n", "40", "--ignore-eos"});
  EXPECT_EQ(json["token_ids"].size(), 40U);
  EXPECT_EQ(json["seed"], 5);
  const RunResult r =
      run({"generate", demo_model(), "Once upon", "-n", "40", "--ignore-eos", "--seed", "5"});
  EXPECT_EQ(r.exit_code, 0);
  EXPECT_FALSE(r.out.empty());
  EXPECT_EQ(r.out, json["text"].get<std::string>());
  EXPECT_EQ(r.err, "");
}

TEST(GenerateCommand, PromptFromAnywhereIsTheSame) {
  const Json argument = generate({"Once upon", "-n", "8"});
  // <bos> and the text's own tokens, nothing after them.
  const RunResult tokenized = run({"tokenize", demo_model(), "Once upon"});
  EXPECT_EQ(generate({"--prompt", "Once upon", "-n", "8"})["token_ids"], argument["token_ids"]);
  EXPECT_EQ(generate({"-n", "8"}, "Once upon")["token_ids"], argument["token_ids"]);
  EXPECT_EQ(generate({"-", "-n", "8"}, "Once upon")["token_ids"], argument["token_ids"]);
  EXPECT_EQ(generate({"<bos>Once upon", "-n", "8"})["token_ids"], argument["token_ids"]);
  const auto file = std::filesystem::path(testing::TempDir()) / "zaya-prompt.txt";
  write_file(file, "Once upon");
  EXPECT_EQ(generate({"--file", file.string(), "-n", "8"})["token_ids"], argument["token_ids"]);
  std::filesystem::remove(file);
  if (tokenized.exit_code == 0) {
    const Json ids = parse_json(tokenized.out, "tokenize");
    EXPECT_EQ(generate({"--tokens", "2," + joined(ids), "-n", "8"})["token_ids"],
              argument["token_ids"]);
    EXPECT_EQ(argument["usage"]["prompt_tokens"], ids.size() + 1);
  }
}

TEST(GenerateCommand, SameSeedSameOutputOnAnyNumberOfThreads) {
  const auto tokens = [](const char* seed, const char* threads) {
    const RunResult r = run({"generate", demo_model(), "Once", "-n", "30", "--ignore-eos", "--json",
                             "--seed", seed, "--threads", threads});
    return parse_json(r.out, "stdout")["token_ids"];
  };
  EXPECT_EQ(tokens("3", "1"), tokens("3", "2"));
  EXPECT_NE(tokens("3", "1"), tokens("4", "1"));
}

TEST(GenerateCommand, StopsAtTextsAndTokens) {
  const Json whole = generate({"Once", "-n", "40", "--ignore-eos"});
  const auto text = whole["text"].get<std::string>();
  const auto at = text.find_first_of("abcdefghijklmnopqrstuvwxyz", text.size() / 2);
  ASSERT_NE(at, std::string::npos);
  const std::string stop = text.substr(at, 3);
  const Json cut = generate({"Once", "-n", "40", "--ignore-eos", "--stop", stop, "--stop", "\x01"});
  EXPECT_EQ(cut["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(cut["finish_reason"], "stop");
  EXPECT_EQ(cut["stop_string"], stop);

  const Json& ids = whole["token_ids"];
  const Json stopped =
      generate({"Once", "-n", "40", "--ignore-eos", "--stop-tokens", joined(Json{ids[6]})});
  EXPECT_LE(stopped["token_ids"].size(), 7U);
  EXPECT_EQ(stopped["token_ids"].back(), ids[6]);
}

TEST(GenerateCommand, BiasAndPenaltiesReachTheSampler) {
  const Json plain = generate({"Once", "-n", "6", "--greedy", "--ignore-eos"});
  const auto first = joined(Json{plain["token_ids"][0]});
  const Json banned =
      generate({"Once", "-n", "6", "--greedy", "--ignore-eos", "--logit-bias", first + "=-inf"});
  for (const Json& id : banned["token_ids"]) EXPECT_NE(id, plain["token_ids"][0]);
  const Json forced =
      generate({"Once", "-n", "3", "--greedy", "--ignore-eos", "--logit-bias", "300=100"});
  EXPECT_EQ(forced["token_ids"], (Json{300, 300, 300}));
  const Json penalised = generate({"Once", "-n", "2", "--greedy", "--ignore-eos", "--logit-bias",
                                   "300=1", "--presence-penalty", "2", "--frequency-penalty", "2",
                                   "--repetition-penalty", "50"});
  EXPECT_NE(penalised["token_ids"][0], penalised["token_ids"][1]);
}

TEST(GenerateCommand, DraftsChangeNothingButTheSpeed) {
  const auto output = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"one two one two one", "-n", "60", "--ignore-eos", "--compute",
                               "f32", "--deterministic", "--logit-bias", "300=8"});
    return generate(more);
  };
  for (const std::string temperature : {"0", "1"}) {
    const Json plain = output({"--temp", temperature});
    const Json drafted = output({"--temp", temperature, "--draft-tokens", "8"});
    EXPECT_EQ(drafted["token_ids"], plain["token_ids"]);
    EXPECT_EQ(drafted["text"], plain["text"]);
    EXPECT_FALSE(plain["usage"].contains("drafted_tokens"));
    const int accepted = drafted["usage"].value("accepted_tokens", 0);
    EXPECT_GT(accepted, 0);
    EXPECT_LE(accepted, drafted["usage"].value("drafted_tokens", 0));
  }
}

TEST(GenerateCommand, LogprobsAreSorted) {
  const Json json = generate({"Once", "-n", "4", "--ignore-eos", "--logprobs", "5"});
  ASSERT_EQ(json["logprobs"].size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    const Json& entry = json["logprobs"][i];
    EXPECT_EQ(entry["token_id"], json["token_ids"][i]);
    ASSERT_EQ(entry["top"].size(), 5U);
    EXPECT_LE(entry["logprob"].get<double>(), entry["top"][0]["logprob"].get<double>());
    for (std::size_t k = 1; k < 5; ++k) {
      EXPECT_LE(entry["top"][k]["logprob"].get<double>(),
                entry["top"][k - 1]["logprob"].get<double>());
    }
  }
}

TEST(GenerateCommand, ChatThinksWithinItsBudget) {
  const RunResult r = run({"generate", demo_model(), "--chat", "--json", "--seed", "1", "-n", "30",
                           "--ignore-eos", "--think-budget", "6", "Hello"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.err.find("built-in"), std::string::npos);
  const Json json = parse_json(r.out, "stdout");
  EXPECT_FALSE(json["reasoning"].get<std::string>().empty());
  EXPECT_EQ(json["text"].get<std::string>().substr(0, 2), "\n\n");
  EXPECT_LE(json["usage"]["reasoning_tokens"], 7);  // the budget and the newline before the tag
  const Json& ids = json["token_ids"];
  EXPECT_NE(std::find(ids.begin(), ids.end(), Json(1023)), ids.end());

  const Json off = parse_json(run({"generate", demo_model(), "--chat", "--no-think", "--system",
                                   "Be brief.", "--json", "-n", "4", "Hello"})
                                  .out,
                              "stdout");
  EXPECT_EQ(off["reasoning"], "");
}

// A copy of the demo model with a token that is a whole call.
TEST(GenerateCommand, CallsAreParsed) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(testing::TempDir()) / "zaya-tool-model";
  fs::remove_all(folder);
  fs::copy(demo_model(), folder);
  const std::string call =
      "Hm.\n<zyphra_tool_call>\n<function=f>\n<parameter=a>\n5\n</parameter>\n</function>\n"
      "</zyphra_tool_call>";
  std::string tokenizer = read_file(folder / "tokenizer.json");
  const std::string tag = "\"<zyphra_tool_response>\"";
  for (auto at = tokenizer.find(tag); at != std::string::npos; at = tokenizer.find(tag, at)) {
    tokenizer.replace(at, tag.size(), Json(call).dump());
  }
  write_file(folder / "tokenizer.json", tokenizer);
  write_file(folder / "tools.json", R"([{"type": "function", "function": {"name": "f",
      "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}])");
  const auto generate = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "generate", folder.string(), "--chat", "--no-think",   "--json", "Hello", "-n",
        "1",        "--seed",        "5",      "--logit-bias", "103=100"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const RunResult r = run(arguments);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return parse_json(r.out, "stdout");
  };
  const Json plain = generate({});
  EXPECT_EQ(plain["text"], call);
  EXPECT_FALSE(plain.contains("tool_calls"));
  const Json parsed = generate({"--tools", (folder / "tools.json").string()});
  EXPECT_EQ(parsed["text"], "Hm.");
  ASSERT_EQ(parsed["tool_calls"].size(), 1U);
  EXPECT_EQ(parsed["tool_calls"][0]["function"], (Json{{"name", "f"}, {"arguments", "{\"a\":5}"}}));
  EXPECT_GT(parsed["usage"]["prompt_tokens"], plain["usage"]["prompt_tokens"]);

  write_file(folder / "tools.json", R"({"name": "f"})");
  expect_failure(run({"generate", folder.string(), "--chat", "--tools",
                      (folder / "tools.json").string(), "Hello"}),
                 1, "tools: wrong JSON type: expected a list of functions");
  fs::remove_all(folder);
}

struct SessionFile {
  std::string path =
      (std::filesystem::temp_directory_path() / ("zaya-session-" + std::to_string(::getpid())))
          .string();
  SessionFile() = default;
  SessionFile(const SessionFile&) = delete;
  SessionFile& operator=(const SessionFile&) = delete;
  ~SessionFile() { std::filesystem::remove(path); }
};

TEST(GenerateCommand, ASessionGoesOnWhereItWasSaved) {
  for (const std::string compute : {"f32", "fast"}) {
    const SessionFile file;
    const auto run_on = [&](std::vector<std::string> arguments) {
      arguments.insert(arguments.end(), {"--greedy", "--ignore-eos", "--deterministic", "--compute",
                                         compute, "--threads", "1"});
      return generate(arguments);
    };
    const Json whole = run_on({"Once upon a time", "-n", "20"});
    const Json first = run_on({"Once upon a time", "-n", "8", "--save-session", file.path});
    const Json second = run_on({"", "-n", "12", "--session", file.path});
    Json both = first["token_ids"];
    for (const Json& id : second["token_ids"]) both.push_back(id);
    EXPECT_EQ(both, whole["token_ids"]);
    const std::size_t prompt = whole["usage"]["prompt_tokens"];
    EXPECT_EQ(second["usage"]["session_tokens"], prompt + 8 - 1) << "all but one, for the logits";
    EXPECT_EQ(second["usage"]["prompt_tokens"], 1);
    EXPECT_FALSE(whole["usage"].contains("session_tokens"));

    // With more text behind it, and saved again over itself.
    const std::string more = std::to_string(whole["token_ids"][8].get<int>());
    const Json third =
        run_on({"--tokens", more, "-n", "4", "--session", file.path, "--save-session", file.path});
    const Json fourth = run_on({"", "-n", "7", "--session", file.path});
    EXPECT_EQ(third["usage"]["session_tokens"], prompt + 8);
    both = third["token_ids"];
    for (const Json& id : fourth["token_ids"]) both.push_back(id);
    EXPECT_EQ(
        joined(both),
        joined(whole["token_ids"]).substr(joined(first["token_ids"]).size() + 1 + more.size() + 1));
  }
}

TEST(GenerateCommand, ForeignSessionsAreRefused) {
  const SessionFile file;
  ASSERT_EQ(run({"generate", demo_model(), "a", "-n", "1", "--save-session", file.path}).exit_code,
            0);
  const auto go_on = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"generate"});
    arguments.insert(arguments.end(), {"--tokens", "5", "--session", file.path});
    return run(arguments);
  };
  expect_failure(go_on({golden("native")}), 1, file.path + ": the session was saved with another");
  expect_failure(go_on({demo_model(), "--compute", "f32"}), 1, "another compute: expected f32");
  std::string bytes = read_file(file.path);
  bytes[bytes.size() - 9] ^= 1;
  write_file(file.path, bytes);
  expect_failure(go_on({demo_model()}), 1, file.path + ": the session is damaged");
  write_file(file.path, "no session");
  expect_failure(go_on({demo_model()}), 1, file.path);
  std::filesystem::remove(file.path);
  expect_failure(go_on({demo_model()}), 1, file.path);
  expect_failure(run({"generate", demo_model(), "a", "--chat", "--session", file.path}), 2,
                 "--session");
  expect_failure(run({"generate", demo_model(), "a", "--adapter", "x", "--session", file.path}), 2,
                 "--adapter");
  const RunResult lost =
      run({"generate", demo_model(), "a", "-n", "1", "--save-session", "/nowhere/file"});
  EXPECT_EQ(lost.exit_code, 1);
  EXPECT_TRUE(contains(lost.err, "/nowhere/file")) << lost.err;
}

TEST(GenerateCommand, APromptPastTheContextIsAClearError) {
  std::string ids = "5";
  for (int i = 1; i < 5000; ++i) ids += ",5";
  expect_failure(run({"generate", golden("native"), "--tokens", ids}), 1,
                 "too long for the model's context of 4096 tokens: expected at most 4095 tokens, "
                 "found 5000 tokens");
  expect_failure(run({"generate", golden("native"), "--tokens", "320"}), 1,
                 "ids from 0 to 319, found 320");
}

TEST(GenerateCommand, WrongUsageIsTold) {
  const auto usage = [](std::vector<std::string> arguments, const std::string& part) {
    arguments.insert(arguments.begin(), {"generate", golden("native")});
    expect_failure(run(arguments), 2, part);
  };
  usage({"--tokens", "5,x"}, "'x' is no token id");
  usage({"--tokens", "5", "--prompt", "a"}, "one prompt");
  usage({"--tokens", "5", "--greedy", "--temp", "1"}, "--greedy");
  usage({"--tokens", "5", "--top-p", "1.5"}, "top_p");
  usage({"--tokens", "5", "--temp", "-1"}, "temperature");
  usage({"--tokens", "5", "-n", "0"}, "max_tokens");
  usage({"--tokens", "5", "-n", "-5"}, "no whole number");
  usage({"--tokens", "5", "--top-k", "-3"}, "'-3' is no whole number");
  usage({"--tokens", "5", "--seed", "99999999999999999999"}, "no whole number");
  usage({"--tokens", "5", "--think-budget", "2.5"}, "no whole number");
  usage({"--tokens", "5", "--draft-tokens", "17"}, "at most 16");
  usage({"--tokens", "5", "--logit-bias", "5"}, "ID=NUMBER");
  usage({"--tokens", "5", "--logit-bias", "5=x"}, "ID=NUMBER");
  usage({"--tokens", "5", "--logprobs", "2"}, "--json");
  usage({"--tokens", "5", "--chat"}, "--chat");
  usage({"--prompt", "5", "--system", "x"}, "--chat");
  usage({"--prompt", "5", "--tools", "x.json"}, "--chat");
  usage({"--prompt", "5", "--no-such-option"}, "--no-such-option");
  expect_failure(run({"generate"}), 2, "model");
}

TEST(GenerateCommand, FailuresNameWhatIsWrong) {
  expect_failure(run({"generate", "/no/such/folder", "x"}), 1, "/no/such/folder");
  expect_failure(run({"generate", demo_model(), "--file", "/no/such/file"}), 1, "/no/such/file");
  expect_failure(run({"generate", golden("native"), "--tokens", "5", "--think-budget", "3"}), 1,
                 "tokenizer.json");
  expect_failure(run({"generate", golden("native"), "--tokens", "5", "--logit-bias", "320=1"}), 1,
                 "ids from 0 to 319");
}

TEST(GenerateCommand, HoldsTheOutputToAForm) {
  const auto schema = std::filesystem::path(demo_model()) / "schema.json";
  const auto with = [&](const char* text) {
    write_file(schema, text);
    return std::vector<std::string>{"x", "--json-schema", schema.string(), "-n", "200"};
  };
  const Json record = generate(with(R"({"type": "object", "properties": {
      "id": {"type": "integer", "minimum": 10, "maximum": 99}, "kind": {"enum": ["a", "b"]},
      "name": {"type": "string", "maxLength": 6}}, "required": ["id", "kind", "name"]})"));
  EXPECT_EQ(record["finish_reason"], "stop");
  const Json value = parse_json(record["text"].get<std::string>(), "text");
  EXPECT_GE(value["id"], 10);
  EXPECT_LE(value["id"], 99);
  EXPECT_TRUE(value["kind"] == "a" || value["kind"] == "b");
  EXPECT_TRUE(value["name"].is_string());
  EXPECT_EQ(value.size(), 3U);

  const std::string any = generate({"x", "--json-object", "-n", "40", "--greedy"})["text"];
  EXPECT_EQ(any.substr(any.find_first_not_of('\n'), 1), "{");

  const auto bad = [&](const char* text) {
    write_file(schema, text);
    return run({"generate", demo_model(), "x", "--json-schema", schema.string()});
  };
  expect_failure(bad(R"({"properties": {"a": {"not": {}}}})"), 1, "json_schema/properties/a/not");
  expect_failure(bad("{"), 1, "json_schema");
  expect_failure(run({"generate", demo_model(), "x", "--json-schema", "/nowhere"}), 1, "/nowhere");
  expect_failure(run({"generate", demo_model(), "x", "--json-object", "--json-schema", "a"}), 2,
                 "--json-schema");
  expect_failure(run({"generate", golden("native"), "--tokens", "5", "--json-object"}), 1,
                 "tokenizer.json");
  std::filesystem::remove(schema);
}

TEST(GenerateCommand, HelpNamesEveryOption) {
  const RunResult r = run({"generate", "--help"});
  EXPECT_EQ(r.exit_code, 0);
  for (const char* option : {"--prompt",
                             "--file",
                             "--tokens",
                             "--chat",
                             "--json",
                             "--json-schema",
                             "--json-object",
                             "--greedy",
                             "--temp",
                             "--top-k",
                             "--top-p",
                             "--min-p",
                             "--repetition-penalty",
                             "--presence-penalty",
                             "--frequency-penalty",
                             "--logit-bias",
                             "--seed",
                             "--max-tokens",
                             "--stop",
                             "--stop-tokens",
                             "--ignore-eos",
                             "--think-budget",
                             "--logprobs",
                             "--compute",
                             "--threads",
                             "--session",
                             "--save-session",
                             "--stats"}) {
    EXPECT_NE(r.out.find(option), std::string::npos) << option;
  }
}

TEST(GenerateCommand, CtrlCEndsWithWhatThereIs) {
  PseudoTerminal terminal(
      {"generate", demo_model(), "Once", "--ignore-eos", "--seed", "1", "--stats"});
  terminal.read_until(" ");
  terminal.type("\x03");
  const std::string seen = terminal.read_until("\"finish_reason\":\"cancelled\"");
  EXPECT_TRUE(seen.ends_with("cancelled\"")) << seen;
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(GenerateCommand, ALongPromptShowsProgressOnATerminal) {
  std::string text;
  for (int i = 0; i < 800; ++i) text += "Once upon ";
  PseudoTerminal terminal({"generate", demo_model(), text, "-n", "2", "--ignore-eos"});
  EXPECT_TRUE(terminal.read_until("reading the prompt: 2048 of ").ends_with(" of "));
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(GenerateCommand, NoControlCodesReachATerminal) {
  // Byte token of ESC, over and over: every piece must be shown as something harmless.
  const RunResult found = run({"tokenize", demo_model(), "\x1b"});
  ASSERT_EQ(found.exit_code, 0) << found.err;
  const std::string id = joined(Json{parse_json(found.out, "tokenize").back()});
  const std::vector<std::string> arguments = {"generate", demo_model(),   "Once",     "-n", "3",
                                              "--greedy", "--logit-bias", id + "=100"};
  EXPECT_EQ(run(arguments).out, "\x1b\x1b\x1b");
  PseudoTerminal terminal(arguments);
  EXPECT_EQ(terminal.wait(), 0);
  EXPECT_EQ(terminal.unread().find('\x1b'), std::string::npos);
  EXPECT_NE(terminal.unread().find("\ufffd\ufffd\ufffd"), std::string::npos);
}

}  // namespace
}  // namespace zaya
