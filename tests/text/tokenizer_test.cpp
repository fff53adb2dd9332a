#include "text/tokenizer.h"

#include <array>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "tests/fuzz/tokenizer_checks.h"
#include "tests/text/tokenizer_data.h"
#include "text/utf8.h"

namespace zaya {
namespace {

using Ids = std::vector<TokenId>;
using test::make_tokenizer;
using test::small_tokenizer_json;
using test::zaya_tokenizer;

Json data_file(const char* name) {
  return read_json_file(std::filesystem::path(ZAYA_TEST_DATA) / "tokenizer" / name);
}

std::string stream(const Tokenizer& tokenizer, const Ids& ids, bool skip_special = false) {
  StreamDecoder decoder(tokenizer, skip_special);
  std::string text;
  for (const TokenId id : ids) {
    const std::string piece = decoder.push(id);
    EXPECT_EQ(find_invalid_utf8(piece), std::string::npos);
    text += piece;
  }
  return text + decoder.finish();
}

TEST(ZayaTokenizer, GivesTheRecordedIdsAndTexts) {
  const Json cases = data_file("gemma3-zaya.json");
  ASSERT_EQ(cases.size(), 300U);
  for (const Json& expected : cases) {
    const auto text = expected["text"].get<std::string>();
    const Ids ids = zaya_tokenizer().encode(text);
    EXPECT_EQ(ids, expected["ids"].get<Ids>()) << text;
    EXPECT_EQ(zaya_tokenizer().decode(ids), expected["decoded"].get<std::string>());
    EXPECT_EQ(stream(zaya_tokenizer(), ids), expected["decoded"].get<std::string>());
  }
}

TEST(ZayaTokenizer, AddsSpecialTokensWhenAsked) {
  const Ids expected = {2, 9259, 236888, 2088, 740, 564, 6361, 611, 3124, 236881, 106};
  const std::string text = "Hello! How can I assist you today?";
  EXPECT_EQ(zaya_tokenizer().encode(text, true), expected);
  EXPECT_EQ(zaya_tokenizer().decode(expected), "<bos>" + text + "<|im_end|>");
  EXPECT_EQ(zaya_tokenizer().decode(expected, true), text);
}

TEST(ZayaTokenizer, KnowsItsVocabulary) {
  const Tokenizer& t = zaya_tokenizer();
  EXPECT_EQ(t.vocab_size(), 262147);
  EXPECT_EQ(t.token(106), "<|im_end|>");
  EXPECT_EQ(t.token(262146), "</think>");
  EXPECT_EQ(t.find("<zyphra_tool_call>"), 101);
  EXPECT_EQ(t.find("<end_of_turn>"), std::nullopt);
  EXPECT_TRUE(t.is_special(106));
  EXPECT_FALSE(t.is_special(101));
  EXPECT_FALSE(t.is_special(262145));
  for (const TokenId none : {-1, 262147, 262271, 1 << 30}) {
    EXPECT_FALSE(t.contains(none));
    EXPECT_FALSE(t.is_special(none));
    EXPECT_EQ(t.token(none), "");
    EXPECT_EQ(t.decode(Ids{9259, none}), "Hello");
  }
}

TEST(ZayaTokenizer, StreamsRandomIdsAsItDecodesThem) {
  Random random(1);
  for (int round = 0; round < 2000; ++round) {
    Ids ids(random.next() % 30);
    for (TokenId& id : ids) {  // half of them byte tokens, 238 to 493
      id = static_cast<TokenId>(random.next() % 2 == 0 ? 238 + random.next() % 256
                                                       : random.next() % 262272);
    }
    const std::string text = zaya_tokenizer().decode(ids);
    EXPECT_EQ(find_invalid_utf8(text), std::string::npos);
    EXPECT_EQ(stream(zaya_tokenizer(), ids), text);
  }
}

TEST(ZayaTokenizer, ReadsBrokenUtf8AsReplacementCharacters) {
  EXPECT_EQ(zaya_tokenizer().encode("a\xff\xe6\xbc z"),
            zaya_tokenizer().encode("a\xef\xbf\xbd\xef\xbf\xbd z"));
}

TEST(ZayaTokenizer, TakesLongRunsWithoutSlowingDown) {
  const std::string text(1000000, 'a');
  const Ids ids = zaya_tokenizer().encode(text);
  EXPECT_EQ(zaya_tokenizer().decode(ids), text);
}

TEST(ZayaTokenizer, IsTheSameInManyThreads) {
  const Tokenizer tokenizer = Tokenizer::parse(test::zaya_tokenizer_json(), "tokenizer.json");
  const Json cases = data_file("gemma3-zaya.json");
  std::vector<std::thread> threads;
  std::array<int, 4> wrong{};
  threads.reserve(wrong.size());
  for (int& mine : wrong) {
    threads.emplace_back([&] {
      for (const Json& c : cases) {
        mine += tokenizer.encode(c["text"].get<std::string>()) != c["ids"].get<Ids>() ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::array<int, 4>{}));
}

// Small random tokenizer.json files, each with what Hugging Face's library did: all the flags of
// added tokens, all split behaviours, every mix of model options (record_cases.mjs).
TEST(Tokenizer, AgreesWithTheReferenceLibrary) {
  const Json files = data_file("library_cases.json");
  ASSERT_GE(files.size(), 20U);
  for (const Json& file : files) {
    const Tokenizer tokenizer = make_tokenizer(file["tokenizer"]);
    for (const Json& c : file["encode"]) {
      const auto text = c["text"].get<std::string>();
      EXPECT_EQ(tokenizer.encode(text), c["ids"].get<Ids>()) << c << file["tokenizer"];
      EXPECT_EQ(tokenizer.encode(text, true), c["with_special"].get<Ids>()) << c;
    }
    for (const Json& c : file["decode"]) {
      const bool skip = c["skip"].get<bool>();
      EXPECT_EQ(tokenizer.decode(c["ids"].get<Ids>(), skip), c["text"].get<std::string>()) << c;
      EXPECT_EQ(stream(tokenizer, c["ids"].get<Ids>(), skip), c["text"].get<std::string>()) << c;
    }
  }
}

TEST(StreamDecoder, HoldsBytesUntilTheirRunEnds) {
  const Tokenizer t = make_tokenizer(small_tokenizer_json());
  const auto byte = [](int b) { return 2 + b; };
  const TokenId a = *t.find("a");
  StreamDecoder decoder(t);
  EXPECT_EQ(decoder.push(byte(0xc3)), "");
  EXPECT_EQ(decoder.push(byte(0xa9)), "");  // é is complete, but a bad byte would spoil it
  EXPECT_EQ(decoder.push(a),
            "\xc3\xa9"
            "a");
  EXPECT_EQ(decoder.push(byte(0xc3)), "");
  EXPECT_EQ(decoder.push(a),
            "\xef\xbf\xbd"
            "a");
  EXPECT_EQ(decoder.push(byte(0xc3)), "");
  EXPECT_EQ(decoder.push(byte(0xa9)), "");
  EXPECT_EQ(decoder.push(byte(0xc3)), "");
  EXPECT_EQ(decoder.finish(), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, LeavesOutSpecialTokensWithinARunOfBytes) {
  const Tokenizer t = make_tokenizer(small_tokenizer_json());
  EXPECT_EQ(t.decode(Ids{2 + 0xc3, 1, 2 + 0xa9}, true), "\xc3\xa9");
  EXPECT_EQ(t.decode(Ids{2 + 0xc3, 1, 2 + 0xa9}, false), "\xef\xbf\xbd<s>\xef\xbf\xbd");
}

TEST(StreamDecoder, StripsTheStartOfTheWholeTextOnly) {
  Json json = small_tokenizer_json();
  json["decoder"]["decoders"].push_back(
      Json::parse(R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})"));
  const Tokenizer t = make_tokenizer(json);
  const Ids ids = t.encode("  abc abc");
  EXPECT_EQ(t.decode(ids), " abc abc");
  EXPECT_EQ(stream(t, ids), " abc abc");
  StreamDecoder decoder(t);
  EXPECT_EQ(decoder.push(*t.find("▁abc")), "abc");
  EXPECT_EQ(decoder.push(*t.find("▁abc")), " abc");
  decoder.finish();
  EXPECT_EQ(decoder.push(*t.find("▁abc")), "abc");  // as new
}

TEST(Tokenizer, FuzzCorpusHolds) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(ZAYA_SOURCE_DIR) / "tests/fuzz/corpus/tokenizer")) {
    test::check_tokenizer(read_file(entry.path()));
    ++count;
  }
  EXPECT_GE(count, 5);
}

}  // namespace
}  // namespace zaya
