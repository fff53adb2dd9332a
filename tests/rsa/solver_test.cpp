#include "rsa/solver.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <set>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "tests/rsa/scripted_generator.h"
#include "zaya/error.h"

namespace zaya::rsa {
namespace {

using test::ScriptedGenerator;

std::shared_ptr<const AggregationPrompt> plain_prompt() {
  return std::make_shared<const AggregationPrompt>(
      "{{ problem }}|{{ candidates | join('/') }}|{{ last }}", "test");
}

// The answer is the last word.
AnswerRule last_word() {
  return {.extract = [](const std::string& text) -> std::optional<std::string> {
            if (text.empty()) return std::nullopt;
            return text.substr(text.find_last_of(' ') + 1);
          },
          .same =
              [](const std::string& a, const std::string& b) {
                return a.find_first_not_of('0') < a.size() && b.find_first_not_of('0') < b.size() &&
                       a.substr(a.find_first_not_of('0')) == b.substr(b.find_first_not_of('0'));
              }};
}

Problem problem_of(const std::string& text, std::uint64_t number = 0) {
  return {.id = fmt::format("p{}", number),
          .messages = {{"user", text}},
          .prompt = plain_prompt(),
          .answers = last_word(),
          .number = number};
}

Settings small() {
  return {.rounds = 2,
          .population = 5,
          .subset = 3,
          .beta = 100,
          .tau = 4,
          .final_tokens = 200,
          .seed = 9};
}

// What is written depends on the call alone, not on when it comes.
Output by_seed(const Call& call, std::size_t /*number*/) {
  const std::string mark = fmt::format("m{}m", call.params.seed);
  return {.reasoning = fmt::format("{0} one two three {0} five", mark),
          .answer = fmt::format("it is {}", call.params.seed % 3),
          .finish = FinishReason::stop,
          .prompt_tokens = ScriptedGenerator::words(call.messages.back().content).size(),
          .output_tokens = 9};
}

std::map<std::uint64_t, ScriptedGenerator::Started> by_call_seed(const ScriptedGenerator& g) {
  std::map<std::uint64_t, ScriptedGenerator::Started> out;
  for (const auto& started : g.started) out[started.params.seed] = started;
  return out;
}

// Of every candidate, the seed with which it was asked for: its mark.
std::uint64_t seed_of(const Candidate& c) {
  return std::stoull(c.output.reasoning.substr(1));
}

TEST(RsaSolver, StagesPromptsAndTailsToTheByte) {
  ScriptedGenerator generator(by_seed);
  const Settings settings = small();
  Problem problem = problem_of("What is it?");
  problem.messages = {
      {"system", "Be exact."}, {"user", "Hello"}, {"assistant", "Hello!"}, {"user", "What is it?"}};
  const Result result = solve(generator, {problem}, settings).front();
  ASSERT_EQ(generator.started.size(), 15U);  // N (T + 1)
  const auto calls = by_call_seed(generator);
  ASSERT_EQ(calls.size(), 15U) << "seeds repeat";
  ASSERT_EQ(result.stages.size(), 3U);
  for (std::size_t stage = 0; stage < 3; ++stage) {
    ASSERT_EQ(result.stages[stage].size(), 5U);
    for (std::size_t slot = 0; slot < 5; ++slot) {
      const Candidate& c = result.stages[stage][slot];
      EXPECT_EQ(c.slot, slot);
      const auto& call = calls.at(seed_of(c));
      ASSERT_EQ(call.messages.size(), 4U);
      EXPECT_EQ(call.messages[0].content, "Be exact.");
      EXPECT_EQ(call.messages[2].content, "Hello!");
      EXPECT_EQ(*call.params.max_tokens, stage == 2 ? 200U : 100U);
      std::string want = "What is it?";
      if (stage > 0) {
        ASSERT_EQ(c.sources.size(), 3U);
        EXPECT_EQ(std::set<std::size_t>(c.sources.begin(), c.sources.end()).size(), 3U);
        std::vector<std::string> tails;
        for (const std::size_t source : c.sources) {
          tails.push_back(
              fmt::format("two three m{}m five", seed_of(result.stages[stage - 1][source])));
          EXPECT_EQ(ScriptedGenerator::words(tails.back()).size(), settings.tau);
        }
        want =
            fmt::format("What is it?|{}|{}", fmt::join(tails, "/"), stage == 2 ? "True" : "False");
      } else {
        EXPECT_TRUE(c.sources.empty());
      }
      EXPECT_EQ(call.messages[3].content, want);
    }
  }
}

TEST(RsaSolver, NothingOfEarlierStagesIsSeen) {
  ScriptedGenerator generator(by_seed);
  Settings settings = small();
  settings.rounds = 6;
  const Result result = solve(generator, {problem_of("q")}, settings).front();
  const auto calls = by_call_seed(generator);
  for (std::size_t stage = 0; stage < result.stages.size(); ++stage) {
    for (const Candidate& c : result.stages[stage]) {
      const std::string& prompt = calls.at(seed_of(c)).messages.back().content;
      for (std::size_t other = 0; other < result.stages.size(); ++other) {
        for (const Candidate& o : result.stages[other]) {
          const bool seen = prompt.find(fmt::format("m{}m", seed_of(o))) != std::string::npos;
          const bool source = other + 1 == stage && std::find(c.sources.begin(), c.sources.end(),
                                                              o.slot) != c.sources.end();
          EXPECT_EQ(seen, source);
        }
      }
    }
  }
}

Json summary(const Result& r) {
  Json json = {{"answer", r.chosen ? Json(*r.chosen) : Json()}, {"stages", Json::array()}};
  for (const auto& stage : r.stages) {
    for (const Candidate& c : stage) {
      json["stages"].push_back({c.stage, c.slot, c.sources, c.output.reasoning, c.output.answer});
    }
  }
  for (const Vote& v : r.votes) json["votes"].push_back({v.answer, v.slots});
  json["usage"] = {r.usage.calls, r.usage.prompt_tokens, r.usage.output_tokens};
  return json;
}

TEST(RsaSolver, OrderOfCompletionDoesNotMatter) {
  const std::vector<Problem> problems = {problem_of("a", 0), problem_of("b", 1),
                                         problem_of("c", 2)};
  std::vector<Json> first;
  for (std::uint64_t order = 0; order < 20; ++order) {
    ScriptedGenerator generator(by_seed, {.slots = 1 + order % 7, .order = order});
    std::vector<Json> all;
    for (const Result& r : solve(generator, problems, small())) all.push_back(summary(r));
    if (order == 0) first = all;
    EXPECT_EQ(all, first);
    EXPECT_LE(generator.most_at_once, 1 + order % 7);
  }
  EXPECT_NE(first[0]["stages"], first[1]["stages"]);
}

TEST(RsaSolver, FreeSlotsGoToOtherProblems) {
  // With 8 slots and populations of 5, three slots of each stage would idle otherwise.
  ScriptedGenerator generator(by_seed, {.slots = 8});
  std::vector<Problem> problems;
  for (std::uint64_t i = 0; i < 6; ++i) problems.push_back(problem_of("p", i));
  std::set<std::size_t> done;
  std::set<std::size_t> overlapping;  // began while the one before still ran
  const auto results = solve(
      generator, problems, small(), {.observer = [&](const Event& e) {
        if (e.kind == Event::Kind::started && e.problem > 0 && !done.contains(e.problem - 1)) {
          overlapping.insert(e.problem);
        }
        if (e.kind == Event::Kind::problem_done) done.insert(e.problem);
      }});
  EXPECT_EQ(results.size(), 6U);
  EXPECT_EQ(generator.most_at_once, 8U);
  EXPECT_EQ(done.size(), 6U);
  EXPECT_EQ(overlapping.size(), 5U);
}

std::vector<std::string> carried_texts(Carry carry, const Output& output, std::size_t subset) {
  ScriptedGenerator generator([&](const Call&, std::size_t) { return output; });
  Settings settings = small();
  settings.rounds = 1;
  settings.carry = carry;
  settings.subset = subset;
  solve(generator, {problem_of("q")}, settings);
  std::vector<std::string> texts;
  for (std::size_t i = 5; i < 10; ++i) {
    texts.push_back(generator.started.at(i).messages.back().content);
  }
  return texts;
}

TEST(RsaSolver, CarriesWhatItsModeSays) {
  Output done{.reasoning = "a b c d e f", .answer = "x y", .finish = FinishReason::stop};
  Output cut{.reasoning = "a b c d e f", .finish = FinishReason::length};
  Output half{.reasoning = "a b c d e f", .answer = "x", .finish = FinishReason::length};
  Output plain{.answer = "p q r s t u", .finish = FinishReason::stop};
  EXPECT_EQ(carried_texts(Carry::reasoning_tail, done, 1)[0], "q|c d e f|True");
  EXPECT_EQ(carried_texts(Carry::reasoning_tail, cut, 1)[0], "q|c d e f|True");
  EXPECT_EQ(carried_texts(Carry::reasoning_tail, plain, 1)[0], "q|r s t u|True");
  EXPECT_EQ(carried_texts(Carry::answer_or_tail, done, 1)[0], "q|x y|True");
  EXPECT_EQ(carried_texts(Carry::answer_or_tail, cut, 1)[0], "q|c d e f|True");
  EXPECT_EQ(carried_texts(Carry::answer_or_tail, half, 1)[0], "q|c d e f|True");
  done.answer = "u v w x y z";  // longer than tau
  EXPECT_EQ(carried_texts(Carry::answer_or_tail, done, 1)[0], "q|w x y z|True");
  EXPECT_EQ(carried_texts(Carry::full, done, 1)[0], "q|a b c d e f\n\nu v w x y z|True");
  EXPECT_EQ(carried_texts(Carry::full, cut, 1)[0], "q|a b c d e f|True");
  EXPECT_EQ(carried_texts(Carry::own_tail, done, 1)[0], "q|c d e f|True");
}

TEST(RsaSolver, OwnTailIsTheCandidatesOwn) {
  ScriptedGenerator generator(by_seed);
  Settings settings = small();
  settings.carry = Carry::own_tail;
  settings.subset = 1;
  const Result result = solve(generator, {problem_of("q")}, settings).front();
  for (std::size_t stage = 1; stage < 3; ++stage) {
    for (const Candidate& c : result.stages[stage]) {
      EXPECT_EQ(c.sources, std::vector<std::size_t>{c.slot});
    }
  }
}

TEST(RsaSolver, SelectsAsItsModeSays) {
  // Answers 1, 2, 02, 3 and none, by the order of the seeds' first use.
  const char* answers[] = {"1", "2", "02", "3", ""};
  const auto run = [&](Selection selection, std::uint64_t seed = 9) {
    ScriptedGenerator generator(
        [&](const Call&, std::size_t number) {
          return Output{.reasoning = "r",
                        .answer = answers[number % 5],
                        .finish = number % 5 == 4 ? FinishReason::length : FinishReason::stop,
                        .output_tokens = 1};
        },
        {.slots = 1});
    Settings settings = small();
    settings.selection = selection;
    settings.seed = seed;
    return solve(generator, {problem_of("q")}, settings).front();
  };
  const Result majority = run(Selection::majority);
  EXPECT_EQ(majority.usage.calls, 15U);
  ASSERT_EQ(majority.votes.size(), 3U);
  EXPECT_EQ(majority.votes[0].answer, "2");
  EXPECT_EQ(majority.votes[0].slots, (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(majority.votes[1].answer, "1");  // of equal ones the lower slot
  EXPECT_EQ(majority.chosen, 1U);
  EXPECT_EQ(majority.choice()->answer, "2");

  const Result all = run(Selection::all);
  EXPECT_EQ(all.stages.back().size(), 5U);
  EXPECT_EQ(all.votes, majority.votes);
  EXPECT_FALSE(all.chosen.has_value());

  const Result single = run(Selection::single);
  EXPECT_EQ(single.usage.calls, 11U);
  EXPECT_EQ(single.stages.back().size(), 1U);
  EXPECT_EQ(single.chosen, 0U);

  std::map<std::size_t, int> picked;
  for (std::uint64_t seed = 0; seed < 500; ++seed) ++picked[*run(Selection::pick, seed).chosen];
  double chi = 0;
  for (std::size_t slot = 0; slot < 5; ++slot)
    chi += (picked[slot] - 100) * (picked[slot] - 100) / 100.0;
  EXPECT_LT(chi, 18.47);  // 4 degrees of freedom, 99.9 %
}

TEST(RsaSolver, WithoutAnyAnswerTakesWhatFinished) {
  ScriptedGenerator generator(
      [](const Call&, std::size_t number) {
        return Output{.reasoning = "r",
                      .finish = number % 5 == 3 ? FinishReason::stop : FinishReason::length};
      },
      {.slots = 1});
  EXPECT_EQ(solve(generator, {problem_of("q")}, small()).front().chosen, 3U);
}

TEST(RsaSolver, SumsUsage) {
  ScriptedGenerator generator([](const Call&, std::size_t n) {
    return Output{.reasoning = "r",
                  .finish = FinishReason::stop,
                  .prompt_tokens = 10 * n,
                  .cached_tokens = 3,
                  .output_tokens = n + 1};
  });
  const Result result = solve(generator, {problem_of("q")}, small()).front();
  EXPECT_EQ(result.usage, (Usage{15, 10 * 105, 45, 120}));
  EXPECT_EQ(result.stage_usage[0].output_tokens, 15U);
  EXPECT_EQ(result.stage_usage[1].output_tokens, 40U);
  EXPECT_EQ(result.stage_usage[2].output_tokens, 65U);
  EXPECT_EQ(result.stage_usage[2].calls, 5U);
  EXPECT_EQ(result.largest_context, 140U + 15U);
}

TEST(RsaSolver, ContextStaysWithinItsBound) {
  ScriptedGenerator generator([](const Call& call, std::size_t) {
    std::string long_text;
    for (int i = 0; i < 200; ++i) long_text += fmt::format("w{} ", i);
    return Output{.reasoning = long_text,
                  .finish = FinishReason::length,
                  .prompt_tokens = ScriptedGenerator::words(call.messages.back().content).size(),
                  .output_tokens = *call.params.max_tokens};
  });
  Settings settings = small();
  settings.rounds = 20;
  const Result result =
      solve(generator, {problem_of("a problem of six words here ")}, settings).front();
  EXPECT_LE(result.largest_context, result.context_bound);
  EXPECT_GE(result.largest_context + 3 * 2 + 3, result.context_bound);  // and it is no loose one
  // Flat: no stage has a longer prompt than the first that aggregates.
  for (std::size_t stage = 2; stage <= 20; ++stage) {
    EXPECT_EQ(result.stages[stage][0].output.prompt_tokens,
              result.stages[1][0].output.prompt_tokens);
  }
}

TEST(RsaSolver, SamplingIsPerStage) {
  ScriptedGenerator generator(by_seed);
  Settings settings = small();
  settings.rounds = 3;
  settings.sampling = {{.temperature = 0.1}, {.temperature = 0.2, .top_p = 0.5}};
  settings.final_sampling = Sampling{.temperature = 0.6, .top_p = 0.95, .top_k = 40, .min_p = 0.01};
  settings.final_think_tokens = 50;
  const Result result = solve(generator, {problem_of("q")}, settings).front();
  const auto calls = by_call_seed(generator);
  const double want[] = {0.1, 0.2, 0.2, 0.6};
  for (std::size_t stage = 0; stage < 4; ++stage) {
    for (const Candidate& c : result.stages[stage]) {
      const SamplingParams& p = calls.at(seed_of(c)).params;
      EXPECT_EQ(p.temperature, want[stage]);
      EXPECT_EQ(p.top_k, stage == 3 ? 40U : 0U);
      EXPECT_EQ(p.think_budget.has_value(), stage == 3);
      EXPECT_EQ(p.top_p, stage == 1 || stage == 2 ? 0.5 : stage == 3 ? 0.95 : 1.0);
    }
  }
}

TEST(RsaSolver, BudgetIsNeverPassed) {
  for (const std::size_t budget : {15U, 100U, 777U, 1200U, 100000U}) {
    std::size_t used = 0;
    ScriptedGenerator generator([&](const Call& call, std::size_t number) {
      // Some stop early, so that later ones have more.
      const std::size_t tokens = number % 2 == 0 ? *call.params.max_tokens : 1;
      used += tokens;
      return Output{.reasoning = "r", .finish = FinishReason::length, .output_tokens = tokens};
    });
    Settings settings = small();
    settings.budget_tokens = budget;
    const Result result = solve(generator, {problem_of("q")}, settings).front();
    EXPECT_EQ(result.usage.calls, 15U);
    EXPECT_FALSE(result.stopped);
    EXPECT_EQ(result.usage.output_tokens, used);
    EXPECT_LE(used, budget);
    EXPECT_EQ(*generator.started[0].params.max_tokens, std::min<std::size_t>(100, budget / 15));
    if (budget == 777) {
      EXPECT_GT(*generator.started[14].params.max_tokens, 777U / 15);
    }
  }
}

TEST(RsaSolver, FailedCandidatesAreLeftOut) {
  ScriptedGenerator generator([](const Call& call, std::size_t number) {
    if (number == 1) throw Error({.where = "prompt", .what = "too long"});
    if (number == 3) return Output{.error = "the endpoint is gone"};
    return by_seed(call, number);
  });
  const Result result = solve(generator, {problem_of("q")}, small()).front();
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.stages[0][1].output.error, "prompt: too long");
  for (const Candidate& c : result.stages[1]) {
    for (const std::size_t source : c.sources) EXPECT_TRUE(source != 1 && source != 3);
  }
  EXPECT_TRUE(result.chosen.has_value());
}

TEST(RsaSolver, AStageThatFailsEndsTheProblemAlone) {
  ScriptedGenerator generator([](const Call& call, std::size_t number) {
    if (call.messages.back().content.starts_with("bad|")) return Output{.error = "no"};
    if (call.messages.back().content == "empty") return Output{.finish = FinishReason::stop};
    return by_seed(call, number);
  });
  const auto results = solve(
      generator, {problem_of("bad", 0), problem_of("good", 1), problem_of("empty", 2)}, small());
  EXPECT_EQ(results[0].error, "no");
  EXPECT_FALSE(results[0].chosen.has_value() && results[0].answer_stage == 2);
  EXPECT_EQ(results[1].error, "");
  EXPECT_EQ(results[1].usage.calls, 15U);
  EXPECT_EQ(results[2].error, "no candidate of stage 0 wrote anything");
}

TEST(RsaSolver, GoesOnFromWhatIsKnown) {
  ScriptedGenerator whole_generator(by_seed);
  const std::vector<Problem> problems = {problem_of("a", 0), problem_of("b", 1)};
  const auto whole = solve(whole_generator, problems, small());
  Random random(5);
  for (int round = 0; round < 50; ++round) {
    // Any part of the outputs; later stages only where all before are there, as a run leaves them.
    std::vector<Problem> left = problems;
    std::size_t known = 0;
    for (std::size_t p = 0; p < 2; ++p) {
      const std::size_t stages = random.next() % 4;
      for (std::size_t stage = 0; stage < std::min<std::size_t>(stages + 1, 3); ++stage) {
        for (const Candidate& c : whole[p].stages[stage]) {
          if (stage == stages && random.next() % 2 == 0) continue;
          left[p].known[{stage, c.slot}] = c.output;
          ++known;
        }
      }
    }
    ScriptedGenerator generator(by_seed, {.order = random.next()});
    const auto again = solve(generator, left, small());
    EXPECT_EQ(generator.started.size(), 30 - known);
    for (std::size_t p = 0; p < 2; ++p) EXPECT_EQ(summary(again[p]), summary(whole[p]));
  }
}

TEST(RsaSolver, StopsWhenAsked) {
  std::stop_source source;
  ScriptedGenerator generator(
      [](const Call& call, std::size_t number) { return by_seed(call, number); }, {.hangs = true});
  std::size_t started = 0;
  const auto results = solve(generator, {problem_of("a"), problem_of("b", 1)}, small(),
                             {.observer =
                                  [&](const Event& e) {
                                    if (e.kind != Event::Kind::started) return;
                                    if (++started == 4) source.request_stop();
                                  },
                              .stop = source.get_token()});
  ASSERT_EQ(results.size(), 2U);
  EXPECT_TRUE(results[0].stopped);
  EXPECT_EQ(results[0].stages[0].size(), 4U);
  EXPECT_EQ(results[0].stages[0][0].output.reasoning, "so far ");
  EXPECT_EQ(results[0].chosen, 0U);
  EXPECT_TRUE(results[1].stopped);
  EXPECT_EQ(results[1].usage.calls, 0U);
  EXPECT_FALSE(results[1].chosen.has_value());
}

TEST(RsaSolver, AnInterruptedRunTellsWhatItHas) {
  std::stop_source source;
  ScriptedGenerator generator(by_seed, {.slots = 1});
  std::size_t finished = 0;
  const Result result = solve(generator, {problem_of("a")}, small(),
                              {.observer =
                                   [&](const Event& e) {
                                     if (e.kind == Event::Kind::finished && ++finished == 7) {
                                       source.request_stop();
                                     }
                                   },
                               .stop = source.get_token()})
                            .front();
  EXPECT_TRUE(result.stopped);
  EXPECT_EQ(result.answer_stage, 1U);  // two candidates of it have ended, and answer
  EXPECT_GE(result.stages[1].size(), 2U);
  ASSERT_TRUE(result.chosen.has_value());
  EXPECT_TRUE(result.choice()->answer.has_value());
}

TEST(RsaSolver, TellsEventsInOrder) {
  ScriptedGenerator generator(by_seed);
  std::map<std::pair<std::size_t, std::size_t>, std::string> seen;
  std::vector<std::size_t> stages;
  std::size_t problems = 0;
  solve(generator, {problem_of("q")}, small(), {.observer = [&](const Event& e) {
          std::string& log = seen[{e.stage, e.slot}];
          switch (e.kind) {
            case Event::Kind::started:
              log += 's';
              break;
            case Event::Kind::progress:
              log += 'p';
              EXPECT_EQ(e.tokens, 1U);
              break;
            case Event::Kind::finished:
              log += 'f';
              EXPECT_EQ(e.candidate->slot, e.slot);
              break;
            case Event::Kind::stage_done:
              stages.push_back(e.stage);
              break;
            case Event::Kind::problem_done:
              ++problems;
              EXPECT_TRUE(e.result->chosen);
              break;
          }
        }});
  EXPECT_EQ(seen.size(), 15U);
  for (const auto& [key, log] : seen) EXPECT_EQ(log, "sppf");
  EXPECT_EQ(stages, (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_EQ(problems, 1U);
}

TEST(RsaSolver, RefusesProblemsBeforeItBegins) {
  ScriptedGenerator generator(by_seed);
  Problem none = problem_of("q");
  none.messages = {{"system", "s"}};
  EXPECT_THROW(solve(generator, {problem_of("q"), none}, small()), Error);
  Problem broken = problem_of("q");
  broken.prompt = std::make_shared<const AggregationPrompt>("{{ nothing.at.all }}", "broken");
  EXPECT_THROW(solve(generator, {problem_of("q"), broken}, small()), Error);
  EXPECT_TRUE(generator.started.empty());
}

TEST(RsaSolver, AnObserversErrorEndsTheRun) {
  ScriptedGenerator generator(by_seed, {.hangs = true});
  EXPECT_THROW(solve(generator, {problem_of("q")}, small(),
                     {.observer =
                          [](const Event& e) {
                            if (e.slot == 2) throw Error({.where = "disk", .what = "full"});
                          }}),
               Error);
}

}  // namespace
}  // namespace zaya::rsa
