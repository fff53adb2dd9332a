#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/text/tokenizer_data.h"
#include "text/tokenizer.h"
#include "zaya/error.h"

namespace zaya {
namespace {

using test::make_tokenizer;
using test::small_tokenizer_json;

std::string message_of(const std::string& text) {
  try {
    Tokenizer::parse(text, "test.json");
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

void expect_error(const std::string& text, const std::vector<std::string>& parts) {
  const std::string message = message_of(text);
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << "\"" << part << "\" not in: " << message;
  }
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

struct Case {
  const char* path;   // JSON pointer to what is set
  const char* value;  // to this; "remove" takes the key out
  std::vector<std::string> message;
};

void expect_errors(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.path) + " = " + c.value);
    Json json = small_tokenizer_json();
    const Json::json_pointer path(c.path);
    if (std::string(c.value) == "remove") {
      json[path.parent_pointer()].erase(path.back());
    } else {
      json[path] = Json::parse(c.value);
    }
    expect_error(json.dump(), c.message);
  }
}

TEST(TokenizerFile, MissingFileIsNamed) {
  try {
    Tokenizer::load("/no/such/tokenizer.json");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("/no/such/tokenizer.json: cannot open"),
              std::string::npos);
  }
}

TEST(TokenizerFile, DamagedFilesAreErrors) {
  expect_error("", {"test.json: is not valid JSON"});
  expect_error("[]", {"test.json: unexpected value: expected an object, found an array"});
  expect_error("{}", {"test.json: key \"decoder\" is missing"});
  expect_error("{\"model\": 1} x", {"test.json: is not valid JSON"});
  expect_error("{\"a\": \"\xff\"}", {"test.json: is not valid JSON"});
  expect_error(std::string(100000, '['), {"test.json: is not valid JSON"});
  const std::string whole = small_tokenizer_json().dump();
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    expect_error(whole.substr(0, size), {"test.json: is not valid JSON"});
  }
  EXPECT_EQ(message_of(whole), "no error");
}

TEST(TokenizerFile, UnsupportedRequestsAreErrors) {
  expect_errors({
      {"/normalizer",
       R"({"type": "NFC"})",
       {"test.json: normalizer: type \"NFC\" is not supported", "expected Replace"}},
      {"/normalizer",
       R"({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]})",
       {"normalizer.normalizers[0]: type \"Lowercase\""}},
      {"/normalizer/pattern",
       R"({"Regex": "a+"})",
       {"normalizer.pattern", "the key \"String\"", "found an object"}},
      {"/pre_tokenizer", R"({"type": "ByteLevel"})", {"pre_tokenizer: type \"ByteLevel\""}},
      {"/pre_tokenizer/behavior",
       "\"Sideways\"",
       {"pre_tokenizer.behavior", "Isolated", "found \"Sideways\""}},
      {"/decoder", "null", {"key \"decoder\" is missing"}},
      {"/decoder", R"({"type": "WordPiece"})", {"decoder: type \"WordPiece\""}},
      {"/decoder/decoders/2",
       R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})",
       {"decoder.decoders[2]: type \"Strip\"", "expected the order Replace, ByteFallback, Fuse"}},
      {"/decoder/decoders/3",
       R"({"type": "Strip", "content": " ", "start": 1, "stop": 1})",
       {"decoder.decoders[3].stop", "expected 0", "found 1"}},
      {"/decoder/decoders/3",
       R"({"type": "Strip", "content": "ab", "start": 1, "stop": 0})",
       {"decoder.decoders[3].content", "one character", "found \"ab\""}},
      {"/decoder/decoders/3",
       R"({"type": "ByteFallback"})",
       {"decoder.decoders[3]: type \"ByteFallback\""}},
      {"/model/type", "\"Unigram\"", {"model: type \"Unigram\" is not supported: expected BPE"}},
      {"/model/dropout", "0.1", {"model.dropout", "found 0.1"}},
      {"/model/continuing_subword_prefix",
       "\"##\"",
       {"model.continuing_subword_prefix", "found \"##\""}},
      {"/model/end_of_word_suffix", "\"</w>\"", {"model.end_of_word_suffix"}},
      {"/post_processor/type",
       "\"RobertaProcessing\"",
       {"post_processor: type \"RobertaProcessing\" is not supported"}},
      {"/post_processor/single/1/Sequence/id", "\"B\"", {"post_processor.single[1]"}},
  });
}

TEST(TokenizerFile, WrongTypesAndValuesAreErrors) {
  expect_errors({
      {"/model", "[]", {"model: unexpected value: expected an object, found an array"}},
      {"/model/vocab", "[]", {"model.vocab", "expected an object"}},
      {"/model/vocab", "remove", {"test.json: model: key \"vocab\" is missing"}},
      {"/model/merges", "{}", {"model.merges", "expected an array"}},
      {"/model/byte_fallback", "1", {"model.byte_fallback", "expected a boolean, found 1"}},
      {"/model/unk_token",
       "\"[UNK]\"",
       {"model.unk_token", "a token of model.vocab", "found \"[UNK]\""}},
      {"/model/vocab/a", "\"258\"", {"model.vocab: token \"a\" has no usable id"}},
      {"/model/vocab/a", "-1", {"token \"a\" has no usable id"}},
      {"/model/vocab/a", "2.5", {"token \"a\" has no usable id"}},
      {"/model/vocab/a", "1e30", {"token \"a\" has no usable id"}},
      {"/model/vocab/a", "4294967297", {"token \"a\" has no usable id", "0 to 2097151"}},
      {"/model/vocab/a", "259", {"token \"b\" has id 259, which \"a\" has too"}},
      {"/model/vocab/", "300", {"token \"\" is empty"}},
      {"/model/merges/1",
       "[\"a\", \"z\"]",
       {"test.json: model.merges[1]: \"z\" is no token of model.vocab"}},
      {"/model/merges/1", "[\"b\", \"c\"]", {"model.merges[1]: \"bc\" is no token"}},
      {"/model/merges/1", "[\"\", \"a\"]", {"model.merges[1]: \"\" is no token"}},
      {"/model/merges/1", "[\"a\", \"b\", \"c\"]", {"model.merges[1]", "[\"LEFT\", \"RIGHT\"]"}},
      {"/model/merges/1", "[\"a\", 1]", {"model.merges[1]"}},
      {"/model/merges/1", "\"ab\"", {"model.merges[1]", "found \"ab\""}},
      {"/model/merges/1", "\"a b c\"", {"model.merges[1]"}},
      {"/added_tokens", "{}", {"added_tokens", "expected an array"}},
      {"/added_tokens/0/special", "remove", {"added_tokens[0]: key \"special\" is missing"}},
      {"/added_tokens/0/content", "\"\"", {"added_tokens[0]: token \"\" is empty"}},
      {"/added_tokens/0/id", "7", {"added_tokens[0].id", "1, the id of \"<s>\" so far", "found 7"}},
      {"/added_tokens/0/content",
       "\"<t>\"",
       {"added_tokens[0]: token \"<t>\" has id 1, which \"<s>\" has too"}},
      {"/added_tokens/0/id", "\"x\"", {"added_tokens[0].id", "expected an integer"}},
      {"/normalizer/pattern/String", "\"\"", {"normalizer.pattern.String", "not empty"}},
      {"/normalizer/content", "null", {"normalizer: key \"content\" is missing"}},
      {"/post_processor/single", "[]", {"post_processor.single", "the Sequence \"A\""}},
      {"/post_processor/single/0/SpecialToken/id",
       "\"<z>\"",
       {"post_processor.single[0].SpecialToken.id", "found \"<z>\""}},
      {"/post_processor/special_tokens/<s>/ids/0",
       "5000000000",
       {"special_tokens.<s>.ids[0]", "the id of a token"}},
      {"/post_processor/special_tokens/<s>/ids/0", "299", {"the id of a token", "found 299"}},
  });
}

TEST(TokenizerFile, ErrorsAreOneLineWhateverTheFileHolds) {
  Json json = small_tokenizer_json();
  json["model"]["vocab"]["two\nlines\t" + std::string(5000, 'x')] = -1;
  expect_error(json.dump(), {"token \"two\\u000alines\\u0009xxx", "...\" has no usable id"});
  EXPECT_LT(message_of(json.dump()).size(), 250U);
}

TEST(TokenizerFile, RepeatedTokensAreErrors) {
  std::string text = small_tokenizer_json().dump();
  text.insert(text.find("\"<unk>\":0"), "\"b\":400,");
  expect_error(text, {"token \"b\" occurs twice"});
}

// Half a surrogate pair would make a token that is no UTF-8.
TEST(TokenizerFile, LoneSurrogatesAreErrors) {
  for (const char* token : {"\"\\udc00\"", "\"\\ud800\"", "\"\\ud800a\"", "\"\\ud800\\u0041\""}) {
    std::string text = small_tokenizer_json().dump();
    text.insert(text.find("\"<unk>\":0"), std::string(token) + ":400,");
    expect_error(text, {"is not valid JSON (Problem while parsing a string)"});
  }
}

TEST(TokenizerFile, LimitsKeepHostileFilesSmall) {
  Json json = small_tokenizer_json();
  Json token = json["added_tokens"][0];
  token["content"] = std::string(2000, 'x');
  token["id"] = 400;
  json["added_tokens"].push_back(token);
  expect_error(json.dump(), {"added_tokens[1]", "too many bytes", "at most 1024", "found 2000"});

  // Twenty steps that each make the text ten times longer.
  json = small_tokenizer_json();
  Json step = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aaaaaaaaaa"}};
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::vector<Json>(20, step)}};
  const Tokenizer tokenizer = make_tokenizer(json);
  EXPECT_THROW(tokenizer.encode("aaa"), Error);
  EXPECT_EQ(tokenizer.encode("b").size(), 1U);
}

TEST(TokenizerFile, ReadsBothSpellingsOfMerges) {
  Json json = small_tokenizer_json();
  const auto expected = make_tokenizer(json).encode("abc abc dd");
  Json lines = Json::array({"#version: 0.2"});
  for (const Json& merge : json["model"]["merges"]) {
    lines.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  json["model"]["merges"] = lines;
  EXPECT_EQ(make_tokenizer(json).encode("abc abc dd"), expected);
}

TEST(TokenizerFile, OrderOfKeysDoesNotMatter) {
  const Json json = small_tokenizer_json();
  Json reversed = Json::object();
  for (const char* key :
       {"model", "decoder", "post_processor", "pre_tokenizer", "normalizer", "added_tokens"}) {
    reversed[key] = json[key];
  }
  const Json& model = json["model"];
  reversed["model"] = {{"merges", model["merges"]},
                       {"vocab", model["vocab"]},
                       {"byte_fallback", true},
                       {"unk_token", "<unk>"},
                       {"type", "BPE"}};
  EXPECT_EQ(make_tokenizer(reversed).encode("<s> abc é", true),
            make_tokenizer(json).encode("<s> abc é", true));
}

// Gemma's file asks for a split at " " after " " has become "▁": it changes nothing. Without the
// normaliser the split is at work, and merges across spaces end.
TEST(TokenizerFile, SplitIsObeyed) {
  Json json = small_tokenizer_json();
  const auto with = make_tokenizer(json).encode("ab abc");
  json["pre_tokenizer"] = nullptr;
  EXPECT_EQ(make_tokenizer(json).encode("ab abc"), with);

  json = small_tokenizer_json();
  json["normalizer"] = nullptr;
  json["model"]["vocab"][" "] = 300;
  json["model"]["vocab"][" a"] = 301;
  json["model"]["merges"].insert(json["model"]["merges"].begin(), Json::array({" ", "a"}));
  EXPECT_EQ(make_tokenizer(json).encode("b a"), (std::vector<TokenId>{259, 300, 258}));
  json["pre_tokenizer"] = nullptr;
  EXPECT_EQ(make_tokenizer(json).encode("b a"), (std::vector<TokenId>{259, 301}));
}

}  // namespace
}  // namespace zaya
