// Outputs that are held to a form, from models that would never produce it by themselves.
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/json.h"
#include "base/random.h"
#include "checkpoint/init.h"
#include "engine/generation.h"
#include "engine/scheduler.h"
#include "tests/text/random_schema.h"
#include "tests/text/validate_json.h"
#include "text/output_parser.h"
#include "zaya/error.h"

namespace zaya {
namespace {

using Kind = OutputFormat::Kind;

constexpr TokenId kBos = 2;
constexpr TokenId kTurnEnd = 106;
constexpr TokenId kOpen = 1022;

const std::filesystem::path kRecipe = std::filesystem::path(ZAYA_SOURCE_DIR) / "models/random-tiny";

std::shared_ptr<const ModelText> tiny() {
  static const auto text =
      std::make_shared<const ModelText>(load_model_text(kRecipe, read_config(kRecipe).model));
  return text;
}

// Random outputs are long: these make the tokens that end things likelier, as a user could.
std::vector<LogitBias> towards_the_end() {
  std::vector<LogitBias> bias;
  for (TokenId id = 0; id < tiny()->tokenizer->vocab_size(); ++id) {
    const std::string text = tiny()->tokenizer->token_bytes(id);
    if (!text.empty() && text.find_first_not_of("\"]}:bx\\>/") == std::string::npos) {
      bias.push_back({id, 4.0F});
    }
  }
  return bias;
}

SamplingParams params_of(OutputFormat format, std::uint64_t seed = 0) {
  return {.logit_bias = towards_the_end(),
          .seed = seed,
          .max_tokens = 3000,
          .format = std::move(format)};
}

struct Output {
  std::string reasoning;
  std::string answer;
  std::vector<TokenId> tokens;
  FinishReason finish = FinishReason::cancelled;
};

// A model whose logits are random numbers.
Output random_output(const SamplingParams& params,
                     const std::vector<TokenId>& prompt = {kBos, 300}) {
  Generation generation(tiny(), params, prompt, {.split_reasoning = true});
  SamplerWorkspace workspace;
  Output out;
  Random random(params.seed, 77);
  std::vector<float> logits(1030);
  while (!generation.finish_reason()) {
    for (float& l : logits) l = static_cast<float>(2.0 * random.normal());
    const TokenEvent event = generation.step(logits, workspace);
    out.tokens.push_back(event.token);
    out.reasoning += event.text.reasoning;
    out.answer += event.text.answer;
  }
  out.finish = *generation.finish_reason();
  return out;
}

TEST(Format, RandomLogitsSatisfyRandomSchemas) {
  std::vector<Json> cases;
  for (std::uint64_t seed = 1000; seed < 1200; ++seed) {
    const Json schema = test::RandomSchema(seed).draw();
    Output out;
    try {
      out = random_output(params_of({.kind = Kind::json_schema, .schema = schema.dump()}, seed));
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("nothing can ever"), std::string::npos)
          << error.what();
      continue;
    }
    EXPECT_EQ(out.finish, FinishReason::stop) << schema << out.answer;
    cases.push_back({{"schema", schema}, {"text", out.answer}});
  }
  EXPECT_GT(cases.size(), 150U);
  test::expect_valid(cases);
}

TEST(Format, AnyObject) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Output out = random_output(params_of({.kind = Kind::json_object}, seed));
    EXPECT_EQ(out.finish, FinishReason::stop);
    EXPECT_TRUE(parse_json(out.answer, "answer").is_object());
  }
}

TEST(Format, ForcedCallsParseAndSatisfyTheirSchemas) {
  const Json schema = Json::parse(R"({"type": "object", "properties": {
      "text": {"type": "string", "maxLength": 30}, "count": {"type": "integer", "minimum": 1, "maximum": 20},
      "ratio": {"type": "number", "minimum": 0, "maximum": 1},
      "unit": {"type": "string", "enum": ["metric", "imperial"]},
      "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 3},
      "deep": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}},
      "required": ["text", "count", "unit", "deep"]})");
  const auto tools = std::make_shared<const ToolSet>(
      Json::array({{{"name", "set"}, {"parameters", schema}},
                   {{"name", "stop"}, {"parameters", Json::object()}}}));
  std::vector<Json> cases;
  std::map<std::string, int> names;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    OutputFormat format{.kind = Kind::tool_calls,
                        .tools = {{"set", schema.dump(), true}, {"stop", "{}"}},
                        .several_calls = seed % 2 == 1};
    const Output out = random_output(params_of(format, seed));
    EXPECT_EQ(out.finish, FinishReason::stop) << out.answer;
    OutputParser parser({.tools = tools});
    auto events = parser.push("", out.answer);
    for (auto& event : parser.finish(false)) events.push_back(event);
    std::map<std::size_t, std::pair<std::string, std::string>> calls;
    for (const OutputEvent& event : events) {
      EXPECT_NE(event.kind, OutputEvent::Kind::content) << out.answer;
      if (event.kind == OutputEvent::Kind::call_begin) calls[event.call].first = event.text;
      if (event.kind == OutputEvent::Kind::arguments) calls[event.call].second += event.text;
    }
    EXPECT_GE(calls.size(), 1U);
    if (seed % 2 == 0) {
      EXPECT_EQ(calls.size(), 1U);
    }
    for (const auto& [index, call] : calls) {
      ++names[call.first];
      if (call.first == "set") cases.push_back({{"schema", schema}, {"text", call.second}});
    }
  }
  EXPECT_EQ(names.size(), 2U);
  EXPECT_GT(cases.size(), 10U);
  test::expect_valid(cases);
}

// A model that always wants to end.
TEST(Format, ReasoningIsFreeButHasAnAnswer) {
  SamplingParams params =
      params_of({.kind = Kind::json_schema, .schema = R"({"enum": [{"a": 1}]})"});
  params.logit_bias.clear();
  params.temperature = 0;
  params.think_budget = 5;
  Generation generation(tiny(), params, std::vector{kBos, kOpen}, {.split_reasoning = true});
  SamplerWorkspace workspace;
  std::string reasoning;
  std::string answer;
  EXPECT_FALSE(generation.needs_full_head());
  while (!generation.finish_reason()) {
    std::vector<float> logits(1030, 0.0F);
    logits[kTurnEnd] = 10.0F;
    logits[300] = 5.0F;
    const TokenEvent event = generation.step(logits, workspace);
    reasoning += event.text.reasoning;
    answer += event.text.answer;
  }
  EXPECT_TRUE(generation.needs_full_head());
  EXPECT_EQ(generation.reasoning_tokens(), 6U);  // with the newline before the tag
  EXPECT_EQ(answer.substr(answer.find_first_not_of('\n')), R"({"a":1})");
  EXPECT_EQ(generation.finish_reason(), FinishReason::stop);
}

TEST(Format, EndTokensAreAllowedWhereTheTextMayEnd) {
  SamplingParams params =
      params_of({.kind = Kind::json_schema, .schema = R"({"type": "integer"})"});
  params.logit_bias.clear();
  params.temperature = 0;
  const auto run = [&](const SamplingParams& p) {
    Generation generation(tiny(), p, std::vector{kBos, TokenId{300}}, {});
    SamplerWorkspace workspace;
    std::string text;
    while (!generation.finish_reason()) {
      std::vector<float> logits(1030, 0.0F);
      logits[kTurnEnd] = 10.0F;
      logits[*tiny()->tokenizer->find("7")] = 5.0F;
      text += generation.step(logits, workspace).text.answer;
    }
    return text;
  };
  EXPECT_EQ(run(params), "7");
  params.ignore_eos = true;
  EXPECT_EQ(run(params), std::string(18, '7'));  // until nothing else can follow
  params.max_tokens = 4;
  EXPECT_EQ(run(params), "7777");
}

TEST(Format, ErrorsComeBeforeTheModelRuns) {
  const auto message = [&](OutputFormat format,
                           const std::shared_ptr<const ModelText>& text) -> std::string {
    try {
      Generation(text, params_of(std::move(format)), std::vector{kBos}, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message({.kind = Kind::json_schema, .schema = R"({"not": {}})"}, tiny())
                .find("json_schema/not"),
            std::string::npos);
  EXPECT_EQ(
      message({.kind = Kind::json_schema, .schema = R"({"not": {}})", .strict = false}, tiny()),
      "");
  EXPECT_NE(message({.kind = Kind::tool_calls}, tiny()).find("tools"), std::string::npos);
  ModelText bare = *tiny();
  bare.tokenizer = nullptr;
  bare.grammars = nullptr;
  EXPECT_NE(message({.kind = Kind::json_object}, std::make_shared<const ModelText>(bare))
                .find("tokenizer.json"),
            std::string::npos);
}

// The small random model itself, several choices at once, by the screened head and by the full one.
TEST(Format, TheSchedulerAsksForWhatAFormNeeds) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("zaya-format-" + std::to_string(::getpid()));
  init_checkpoint(read_config(kRecipe).model, folder,
                  {.seed = 3, .dtype = DType::f32, .text_from = {}});
  const auto checkpoint = std::make_shared<const Checkpoint>(Checkpoint::open(folder));
  const Json schema = Json::parse(R"({"type": "object", "properties": {
      "name": {"type": "string", "maxLength": 8}, "n": {"type": "integer"},
      "list": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 5}},
      "required": ["name", "n", "list"]})");
  std::vector<Json> cases;
  std::map<bool, std::map<std::size_t, std::string>> texts;
  for (const bool screen : {false, true}) {
    Runner runner(checkpoint, {.compute = Compute::f32, .threads = 1, .screen_head = screen});
    Scheduler scheduler(runner, tiny());
    Request request{.prompt = {kBos, 300, 301},
                    .params = params_of({.kind = Kind::json_schema, .schema = schema.dump()}, 5),
                    .n = 4};
    request.on_event = [&](const RequestEvent& event) {
      EXPECT_EQ(event.error, "");
      std::string& text = texts[screen][event.choice];
      if (event.token) text += event.token->text.answer;
      if (event.finish) {
        EXPECT_EQ(*event.finish, FinishReason::stop);
        cases.push_back({{"schema", schema}, {"text", text}});
      }
    };
    scheduler.submit(request);
    while (scheduler.step()) {
    }
  }
  EXPECT_EQ(cases.size(), 8U);
  EXPECT_EQ(texts[true], texts[false]);
  test::expect_valid(cases);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace zaya
