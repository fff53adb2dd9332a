#include "engine/generation_config.h"

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya {
namespace {

GenerationConfig parse(const std::string& text) {
  return parse_generation_config(parse_json(text, "g.json"), "g.json", 1000);
}

std::string error(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(GenerationConfig, EveryKey) {
  const GenerationConfig c = parse(R"({
    "do_sample": true, "temperature": 0.6, "top_k": 40, "top_p": 0.9, "min_p": 0.05,
    "repetition_penalty": 1.1, "max_new_tokens": 77, "eos_token_id": [106, 1],
    "bos_token_id": 2, "pad_token_id": 0, "stop_strings": ["a", "b"], "suppress_tokens": [5],
    "num_beams": 1, "typical_p": 1.0, "min_length": 0, "bad_words_ids": null,
    "transformers_version": "4.57.0", "cache_implementation": "hybrid"})");
  EXPECT_EQ(c.params.temperature, 0.6);
  EXPECT_EQ(c.params.top_k, 40U);
  EXPECT_EQ(c.params.top_p, 0.9);
  EXPECT_EQ(c.params.min_p, 0.05);
  EXPECT_EQ(c.params.repetition_penalty, 1.1);
  EXPECT_EQ(c.params.max_tokens, 77U);
  EXPECT_EQ(c.eos, (std::vector<TokenId>{106, 1}));
  EXPECT_EQ(c.params.stop, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(c.params.logit_bias.size(), 1U);
  EXPECT_EQ(c.params.logit_bias[0].id, 5);
  EXPECT_TRUE(std::isinf(c.params.logit_bias[0].bias));
  EXPECT_TRUE(c.notes.empty());
}

TEST(GenerationConfig, WhatIsNotSaidChangesNothing) {
  const SamplingParams p = parse(R"({"temperature": 0.6})").params;
  EXPECT_EQ(p.temperature, 0.6);
  EXPECT_EQ(p.top_p, 1.0);
  EXPECT_EQ(p.top_k, 0U);
  EXPECT_FALSE(p.max_tokens.has_value());
  EXPECT_EQ(parse(R"({"top_k": -1})").params.top_k, 0U);
  EXPECT_EQ(parse(R"({"eos_token_id": 106})").eos, (std::vector<TokenId>{106}));
  EXPECT_EQ(parse(R"({"stop_strings": "x"})").params.stop, (std::vector<std::string>{"x"}));
}

TEST(GenerationConfig, GreedyWhenSamplingIsOff) {
  EXPECT_TRUE(parse(R"({"do_sample": false, "temperature": 0.6})").params.greedy());
}

TEST(GenerationConfig, ModelCardAdviceWhenNothingIsSaidOfSampling) {
  const SamplingParams p = parse(R"({"eos_token_id": 1})").params;
  EXPECT_EQ(p.temperature, 1.0);
  EXPECT_EQ(p.top_p, 0.95);
  const auto empty = std::filesystem::temp_directory_path() / "zaya-no-generation-config";
  std::filesystem::create_directories(empty);
  EXPECT_EQ(load_generation_config(empty, 1000).params.top_p, 0.95);
  write_file(empty / "generation_config.json", R"({"top_p": 0.5})");
  EXPECT_EQ(load_generation_config(empty, 1000).params.top_p, 0.5);
  std::filesystem::remove_all(empty);
}

TEST(GenerationConfig, ErrorsNameFileAndKey) {
  EXPECT_EQ(error(R"({"top_p": 1.5})"),
            "g.json: top_p: out of range: expected above 0 and at most 1, found 1.5");
  EXPECT_EQ(error(R"({"num_beams": 4})"),
            "g.json: 'num_beams' is not supported: expected the key to be absent, found 4");
  EXPECT_NE(error(R"({"bad_words_ids": [[1, 2]]})").find("bad_words_ids"), std::string::npos);
  EXPECT_NE(error(R"({"eos_token_id": "x"})").find("eos_token_id"), std::string::npos);
  EXPECT_NE(error(R"({"eos_token_id": [-1]})").find("eos_token_id"), std::string::npos);
  EXPECT_NE(error(R"({"temperature": "hot"})").find("temperature"), std::string::npos);
  EXPECT_NE(error(R"({"top_k": -2})").find("top_k"), std::string::npos);
  EXPECT_NE(error(R"({"suppress_tokens": [1000]})").find("ids from 0 to 999"), std::string::npos);
  EXPECT_NE(error(R"({"stop_strings": [1]})").find("stop_strings"), std::string::npos);
  EXPECT_NE(error(R"([])").find("an object"), std::string::npos);
}

TEST(GenerationConfig, SaysWhatItIgnores) {
  const auto notes = parse(R"({"max_length": 20})").notes;
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("max_length"), std::string::npos);
}

}  // namespace
}  // namespace zaya
