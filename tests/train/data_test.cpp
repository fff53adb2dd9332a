#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "tests/train/random_model.h"
#include "train/loader.h"
#include "train/prepare.h"
#include "train/shard.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

namespace fs = std::filesystem;

const fs::path kModel = fs::path(ZAYA_SOURCE_DIR) / "models/random-tiny";

class TrainingData : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("zaya-training-data-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// A source of examples whose tokens are `mark`, of these lengths.
  fs::path source(const std::string& name, TokenId mark, const std::vector<std::size_t>& lengths) {
    Examples examples;
    for (const std::size_t n : lengths) {
      examples.add(std::vector<TokenId>(n, mark), std::vector<std::uint8_t>(n, 1));
    }
    fs::create_directories(folder_ / name);
    write_shard(folder_ / name / "0.tokens", examples, {});
    return folder_ / name;
  }

  fs::path folder_;
};

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST_F(TrainingData, ShardsAreReadAsWritten) {
  Examples examples;
  examples.add(std::vector<TokenId>{1, 2, 3}, std::vector<std::uint8_t>{0, 1, 1});
  examples.add(std::vector<TokenId>{7}, std::vector<std::uint8_t>{0});
  write_shard(folder_ / "a.tokens", examples, {{"source", "x"}});
  const Shard shard(folder_ / "a.tokens");
  ASSERT_EQ(shard.count(), 2U);
  EXPECT_TRUE(std::ranges::equal(shard.tokens(0), std::vector<TokenId>{1, 2, 3}));
  EXPECT_TRUE(std::ranges::equal(shard.loss(0), std::vector<std::uint8_t>{0, 1, 1}));
  EXPECT_TRUE(std::ranges::equal(shard.tokens(1), std::vector<TokenId>{7}));
  EXPECT_EQ(shard.metadata().at("source"), "x");
}

TEST_F(TrainingData, DamagedShardsAreRefused) {
  source("a", 5, {10, 10});
  const fs::path path = folder_ / "a/0.tokens";
  std::string bytes = read_file(path);
  bytes[bytes.size() - 3] ^= 1;
  write_file(path, bytes);
  EXPECT_NE(message_of([&] { Shard shard(path); }).find("checksum"), std::string::npos);
  const std::string golden = std::string(ZAYA_TEST_DATA) + "/goldens/native/model.safetensors";
  EXPECT_NE(message_of([&] { Shard shard(golden); }).find("no token shard"), std::string::npos);
}

TEST(Packing, BestFitDecreasing) {
  const std::vector<std::size_t> sizes{4, 8, 1, 4, 2, 1};
  const auto groups = best_fit_decreasing(sizes, 10);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0], (std::vector<std::size_t>{1, 4}));
  EXPECT_EQ(groups[1], (std::vector<std::size_t>{0, 3, 2, 5}));
  // Nothing is lost, nothing too full, and two groups never fit into one.
  Random random(1);
  std::vector<std::size_t> many;
  for (int i = 0; i < 500; ++i) many.push_back(random.next() % 100 + 1);
  std::vector<std::size_t> fill;
  std::set<std::size_t> seen;
  for (const auto& group : best_fit_decreasing(many, 100)) {
    fill.push_back(0);
    for (const std::size_t i : group) {
      fill.back() += many[i];
      EXPECT_TRUE(seen.insert(i).second);
    }
    EXPECT_LE(fill.back(), 100U);
  }
  EXPECT_EQ(seen.size(), many.size());
  std::sort(fill.begin(), fill.end());
  EXPECT_GT(fill[0] + fill[1], 100U);
}

TEST_F(TrainingData, EveryTokenIsATargetOnceAnEpoch) {
  // Distinct tokens, in documents longer and shorter than the context.
  Examples examples;
  TokenId next = 0;
  for (const std::size_t n : {5, 64, 3, 17, 16, 33, 2}) {
    std::vector<TokenId> tokens;
    for (std::size_t i = 0; i < n; ++i) tokens.push_back(next++);
    examples.add(tokens, std::vector<std::uint8_t>(n, 1));
  }
  fs::create_directories(folder_ / "a");
  write_shard(folder_ / "a/0.tokens", examples, {});
  Loader loader({.sources = {{folder_ / "a"}}, .context = 16, .batch_rows = 32, .seed = 3});
  std::map<TokenId, int> seen;
  std::size_t rows = 0;
  while (loader.position().window == 0) {
    const PackedBatch batch = loader.next();
    if (loader.position().window != 0) break;
    EXPECT_LE(batch.rows(), 32U);
    EXPECT_LE(batch.longest(), 16U);
    rows += batch.rows();
    for (std::size_t r = 0; r < batch.rows(); ++r) {
      EXPECT_EQ(batch.targets[r], batch.tokens[r] + 1);
      ++seen[batch.targets[r]];
    }
  }
  EXPECT_EQ(seen.size(), 140U - 7U);
  // Whole epochs and a part of one.
  for (const auto& [token, count] : seen) {
    EXPECT_GE(count, static_cast<int>(rows / 133)) << token;
    EXPECT_LE(count, static_cast<int>(rows / 133) + 1) << token;
  }
}

TEST_F(TrainingData, LongExamplesAreLeftOutWhereNothingIsSplit) {
  source("a", 5, {17, 18, 3});
  Loader loader({.sources = {{folder_ / "a"}}, .context = 16, .batch_rows = 16, .split = false});
  EXPECT_EQ(loader.dropped(), 1U);
  for (int i = 0; i < 40; ++i) EXPECT_LE(loader.next().longest(), 16U);
  source("b", 5, {40});
  EXPECT_NE(message_of([&] {
              Loader none(
                  {.sources = {{folder_ / "b"}}, .context = 16, .batch_rows = 16, .split = false});
            }).find("no example"),
            std::string::npos);
}

// What is left over of a window's last batch would be a step of a few rows.
TEST_F(TrainingData, EveryBatchIsNearlyFull) {
  fs::create_directories(folder_ / "a");
  write_shard(folder_ / "a/0.tokens", counting_examples(3000, 29), {});
  Loader loader({.sources = {{folder_ / "a"}}, .context = 32, .batch_rows = 256, .seed = 1});
  for (int i = 0; i < 200; ++i) EXPECT_GT(loader.next().rows(), 128U) << i;
}

TEST_F(TrainingData, EveryBatchHasDocumentsOfAllLengths) {
  fs::create_directories(folder_ / "a");
  write_shard(folder_ / "a/0.tokens", counting_examples(3000, 29), {});
  Loader loader({.sources = {{folder_ / "a"}}, .context = 32, .batch_rows = 512, .seed = 1});
  std::vector<double> lengths;
  for (int i = 0; i < 60; ++i) {
    const PackedBatch batch = loader.next();
    lengths.push_back(static_cast<double>(batch.rows()) / static_cast<double>(batch.documents()));
  }
  const double mean = std::accumulate(lengths.begin(), lengths.end(), 0.0) / 60;
  for (const double length : lengths) EXPECT_NEAR(length, mean, 0.4 * mean);
}

TEST_F(TrainingData, MixturesKeepTheirWeights) {
  const fs::path a = source("a", 1, {30, 31, 32});
  const fs::path b = source("b", 2, {5, 6, 7, 8});
  Loader loader({.sources = {{a, 3}, {b, 1}}, .context = 32, .batch_rows = 64, .seed = 1});
  std::map<TokenId, double> rows;
  for (int i = 0; i < 320; ++i) {
    for (const TokenId t : loader.next().tokens) rows[t] += 1;
  }
  EXPECT_NEAR(rows[1] / rows[2], 3, 0.1);
}

TEST_F(TrainingData, GoesOnExactlyWhereItWas) {
  const fs::path a = source("a", 1, {30, 11, 32, 9, 4});
  const fs::path b = source("b", 2, {5, 6, 7, 8});
  const LoaderOptions options{
      .sources = {{a, 3}, {b, 1}}, .context = 16, .batch_rows = 32, .seed = 9};
  Loader loader(options);
  for (int i = 0; i < 100; ++i) {
    const Loader::Position at = loader.position();
    Loader other(options);
    other.seek(at);
    const PackedBatch want = loader.next();
    const PackedBatch got = other.next();
    ASSERT_EQ(got.tokens, want.tokens) << i;
    ASSERT_EQ(got.targets, want.targets) << i;
    ASSERT_EQ(got.starts, want.starts) << i;
  }
  Loader::Position wrong = loader.position();
  wrong.examples.pop_back();
  EXPECT_NE(message_of([&] { loader.seek(wrong); }).find("has changed"), std::string::npos);
}

std::string target_text(const Tokenizer& tokenizer, const TokenExample& example) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < example.tokens.size(); ++i) {
    if (example.loss[i] != 0) ids.push_back(example.tokens[i]);
  }
  return tokenizer.decode(ids);
}

Json conversation(const std::string& thoughts) {
  return {{"messages",
           {{{"role", "user"}, {"content", "What is 2 + 2?"}},
            {{"role", "assistant"}, {"content", "<think>\n" + thoughts + "\n</think>\n\nfour"}}}}};
}

TEST(ExampleEncoder, LearnsWhatTheAssistantWrites) {
  const ExampleEncoder encoder(kModel);
  const Tokenizer tokenizer = Tokenizer::load(kModel / "tokenizer.json");
  const auto example = encoder.encode(conversation("2 and 2"), 0, "test");
  ASSERT_TRUE(example);
  EXPECT_EQ(target_text(tokenizer, *example), "2 and 2\n</think>\n\nfour<|im_end|>");
  EXPECT_EQ(std::count(example->tokens.begin(), example->tokens.end(), 2), 1);
  // What comes before is exactly the prompt that a user's question becomes.
  ChatRequest request;
  request.messages = Json::array({{{"role", "user"}, {"content", "What is 2 + 2?"}}});
  const auto prompt = tokenizer.encode(ChatTemplate::load(kModel).render(request));
  ASSERT_LE(prompt.size(), example->tokens.size());
  EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), example->tokens.begin()));
  EXPECT_EQ(example->loss[prompt.size() - 1], 0);
  EXPECT_EQ(example->loss[prompt.size()], 1);
}

TEST(ExampleEncoder, LearnsOnlyTurnsThatStandAsTheyWereWritten) {
  const ExampleEncoder encoder(kModel);
  const Tokenizer tokenizer = Tokenizer::load(kModel / "tokenizer.json");
  Json two = conversation("first thoughts");
  two["messages"].push_back({{"role", "user"}, {"content", "And 3 + 3?"}});
  two["messages"].push_back({{"role", "assistant"}, {"content", "<think>\nmore\n</think>\n\nsix"}});
  const auto example = encoder.encode(two, 0, "test");
  ASSERT_TRUE(example);
  EXPECT_EQ(target_text(tokenizer, *example), "more\n</think>\n\nsix<|im_end|>");
}

TEST(ExampleEncoder, TrimsThoughtsAndKeepsAnswers) {
  const ExampleEncoder encoder(kModel);
  const Tokenizer tokenizer = Tokenizer::load(kModel / "tokenizer.json");
  const Json json = conversation("one two three four five six seven eight nine ten eleven twelve");
  const auto whole = encoder.encode(json, 0, "test");
  const std::size_t most = whole->tokens.size() - 9;
  const auto trimmed = encoder.encode(json, most, "test");
  ASSERT_TRUE(trimmed);
  EXPECT_EQ(trimmed->tokens.size(), most);
  const std::string text = target_text(tokenizer, *trimmed);
  EXPECT_TRUE(text.starts_with("one two three")) << text;
  EXPECT_TRUE(text.ends_with("</think>\n\nfour<|im_end|>")) << text;
  EXPECT_EQ(text.find("twelve"), std::string::npos) << text;
  EXPECT_FALSE(encoder.encode(json, 12, "test"));
  EXPECT_EQ(encoder.encode(json, whole->tokens.size(), "test")->tokens, whole->tokens);
}

TEST(ExampleEncoder, RefusesWhatIsNoExample) {
  const ExampleEncoder encoder(kModel);
  const auto message = [&](const Json& json) {
    return message_of([&] { (void)encoder.encode(json, 0, "data:3"); });
  };
  EXPECT_NE(message({{"prompt", "x"}}).find("data:3"), std::string::npos);
  EXPECT_NE(message({{"messages", 3}}).find("list of messages"), std::string::npos);
  EXPECT_NE(message({{"messages", Json::array({3})}}), "");
  EXPECT_NE(message({{"messages", Json::array({{{"role", 3}}})}}), "");
  EXPECT_NE(message({{"messages", {{{"role", "user"}, {"content", "x"}}}}}).find("to learn"),
            std::string::npos);
  EXPECT_NE(message(Json::array()), "");
}

TEST_F(TrainingData, PrepareIsResumable) {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text += i % 2 == 0 ? Json({{"text", "the cat and " + std::to_string(i)}}).dump() + "\n"
                       : conversation("number " + std::to_string(i)).dump() + "\n\n";
  }
  write_file(folder_ / "in.jsonl", text);
  const PrepareOptions options{.inputs = {folder_ / "in.jsonl"},
                               .model = kModel,
                               .out = folder_ / "out",
                               .shard_bytes = 2000};
  const PrepareResult first = prepare(options);
  EXPECT_GT(first.shards, 5U);
  EXPECT_EQ(first.kept, 0U);
  EXPECT_EQ(first.examples, 200U);
  EXPECT_GT(first.targets, 0U);
  EXPECT_LT(first.targets, first.tokens);
  const auto files = shard_files(folder_ / "out");
  ASSERT_EQ(files.size(), first.shards);
  std::vector<std::string> content;
  for (const auto& file : files) content.push_back(read_file(file));

  // One gone, one damaged, one of other input: these three are made again.
  fs::remove(files[1]);
  std::string damaged = content[2];
  damaged[damaged.size() - 2] ^= 1;
  write_file(files[2], damaged);
  write_file(files[3], content[4]);
  const PrepareResult second = prepare(options);
  EXPECT_EQ(second.kept, first.shards - 3);
  EXPECT_EQ(second.examples, first.examples);
  EXPECT_EQ(second.tokens, first.tokens);
  EXPECT_EQ(second.targets, first.targets);
  for (std::size_t i = 0; i < files.size(); ++i) EXPECT_EQ(read_file(files[i]), content[i]) << i;

  // Less input leaves no shard of before.
  write_file(folder_ / "in.jsonl", text.substr(0, text.find('\n') + 1));
  EXPECT_EQ(prepare(options).shards, 1U);
  EXPECT_EQ(shard_files(folder_ / "out").size(), 1U);

  write_file(folder_ / "in.jsonl", "{\"text\": \"a\"}\n{\"text\": }\n");
  EXPECT_NE(message_of([&] { prepare(options); }).find("in.jsonl:2"), std::string::npos);
}

}  // namespace
}  // namespace zaya::train
