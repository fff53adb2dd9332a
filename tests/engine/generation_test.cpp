#include "engine/generation.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <gtest/gtest.h>

#include "base/json.h"
#include "text/output_parser.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr TokenId kBos = 2;
constexpr TokenId kTurnStart = 105;
constexpr TokenId kTurnEnd = 106;
constexpr TokenId kOpen = 1022;
constexpr TokenId kClose = 1023;

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

ModelConfig tiny_config() {
  ModelConfig config;
  config.vocab = 1030;  // a few rows more than tokens, as ZAYA1 has
  config.max_positions = 4096;
  config.eos = {1};
  return config;
}

const ModelText& tiny() {
  static const ModelText model =
      load_model_text(std::filesystem::path(ZAYA_SOURCE_DIR) / "models/random-tiny", tiny_config());
  return model;
}

std::vector<TokenId> ids(const std::string& text) {
  return tiny().tokenizer->encode(text);
}

std::vector<TokenId> operator+(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Output {
  std::vector<TokenId> tokens;
  std::string reasoning;
  std::string answer;
  std::vector<bool> forced;
  std::vector<std::string> pieces;  // of both kinds
  std::optional<FinishReason> finish;
};

// A model that greedily says `script` whatever it is fed, then repeats its last token.
Output run(const ModelText& model, SamplingParams params, const std::vector<TokenId>& prompt,
           const std::vector<TokenId>& script, bool split = true) {
  params.temperature = 0;
  Generation generation(std::make_shared<ModelText>(model), params, prompt,
                        {.split_reasoning = split});
  SamplerWorkspace workspace;
  Output out;
  while (!generation.finish_reason() && out.tokens.size() < 200) {
    std::vector<float> logits(1030, 0.0F);
    std::fill(logits.begin() + 1024, logits.end(), 100.0F);  // the padded rows
    logits[script[std::min(out.tokens.size(), script.size() - 1)]] = 10.0F;
    const TokenEvent event = generation.step(logits, workspace);
    out.tokens.push_back(event.token);
    out.forced.push_back(event.forced);
    out.reasoning += event.text.reasoning;
    out.answer += event.text.answer;
    out.pieces.push_back(event.text.reasoning + event.text.answer);
    EXPECT_EQ(event.finish, generation.finish_reason());
  }
  EXPECT_EQ(generation.tokens(), out.tokens);
  out.finish = generation.finish_reason();
  return out;
}

const std::vector<TokenId> kPrompt = {kBos, 300};

TEST(Generation, EndsAtEveryEndToken) {
  for (const TokenId end : {TokenId{1}, kTurnEnd}) {
    const Output out = run(tiny(), {}, kPrompt, ids("Hello there") + std::vector{end});
    EXPECT_EQ(out.answer, "Hello there");
    EXPECT_EQ(out.tokens.back(), end);
    EXPECT_EQ(out.finish, FinishReason::stop);
  }
}

TEST(Generation, IgnoresEndTokensWhenAsked) {
  const auto script = ids("Hi") + std::vector{kTurnEnd} + ids(" you");
  const Output out =
      run(tiny(), {.max_tokens = script.size(), .ignore_eos = true}, kPrompt, script);
  EXPECT_EQ(out.tokens, script);
  EXPECT_EQ(out.answer, "Hi you");  // special tokens are no text
  EXPECT_EQ(out.finish, FinishReason::length);
  // The caller's own stop tokens still count.
  const Output stopped = run(tiny(), {.stop_ids = {kTurnEnd}, .ignore_eos = true}, kPrompt, script);
  EXPECT_EQ(stopped.answer, "Hi");
  EXPECT_EQ(stopped.finish, FinishReason::stop);
}

TEST(Generation, EndsAtMaxTokensAndAtTheContext) {
  EXPECT_EQ(run(tiny(), {.max_tokens = 3}, kPrompt, {300}).tokens.size(), 3U);
  ModelText narrow = tiny();
  narrow.context = 7;
  const Output out = run(narrow, {}, kPrompt, {300});
  EXPECT_EQ(out.tokens.size(), 5U);
  EXPECT_EQ(out.finish, FinishReason::length);
}

TEST(Generation, TextIsWholeCharactersAndNothingIsLost) {
  const std::string text = "na\u00efve \u4f60\u597d \U0001f600 caf\u00e9";
  const Output out = run(tiny(), {}, kPrompt, ids(text) + std::vector{kTurnEnd});
  EXPECT_EQ(out.answer, text);
  EXPECT_GT(out.tokens.size(), 8U);
  for (const std::string& piece : out.pieces) {
    EXPECT_TRUE(piece.empty() || (piece[0] & 0xc0) != 0x80) << piece;
  }
  // Ended in the middle of a character: bytes that are no text yet come as U+FFFD at the end.
  const auto smile = ids("\U0001f600");
  ASSERT_GT(smile.size(), 2U);
  const Output cut = run(tiny(), {.max_tokens = smile.size() - 1}, kPrompt, smile);
  EXPECT_NE(cut.answer.find("\ufffd"), std::string::npos);
}

TEST(Generation, StopStringsReachOverTokens) {
  const auto script = ids("one two three four");
  const Output out = run(tiny(), {.stop = {"o th"}}, kPrompt, script);
  EXPECT_EQ(out.answer, "one tw");
  EXPECT_EQ(out.finish, FinishReason::stop);
  EXPECT_LT(out.tokens.size(), script.size());
  // What looked like a stop string and was none comes out at the end.
  EXPECT_EQ(run(tiny(), {.max_tokens = script.size(), .stop = {"four!"}}, kPrompt, script).answer,
            "one two three four");
}

TEST(Generation, SplitsReasoningFromAnswer) {
  const auto script = ids("hm") + std::vector{kClose} + ids("\n\nYes") + std::vector{kTurnEnd};
  const std::vector<TokenId> prompt = {kBos, kTurnStart, 300, kOpen};
  const Output out = run(tiny(), {}, prompt, script);
  EXPECT_EQ(out.reasoning, "hm");
  EXPECT_EQ(out.answer, "\n\nYes");
  const Output whole = run(tiny(), {}, prompt, script, /*split=*/false);
  EXPECT_EQ(whole.answer, "hm</think>\n\nYes");
  const Output own = run(tiny(), {}, kPrompt, std::vector{kOpen} + script);
  EXPECT_EQ(own.reasoning, "hm");
  EXPECT_EQ(own.answer, "\n\nYes");
}

// A byte token's text is only certain when the next token comes; that one may be the tag.
TEST(Generation, TextHeldByTheDecoderStaysOnItsSideOfATag) {
  const auto script =
      ids("\U0001f600") + std::vector{kClose} + ids("\U0001f600") + std::vector{kTurnEnd};
  const Output out = run(tiny(), {}, {kBos, kOpen}, script);
  EXPECT_EQ(out.reasoning, "\U0001f600");
  EXPECT_EQ(out.answer, "\U0001f600");
}

TEST(Generation, ForcesTheThinkBlockShutWhenTheBudgetIsUsedUp) {
  const auto closing = ids("\n</think>\n\n");
  ASSERT_NE(std::find(closing.begin(), closing.end(), kClose), closing.end());
  const TokenId word = ids("a").front();
  const std::vector<TokenId> prompt = {kBos, kTurnStart, kOpen};
  const Output out = run(tiny(), {.max_tokens = 10, .think_budget = 3}, prompt, {word});
  std::vector<TokenId> expected = std::vector<TokenId>(3, word) + closing;
  const std::size_t forced_end = expected.size();
  expected.resize(10, word);
  EXPECT_EQ(out.tokens, expected);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(out.forced[i], i >= 3 && i < forced_end) << i;
  EXPECT_EQ(out.reasoning, "aaa\n");
  EXPECT_EQ(out.answer, "\n\n" + std::string(10 - forced_end, 'a'));
}

TEST(Generation, ThinkBudgetOfNothingClosesAtOnce) {
  const auto closing = ids("\n</think>\n\n");
  const Output out = run(tiny(), {.max_tokens = closing.size(), .think_budget = 0},
                         {kBos, kTurnStart, kOpen}, {300});
  EXPECT_EQ(out.tokens, closing);
  // Not inside: nothing to close.
  EXPECT_EQ(run(tiny(), {.max_tokens = 2, .think_budget = 0}, kPrompt, {300}).tokens,
            (std::vector<TokenId>{300, 300}));
}

TEST(Generation, ThinkBudgetCountsAllBlocksAndStopsWhenTheModelClosesItself) {
  const TokenId word = ids("a").front();
  const auto closing = ids("\n</think>\n\n");
  const Output own = run(tiny(), {.max_tokens = 6, .think_budget = 3}, {kBos, kOpen},
                         {word, kClose, word, word, word, word});
  EXPECT_EQ(own.tokens, (std::vector<TokenId>{word, kClose, word, word, word, word}));
  const Output two = run(tiny(), {.max_tokens = 5 + closing.size(), .think_budget = 2},
                         {kBos, kOpen}, {word, kClose, word, kOpen, word, word});
  EXPECT_EQ(two.tokens, (std::vector<TokenId>{word, kClose, word, kOpen, word} + closing));
}

TEST(Generation, FindsTagsInTheTextWhereTheTokenizerHasNone) {
  ModelText plain = tiny();
  plain.think_open.reset();
  plain.think_close.reset();
  plain.forced_close = ids("!</th") + ids("ink>");  // several tokens, as in such a tokenizer
  const auto prompt = ids("<th") + ids("ink>");
  ASSERT_EQ(std::find(prompt.begin(), prompt.end(), kOpen), prompt.end());
  const auto script = ids("hm</th") + ids("ink>Yes") + std::vector{kTurnEnd};
  const Output out = run(plain, {}, prompt, script);
  EXPECT_EQ(out.reasoning, "hm");
  EXPECT_EQ(out.answer, "Yes");
  const TokenId word = ids("a").front();
  const Output forced = run(plain, {.max_tokens = 12, .think_budget = 2}, prompt, {word});
  EXPECT_EQ(forced.reasoning, "aa!");
  EXPECT_EQ(forced.answer.find_first_not_of('a'), std::string::npos);
  EXPECT_FALSE(forced.answer.empty());
}

TEST(Generation, CallsAreTextEvenWhereTheirTagsAreSpecialTokens) {
  const auto path = std::filesystem::path(ZAYA_SOURCE_DIR) / "models/random-tiny/tokenizer.json";
  Json json = read_json_file(path);
  for (Json& token : json["added_tokens"]) {
    if (token["content"].get<std::string>().find("zyphra") != std::string::npos) {
      token["special"] = true;
    }
  }
  ModelText model = tiny();
  model.tokenizer = std::make_shared<Tokenizer>(Tokenizer::parse(json.dump(), "test"));
  ASSERT_TRUE(model.tokenizer->is_special(101));
  const std::string call =
      "<zyphra_tool_call>\n<function=f>\n<parameter=a>\n<think>\n</parameter>\n</function>\n"
      "</zyphra_tool_call>";
  const auto script = ids(call) + std::vector{kTurnEnd};
  EXPECT_EQ(run(model, {}, kPrompt, script).answer, call);
  EXPECT_EQ(run(model, {}, kPrompt, script, /*split=*/false).answer.find("zyphra"),
            std::string::npos);

  OutputParser parser({.tools = std::make_shared<ToolSet>(Json{{{"name", "f"}}})});
  std::string arguments;
  for (const OutputEvent& event : parser.push({}, run(model, {}, kPrompt, script).answer)) {
    if (event.kind == OutputEvent::Kind::arguments) arguments += event.text;
  }
  EXPECT_EQ(arguments, R"({"a":"<think>"})");
}

TEST(Generation, WorksOnIdsAloneWithoutATokenizer) {
  ModelText bare;
  bare.vocab = 1024;
  bare.context = 100;
  bare.eos = {1, 106};
  const Output out = run(bare, {}, kPrompt, {1023, 1023, 106});
  EXPECT_EQ(out.tokens, (std::vector<TokenId>{1023, 1023, 106}));
  EXPECT_EQ(out.answer, "");
  EXPECT_NE(message_of([&] { run(bare, {.stop = {"x"}}, kPrompt, {1}); }).find("tokenizer.json"),
            std::string::npos);
  EXPECT_NE(message_of([&] { run(bare, {.think_budget = 1}, kPrompt, {1}); }).find("think_budget"),
            std::string::npos);
}

TEST(Generation, LogprobsComeWithEveryToken) {
  SamplingParams params{.temperature = 0, .top_logprobs = 2};
  Generation generation(std::make_shared<ModelText>(tiny()), params, kPrompt, {});
  SamplerWorkspace workspace;
  std::vector<float> logits(1030, 0.0F);
  logits[300] = 5.0F;
  logits[301] = 4.0F;
  const TokenEvent event = generation.step(logits, workspace);
  ASSERT_TRUE(event.logprobs.has_value());
  EXPECT_EQ(event.logprobs->token.id, 300);
  ASSERT_EQ(event.logprobs->top.size(), 2U);
  EXPECT_EQ(event.logprobs->top[1].id, 301);
  EXPECT_NEAR(event.logprobs->top[0].logprob - event.logprobs->top[1].logprob, 1.0, 1e-5);
}

// generate(): a model that counts what it was fed.
struct Counted {
  std::vector<TokenId> fed;
  std::vector<float> logits = std::vector<float>(1030, 0.0F);

  Feed feed() {
    logits[ids("a").front()] = 9.0F;
    return {.add =
                [this](std::span<const TokenId> tokens, std::size_t, const Progress& progress) {
                  report(progress, tokens.size(), tokens.size());
                  fed.insert(fed.end(), tokens.begin(), tokens.end());
                  return std::span<const float>(logits);
                },
            .drop = [](std::size_t) {}};
  }
};

TEST(Generate, FeedsEveryTokenButTheLast) {
  Counted model;
  Generation generation(std::make_shared<ModelText>(tiny()), {.temperature = 0, .max_tokens = 4},
                        kPrompt, {});
  std::string text;
  const GenerationStats stats =
      generate(generation, model.feed(), kPrompt, {}, [&](const TokenEvent& e) {
        text += e.text.answer;
        return true;
      });
  EXPECT_EQ(text, "aaaa");
  EXPECT_EQ(stats.prompt_tokens, kPrompt.size());
  EXPECT_EQ(stats.output_tokens, 4U);
  EXPECT_EQ(model.fed, kPrompt + std::vector<TokenId>(3, ids("a").front()));
}

TEST(Generate, StopsWhenAskedAndGivesWhatWasHeldBack) {
  Counted model;
  Generation generation(std::make_shared<ModelText>(tiny()), {.temperature = 0, .stop = {"aaaz"}},
                        kPrompt, {});
  std::string text;
  int events = 0;
  const GenerationStats stats =
      generate(generation, model.feed(), kPrompt, {}, [&](const TokenEvent& e) {
        text += e.text.answer;
        return ++events < 5;
      });
  EXPECT_EQ(text + stats.rest.answer, "aaaaa");
  EXPECT_EQ(stats.rest.answer, "aaa");
  EXPECT_EQ(generation.finish_reason(), FinishReason::cancelled);
}

TEST(Generate, StopsWhileThePromptIsComputed) {
  Counted model;
  Generation generation(std::make_shared<ModelText>(tiny()), {}, kPrompt, {});
  const GenerationStats stats = generate(
      generation, model.feed(), kPrompt, [](auto, auto) { return false; },
      [](const TokenEvent&) { return true; });
  EXPECT_EQ(stats.output_tokens, 0U);
  EXPECT_EQ(generation.finish_reason(), FinishReason::cancelled);
}

TEST(ModelText, KnowsEveryEndToken) {
  EXPECT_EQ(tiny().eos, (std::vector<TokenId>{1, kTurnEnd}));
  EXPECT_EQ(tiny().vocab, 1024U);
  const ModelText bare = load_model_text(ZAYA_TEST_DATA "/goldens/native", tiny_config());
  EXPECT_EQ(bare.tokenizer, nullptr);
  EXPECT_EQ(bare.eos, (std::vector<TokenId>{1, kTurnEnd}));
  EXPECT_EQ(bare.vocab, 1030U);
}

TEST(ModelText, BosIsThereOnceAndNothingIsAppended) {
  const auto plain = ids("Hello");
  EXPECT_EQ(encode_prompt(tiny(), "Hello"), std::vector{kBos} + plain);
  EXPECT_EQ(encode_prompt(tiny(), "<bos>Hello"), std::vector{kBos} + plain);
  EXPECT_EQ(encode_prompt(tiny(), ""), std::vector{kBos});
  EXPECT_EQ(encode_rendered(tiny(), "<bos>Hello"), std::vector{kBos} + plain);
  EXPECT_EQ(encode_rendered(tiny(), "Hello"), plain);
  EXPECT_NE(message_of([] { encode_prompt(ModelText{}, "x"); }).find("tokenizer.json"),
            std::string::npos);
}

TEST(ModelText, PromptsAreChecked) {
  ModelConfig config = tiny_config();
  config.max_positions = 4;
  const auto check = [&](const std::vector<TokenId>& prompt) {
    return message_of([&] { check_prompt(config, prompt); });
  };
  EXPECT_EQ(check({1, 2, 3}), "no error");
  EXPECT_EQ(check({1, 2, 3, 4, 5}),
            "prompt: too long for the model's context of 4 tokens: expected at most 3 tokens, "
            "found 5 tokens");
  EXPECT_NE(check({1, 2, 3, 4}), "no error");
  EXPECT_NE(check({}).find("no tokens"), std::string::npos);
  EXPECT_NE(check({1030}).find("ids from 0 to 1029, found 1030"), std::string::npos);
  EXPECT_NE(check({-1}).find("found -1"), std::string::npos);
}

TEST(ModelText, OnlyTheLastTurnOpensAThinkBlock) {
  EXPECT_TRUE(ends_inside_think(tiny(), std::vector{kBos, kTurnStart, kOpen, TokenId{300}}));
  EXPECT_FALSE(ends_inside_think(tiny(), std::vector{kBos, kTurnStart, kOpen, kClose}));
  EXPECT_FALSE(ends_inside_think(tiny(), std::vector{kOpen, kTurnStart, TokenId{300}}));
  EXPECT_FALSE(ends_inside_think(ModelText{}, std::vector{kOpen}));
}

struct Loaded {
  std::shared_ptr<const ModelText> text;
  std::unique_ptr<Runner> runner;

  explicit Loaded(const std::string& name, int threads = 2) {
    const auto folder = std::filesystem::path(ZAYA_TEST_DATA) / "goldens" / name;
    auto checkpoint = std::make_shared<const Checkpoint>(Checkpoint::open(folder));
    text = std::make_shared<const ModelText>(load_model_text(folder, checkpoint->config()));
    runner = std::make_unique<Runner>(checkpoint,
                                      RunnerOptions{.compute = Compute::f32, .threads = threads});
  }

  std::vector<TokenId> generate(const std::vector<TokenId>& prompt, const SamplingParams& params) {
    Sequence sequence = runner->new_sequence();
    Generation generation(text, params, prompt, {});
    zaya::generate(generation, feed_of(*runner, sequence, generation), prompt, {},
                   [](const TokenEvent&) { return true; });
    EXPECT_EQ(sequence.length(), prompt.size() + generation.tokens().size() - 1);
    return generation.tokens();
  }
};

TEST(Generate, GreedyIsWhatTheReferenceSays) {
  Loaded model("native");
  const Json cases =
      read_json_file(std::filesystem::path(ZAYA_TEST_DATA) / "goldens/native/expected.json");
  for (const Json& c : cases) {
    EXPECT_EQ(model.generate(c["input_ids"].get<std::vector<TokenId>>(),
                             {.temperature = 0, .max_tokens = 24, .ignore_eos = true}),
              c["greedy"].get<std::vector<TokenId>>());
  }
}

TEST(Generate, SameSeedSameOutputOnAnyNumberOfThreads) {
  const SamplingParams params{.top_p = 0.95, .seed = 9, .max_tokens = 40, .ignore_eos = true};
  const auto one = Loaded("native", 1).generate({5, 9, 2}, params);
  EXPECT_EQ(Loaded("native", 3).generate({5, 9, 2}, params), one);
  SamplingParams other = params;
  other.seed = 10;
  EXPECT_NE(Loaded("native", 1).generate({5, 9, 2}, other), one);
}

TEST(Generate, AKeptSequenceComputesOnlyWhatIsNew) {
  Loaded model("native");
  const std::vector<TokenId> first = {5, 9, 2, 33, 47};
  const std::vector<TokenId> second = {5, 9, 2, 80, 81, 82};
  Sequence kept = model.runner->new_sequence();
  model.runner->feed(kept, first);
  EXPECT_EQ(keep_common_prefix(*model.runner, kept, second), 3U);
  const auto warm = model.runner->feed(kept, std::span(second).subspan(3));
  const std::vector<float> warm_logits(warm.begin(), warm.end());
  Sequence fresh = model.runner->new_sequence();
  const auto cold = model.runner->feed(fresh, second);
  for (std::size_t i = 0; i < cold.size(); ++i) ASSERT_NEAR(warm_logits[i], cold[i], 1e-4);
  // A prompt that is there already still has a token left to compute.
  EXPECT_EQ(keep_common_prefix(*model.runner, kept, second), second.size() - 1);
  EXPECT_EQ(keep_common_prefix(*model.runner, kept, std::vector<TokenId>{7}), 0U);
  EXPECT_EQ(kept.length(), 0U);
}

}  // namespace
}  // namespace zaya
