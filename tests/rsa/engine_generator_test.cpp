#include "rsa/engine_generator.h"

#include <memory>

#include <gtest/gtest.h>

#include "engine/model_text.h"
#include "rsa/forecast.h"
#include "rsa/solver.h"
#include "tests/rsa/small_model.h"
#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya::rsa {
namespace {

std::unique_ptr<Engine> small_engine() {
  return std::make_unique<Engine>(
      test::small_model(),
      Engine::Options{.runner = {.compute = Compute::f32, .threads = 1, .deterministic = true},
                      .scheduler = {.cached_sequences = 1}});
}

Settings short_settings() {
  return {.rounds = 1,
          .population = 4,
          .subset = 2,
          .beta = 64,
          .tau = 16,
          .final_tokens = 64,
          .seed = 3};
}

std::vector<Problem> one_problem() {
  return {{.messages = {{"system", "Short."}, {"user", "How many letters has this question?"}},
           .prompt = std::make_shared<const AggregationPrompt>(
               AggregationPrompt::builtin("mathematics"))}};
}

TEST(RsaEngineGenerator, RunsAPopulationTheSameEveryTime) {
  std::vector<std::string> first;
  for (const std::size_t slots : {1U, 3U, 64U}) {
    const auto engine = small_engine();
    EngineGenerator generator(*engine, {.slots = slots});
    const Result result = solve(generator, one_problem(), short_settings()).front();
    std::vector<std::string> texts;
    for (const auto& stage : result.stages) {
      ASSERT_EQ(stage.size(), 4U);
      for (const Candidate& c : stage) {
        EXPECT_EQ(c.output.error, "");
        EXPECT_GT(c.output.output_tokens, 0U);
        EXPECT_LE(c.output.output_tokens, 64U);
        texts.push_back(c.output.reasoning + "|" + c.output.answer);
      }
    }
    if (first.empty()) first = texts;
    EXPECT_EQ(texts, first) << slots;
    EXPECT_LE(result.largest_context, result.context_bound);
  }
}

TEST(RsaEngineGenerator, TailsAreTokensOfTheText) {
  const auto engine = small_engine();
  const EngineGenerator generator(*engine);
  const Tokenizer& tokenizer = tokenizer_of(engine->text());
  std::string text = "A tail, with signs: 1 + 2 = 3, and ünïcödé 🙂 to its end.\n\nThe end.";
  for (int i = 0; i < 3; ++i) text += text;
  const auto ids = tokenizer.encode(text);
  EXPECT_EQ(generator.count_tokens(text), ids.size());
  for (std::size_t n = 1; n <= ids.size() + 2; ++n) {
    const std::string tail = generator.tail(text, n);
    EXPECT_TRUE(text.ends_with(tail));
    EXPECT_EQ(find_invalid_utf8(tail), std::string::npos);
    EXPECT_EQ(tail == text, n >= ids.size());
    // A character that is cut is left out: up to 3 byte tokens; and tokens may join anew.
    const std::size_t tokens = generator.count_tokens(tail);
    EXPECT_LE(tokens, n);
    EXPECT_GE(tokens + 4, std::min(n, ids.size()));
  }
}

TEST(RsaEngineGenerator, PeakOfPagesIsWithinItsForecast) {
  const auto engine = small_engine();
  EngineGenerator generator(*engine, {.slots = 4});
  Settings settings = short_settings();
  settings.beta = settings.final_tokens = 400;
  settings.tau = 100;
  const auto problems = one_problem();
  const std::string& text = problems[0].messages[1].content;
  const std::string framed = problems[0].prompt->render(text, {"", ""}, true);
  const Forecast f = forecast(
      settings, {.prompt_tokens = engine->encode_chat(problems[0].messages).size(),
                 .template_tokens = generator.count_tokens(framed) - generator.count_tokens(text),
                 .slots = 4,
                 .context = engine->context(),
                 .kv_memory = engine->kv_memory(),
                 .kv_bytes = [&](std::size_t n) { return engine->kv_bytes(n); }});
  const Result result = solve(generator, problems, settings).front();
  EXPECT_EQ(result.error, "");
  EXPECT_TRUE(f.fits);
  EXPECT_GT(generator.peak_kv_bytes(), 0U);
  EXPECT_LE(generator.peak_kv_bytes(), f.peak_bytes);
  EXPECT_LE(result.usage.output_tokens, f.output_tokens);
  EXPECT_LE(result.largest_context, f.longest);
}

TEST(RsaEngineGenerator, StopsInTheMiddle) {
  const auto engine = small_engine();
  EngineGenerator generator(*engine);
  Settings settings = short_settings();
  settings.beta = settings.final_tokens = 3000;
  std::stop_source stop;
  std::size_t tokens = 0;
  const Result result = solve(generator, one_problem(), settings,
                              {.observer =
                                   [&](const Event& e) {
                                     tokens += e.tokens;
                                     if (tokens > 20) stop.request_stop();
                                   },
                               .stop = stop.get_token()})
                            .front();
  EXPECT_TRUE(result.stopped);
  EXPECT_GE(result.usage.output_tokens, 20U);
  EXPECT_LT(result.usage.output_tokens, 12'000U);
}

TEST(RsaEngineGenerator, CallsThatCannotBeServedFail) {
  const auto engine = small_engine();
  EngineGenerator generator(*engine);
  std::vector<Problem> problems = one_problem();
  for (int i = 0; i < 13; ++i) problems[0].messages[1].content += problems[0].messages[1].content;
  const Result result = solve(generator, problems, short_settings()).front();
  EXPECT_NE(result.error, "");
  EXPECT_EQ(result.stages[0].size(), 4U);
}

TEST(RsaEngineGenerator, EndsWhatRunsWhenItGoes) {
  const auto engine = small_engine();
  std::size_t ended = 0;
  {
    EngineGenerator generator(*engine);
    for (int i = 0; i < 5; ++i) {
      Call call{.messages = {{"user", "Count."}}, .params = {.max_tokens = 3000}};
      call.on_done = [&](const Output&) { ++ended; };
      generator.start(std::move(call));
    }
  }
  EXPECT_EQ(ended, 5U);
}

TEST(RsaForecast, CountsWhatIsSharedOnce) {
  const auto kv = [](std::size_t tokens) { return (tokens + 31) / 32 * 1000; };
  Settings s = {
      .rounds = 1, .population = 4, .subset = 2, .beta = 320, .tau = 64, .final_tokens = 640};
  const ForecastInput in{.prompt_tokens = 320,
                         .template_tokens = 0,
                         .slots = 4,
                         .context = 100'000,
                         .kv_memory = 1'000'000,
                         .kv_bytes = kv};
  const Forecast f = forecast(s, in);
  // The last stage: 320 + 2 * 64 + 640 tokens, 34 pages, 10 of them shared; a page more each for
  // the copy; four run, and one that ended stays.
  EXPECT_EQ(f.longest, 1088U);
  EXPECT_EQ(f.peak_bytes, 10'000U + 5 * 25'000);
  EXPECT_EQ(f.output_tokens, 4 * 320U + 4 * 640U);
  EXPECT_TRUE(f.fits);
  s.selection = Selection::single;
  // Now stage 0: 20 pages, 10 of them shared, for five; the last stage has 25 for two.
  EXPECT_EQ(forecast(s, in).peak_bytes, 10'000U + 5 * 11'000);
  s.budget_tokens = 100;
  EXPECT_EQ(forecast(s, in).output_tokens, 100U);
  ForecastInput less = in;
  less.kv_memory = 50'000;
  EXPECT_FALSE(forecast(s, less).fits);
  EXPECT_EQ(forecast(s, less).peak_bytes, 50'000U);
}

}  // namespace
}  // namespace zaya::rsa
