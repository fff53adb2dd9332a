#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"
#include "tests/text/tokenizer_data.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace zaya {
namespace {

using Ids = std::vector<TokenId>;

/// Byte-pair encoding by its definition: look at all pairs, merge the lowest rank, start again.
class PlainBpe {
 public:
  explicit PlainBpe(const Json& model) {
    for (const auto& [text, id] : model["vocab"].items()) vocab_[text] = id.get<TokenId>();
    int rank = 0;
    for (const Json& merge : model["merges"]) {
      ranks_[{merge[0].get<std::string>(), merge[1].get<std::string>()}] = rank++;
    }
  }

  Ids encode(const std::string& text) const {
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t begin = i;
      next_code_point(text, i);
      parts.push_back(text.substr(begin, i - begin));
    }
    while (merge_one(parts)) {
    }
    Ids ids;
    for (const std::string& part : parts) ids.push_back(vocab_.at(part));
    return ids;
  }

 private:
  bool merge_one(std::vector<std::string>& parts) const {
    int lowest = -1;
    std::size_t best = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks_.find({parts[i], parts[i + 1]});
      if (found == ranks_.end() || (lowest >= 0 && found->second >= lowest)) continue;
      lowest = found->second;
      best = i;
    }
    if (lowest < 0) return false;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    return true;
  }

  std::map<std::string, TokenId> vocab_;
  std::map<std::pair<std::string, std::string>, int> ranks_;
};

std::string pick(Random& random, const std::vector<std::string>& list) {
  return list[random.next() % list.size()];
}

// A vocabulary of `letters`, of merges of random tokens, and of tokens that no merge makes.
Json random_model(Random& random, const std::vector<std::string>& letters) {
  Json json = test::small_tokenizer_json();
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = nullptr;
  json["added_tokens"] = Json::array();
  json["post_processor"] = nullptr;
  Json& model = json["model"];
  std::vector<std::string> tokens = letters;
  model["merges"] = Json::array();
  const std::size_t merges = 1 + random.next() % 60;
  for (std::size_t i = 0; i < merges; ++i) {
    const std::string left = pick(random, tokens);
    const std::string right = pick(random, tokens);
    if (left.size() + right.size() > 24) continue;
    model["merges"].push_back({left, right});
    tokens.push_back(left + right);
  }
  for (int i = 0; i < 5; ++i) tokens.push_back(pick(random, letters) + pick(random, tokens));
  model["vocab"] = Json{{"<unk>", 0}};
  for (const std::string& token : tokens) {
    if (!model["vocab"].contains(token)) model["vocab"][token] = model["vocab"].size();
  }
  return json;
}

// Twenty thousand random texts over random vocabularies, short ones (found by scanning) and long
// ones (by the heap), each twice: the second time what was learnt about whole tokens is used.
TEST(Bpe, AgreesWithItsDefinition) {
  Random random(7);
  const std::vector<std::string> letters = {"a", "b", "c", "d", "▁", "é", "漢", "😀"};
  for (int round = 0; round < 200; ++round) {
    const std::vector<std::string> some(
        letters.begin(), letters.begin() + 2 + static_cast<std::ptrdiff_t>(random.next() % 7));
    const Json json = random_model(random, some);
    const PlainBpe plain(json["model"]);
    const Tokenizer tokenizer = test::make_tokenizer(json);
    for (int i = 0; i < 100; ++i) {
      std::string text;
      const std::size_t length = random.next() % (i % 10 == 0 ? 150 : 12);
      for (std::size_t k = 0; k < length; ++k) text += pick(random, some);
      const Ids expected = plain.encode(text);
      ASSERT_EQ(tokenizer.encode(text), expected) << text << "\n" << json["model"];
      ASSERT_EQ(tokenizer.encode(text), expected) << text << "\n" << json["model"];
    }
  }
}

TEST(Bpe, MergesTheLeftmostOfEqualRanks) {
  const Tokenizer t = test::make_tokenizer(test::small_tokenizer_json());
  const TokenId d = *t.find("d");
  const TokenId dd = *t.find("dd");
  EXPECT_EQ(t.encode("ddd"), (Ids{dd, d}));
  Ids many(50, dd);
  many.push_back(d);
  EXPECT_EQ(t.encode(std::string(101, 'd')), many);
}

TEST(Bpe, FallsBackToBytesThenToTheUnknownToken) {
  Json json = test::small_tokenizer_json();
  EXPECT_EQ(test::make_tokenizer(json).encode("aéb"), (Ids{258, 2 + 0xc3, 2 + 0xa9, 259}));
  json["model"]["byte_fallback"] = false;
  EXPECT_EQ(test::make_tokenizer(json).encode("aéxb"), (Ids{258, 0, 259}));
  json["model"]["fuse_unk"] = false;
  EXPECT_EQ(test::make_tokenizer(json).encode("aéxb"), (Ids{258, 0, 0, 259}));
  json["model"]["unk_token"] = nullptr;  // dropped: a and b meet and merge
  EXPECT_EQ(test::make_tokenizer(json).encode("aéxb"),
            (Ids{*test::make_tokenizer(json).find("ab")}));
}

TEST(Bpe, MergesByteTokensWhenTheFileSaysSo) {
  Json json = test::small_tokenizer_json();
  json["model"]["merges"].push_back({"<0xC3>", "<0xA9>"});
  json["model"]["vocab"]["<0xC3><0xA9>"] = 300;
  const Tokenizer t = test::make_tokenizer(json);
  EXPECT_EQ(t.encode("aéa"), (Ids{258, 300, 258}));
  EXPECT_EQ(t.vocab_size(), 301);
  EXPECT_FALSE(t.contains(299));
}

TEST(Bpe, TakesAWholeTokenWhenMergesAreIgnored) {
  Json json = test::small_tokenizer_json();
  json["model"]["vocab"]["cab"] = 300;
  EXPECT_EQ(test::make_tokenizer(json).encode("cab"), (Ids{260, 264}));
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(test::make_tokenizer(json).encode("cab"), (Ids{300}));
  EXPECT_EQ(test::make_tokenizer(json).encode("cabc"), (Ids{260, 266}));
}

}  // namespace
}  // namespace zaya
