// Speculation changes nothing but the number of steps: whatever a draft says, the tokens, texts,
// log-probabilities and ends are those without it, and sampled outputs have the model's own
// distribution.
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "engine/generation.h"

namespace zaya {
namespace {

constexpr std::size_t kVocab = 1030;
constexpr TokenId kBos = 2;
constexpr TokenId kTurnStart = 105;
constexpr TokenId kTurnEnd = 106;
constexpr TokenId kOpen = 1022;

std::shared_ptr<const ModelText> tiny() {
  static const auto text = [] {
    ModelConfig config;
    config.vocab = kVocab;
    config.max_positions = 400;
    config.eos = {1};
    return std::make_shared<const ModelText>(load_model_text(
        std::filesystem::path(ZAYA_SOURCE_DIR) / "models/random-tiny", std::move(config)));
  }();
  return text;
}

/// A model whose logits follow from the last two tokens, among few that it likes: it says a lot
/// again, and not always.
class Markov {
 public:
  Markov(std::vector<TokenId> likes, double strength)
      : likes_(std::move(likes)), strength_(strength) {}

  double logit(TokenId before, TokenId last, TokenId next) const {
    const auto seed =
        static_cast<std::uint64_t>(before) * kVocab + static_cast<std::uint64_t>(last);
    return strength_ * Random(seed, static_cast<std::uint64_t>(next)).normal();
  }

  Feed feed() {
    return {.add =
                [this](std::span<const TokenId> tokens, std::size_t drafts, const Progress&) {
                  ++steps;
                  text.insert(text.end(), tokens.begin(), tokens.end());
                  logits_.assign((1 + drafts) * kVocab, -50.0F);
                  for (std::size_t row = 0; row <= drafts; ++row) {
                    const std::size_t end = text.size() - drafts + row;
                    for (const TokenId t : likes_) {
                      logits_[row * kVocab + static_cast<std::size_t>(t)] =
                          static_cast<float>(logit(text[end - 2], text[end - 1], t));
                    }
                  }
                  drafts_ = drafts;
                  return std::span<const float>(logits_);
                },
            .drop =
                [this](std::size_t count) {
                  EXPECT_LE(count, drafts_);
                  text.resize(text.size() - count);
                }};
  }

  std::vector<TokenId> text;
  std::size_t steps = 0;

 private:
  std::vector<TokenId> likes_;
  double strength_;
  std::vector<float> logits_;
  std::size_t drafts_ = 0;
};

/// Everything that can be seen of an output.
struct Output {
  std::vector<TokenId> tokens;
  std::vector<std::string> pieces;  ///< reasoning and answer of each token
  std::vector<bool> forced;
  std::vector<float> logprobs;
  FinishReason finish;
  std::string rest;
  bool operator==(const Output&) const = default;
};

struct Told {
  Output output;
  GenerationStats stats;
  std::size_t steps;
};

Told run(Markov model, const std::vector<TokenId>& prompt, SamplingParams params,
         std::size_t draft_tokens, std::size_t most_events = SIZE_MAX) {
  params.draft_tokens = draft_tokens;
  Generation generation(tiny(), params, prompt, {.split_reasoning = true});
  Told out;
  out.stats = generate(generation, model.feed(), prompt, {}, [&](const TokenEvent& event) {
    out.output.tokens.push_back(event.token);
    out.output.forced.push_back(event.forced);
    out.output.pieces.push_back(event.text.reasoning);
    out.output.pieces.push_back(event.text.answer);
    if (event.logprobs) {
      out.output.logprobs.push_back(event.logprobs->token.logprob);
      for (const TokenLogprob& t : event.logprobs->top) out.output.logprobs.push_back(t.logprob);
    }
    return out.output.tokens.size() < most_events;
  });
  out.output.finish = *generation.finish_reason();
  out.output.rest = out.stats.rest.reasoning + out.stats.rest.answer;
  out.steps = model.steps;
  // What the model has seen is all but the last token.
  std::vector<TokenId> seen = prompt;
  seen.insert(seen.end(), out.output.tokens.begin(), out.output.tokens.end() - 1);
  EXPECT_EQ(model.text, seen);
  EXPECT_EQ(out.stats.output_tokens, out.output.tokens.size());
  EXPECT_EQ(out.steps + out.stats.accepted_tokens, out.output.tokens.size());
  return out;
}

std::vector<TokenId> likes() {
  std::vector<TokenId> out = tiny()->tokenizer->encode("abcdefgh \n\u00e9");
  std::erase(out, kBos);
  return out;
}

TEST(Speculation, NothingCanBeSeenOfIt) {
  std::vector<TokenId> likes_end = likes();
  likes_end.push_back(kTurnEnd);
  const std::map<std::string, SamplingParams> kinds{
      {"greedy", {.temperature = 0}},
      {"sampled", {.temperature = 1}},
      {"cut", {.temperature = 0.8, .top_k = 5, .top_p = 0.9, .min_p = 0.02}},
      {"penalised", {.temperature = 0, .repetition_penalty = 1.05, .frequency_penalty = 0.1}},
      {"with log-probabilities", {.temperature = 0.5, .top_logprobs = 3}},
      {"stopped by text", {.temperature = 0.5, .stop = {"ab", "cd", "ef"}}},
      {"stopped by a token", {.temperature = 0.5, .stop_ids = {likes()[3]}}},
      {"thinking", {.temperature = 0.5, .think_budget = 20}},
      {"going on after its end", {.temperature = 0.5, .ignore_eos = true}},
  };
  std::map<FinishReason, std::size_t> ends;
  for (const auto& [kind, given] : kinds) {
    std::size_t drafted = 0;
    std::size_t accepted = 0;
    std::size_t forced = 0;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      SCOPED_TRACE(kind + ", seed " + std::to_string(seed));
      Random random(31, seed);
      SamplingParams params = given;
      params.seed = seed;
      params.max_tokens = 1 + random.next() % 300;  // at times more than the context has
      const Markov model(random.next() % 2 == 0 ? likes() : likes_end, 2.0);
      // A prompt that the model itself wrote, so that it holds what will be said again.
      std::vector<TokenId> prompt{kBos, kTurnStart};
      prompt = run(model, prompt, {.seed = seed, .max_tokens = 150, .ignore_eos = true}, 0)
                   .output.tokens;
      prompt.push_back(kTurnStart);
      prompt.push_back(kOpen);
      const Told plain = run(model, prompt, params, 0);
      EXPECT_EQ(plain.stats.drafted_tokens, 0U);
      ++ends[plain.output.finish];
      forced += static_cast<std::size_t>(
          std::count(plain.output.forced.begin(), plain.output.forced.end(), true));
      for (const std::size_t draft_tokens : {1, 4, 16}) {
        const Told fast = run(model, prompt, params, draft_tokens);
        ASSERT_EQ(fast.output, plain.output) << "with drafts of " << draft_tokens;
        drafted += fast.stats.drafted_tokens;
        accepted += fast.stats.accepted_tokens;
      }
      // Whoever reads it stops it, in the middle of what a step gave.
      const std::size_t some = 1 + random.next() % 40;
      ASSERT_EQ(run(model, prompt, params, 16, some).output,
                run(model, prompt, params, 0, some).output);
    }
    EXPECT_GT(accepted, 100U) << kind;
    EXPECT_GT(drafted - accepted, 100U) << kind;
    EXPECT_EQ(forced > 0, kind == "thinking");
  }
  EXPECT_GT(ends[FinishReason::stop], 50U);
  EXPECT_GT(ends[FinishReason::length], 50U);
}

// Chi-squared of the outputs of many seeds against the product of the model's own probabilities.
TEST(Speculation, SampledOutputsHaveTheModelsDistribution) {
  const std::vector<TokenId> three{300, 301, 302};
  constexpr std::size_t kLength = 5;
  constexpr std::size_t kOutputs = 243;
  constexpr std::size_t kRuns = 20000;
  const Markov model(three, 1.0);
  const std::vector<TokenId> prompt{300, 301, 302, 300, 301, 302, 300, 301, 302, 300, 301};
  std::array<std::size_t, kOutputs> count{};
  std::size_t drafted = 0;
  std::size_t accepted = 0;
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    const Told r = run(model, prompt, {.seed = seed, .max_tokens = kLength}, 16);
    std::size_t which = 0;
    for (const TokenId t : r.output.tokens) which = which * 3 + static_cast<std::size_t>(t - 300);
    ++count[which];
    drafted += r.stats.drafted_tokens;
    accepted += r.stats.accepted_tokens;
  }
  EXPECT_GT(accepted, kRuns / 10);
  EXPECT_GT(drafted - accepted, kRuns / 10);
  double chi = 0;
  for (std::size_t which = 0; which < kOutputs; ++which) {
    std::vector<TokenId> text = prompt;
    double p = 1;
    for (std::size_t i = 0, scale = kOutputs / 3; i < kLength; ++i, scale /= 3) {
      const TokenId next = 300 + static_cast<TokenId>(which / scale % 3);
      double sum = 0;
      for (const TokenId t : three) sum += std::exp(model.logit(text.end()[-2], text.back(), t));
      p *= std::exp(model.logit(text.end()[-2], text.back(), next)) / sum;
      text.push_back(next);
    }
    const double expected = p * static_cast<double>(kRuns);
    chi += std::pow(static_cast<double>(count[which]) - expected, 2) / expected;
  }
  // 242 degrees of freedom: mean 242, standard deviation 22. Five deviations.
  EXPECT_LT(chi, 352.0);
}

}  // namespace
}  // namespace zaya
