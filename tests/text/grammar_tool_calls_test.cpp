#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/text/grammar_walk.h"
#include "tests/text/tokenizer_data.h"
#include "text/grammar/constraint.h"
#include "text/grammar/tool_calls.h"
#include "zaya/error.h"

namespace zaya {
namespace {

using grammar::compile_tool_calls;

// A tokenizer without the tags as tokens: a call is all text.
const Tokenizer& plain_tokenizer() {
  static const Tokenizer tokenizer = test::make_tokenizer(test::small_tokenizer_json());
  return tokenizer;
}

std::string call(const std::string& body) {
  return "<zyphra_tool_call>\n" + body + "</function>\n</zyphra_tool_call>";
}

bool takes(const std::vector<ToolFunction>& tools, const std::string& text, bool several = false) {
  return test::takes(compile_tool_calls(tools, several, plain_tokenizer()), text);
}

const std::vector<ToolFunction> kTools = {
    {"get_weather", R"({"type": "object", "properties": {"city": {"type": "string"},
       "days": {"type": "integer", "minimum": 1, "maximum": 7},
       "units": {"type": "string", "enum": ["metric", "US customary"]}}, "required": ["city"]})"},
    {"now", ""},
    {"run", R"({"type": "object", "properties": {"code": {"type": "string"}, "any": {},
       "short": {"type": "string", "maxLength": 4}, "slug": {"type": "string", "pattern": "^[a-z<>/]+$"},
       "list": {"type": "array", "items": {"type": "string"}},
       "maybe": {"anyOf": [{"type": "boolean"}, {"type": "null"}, {"enum": ["auto", 3]}]}}})"}};

std::string parameter(const std::string& name, const std::string& value) {
  return "<parameter=" + name + ">\n" + value + "\n</parameter>\n";
}

TEST(GrammarToolCalls, TakesCallsOfTheTools) {
  EXPECT_TRUE(takes(kTools, call("<function=now>\n")));
  EXPECT_TRUE(takes(kTools, "\n\n" + call("<function=now>\n")));
  const std::string weather = "<function=get_weather>\n";
  EXPECT_TRUE(takes(kTools, call(weather + parameter("city", "São Paulo"))));
  EXPECT_TRUE(takes(kTools, call(weather + parameter("city", "") + parameter("days", "7"))));
  EXPECT_TRUE(
      takes(kTools, call(weather + parameter("city", "x") + parameter("units", "US customary"))));
  EXPECT_FALSE(takes(kTools, call(weather)));  // the city is required
  EXPECT_FALSE(takes(kTools, call(weather + parameter("city", "x") + parameter("days", "8"))));
  EXPECT_FALSE(
      takes(kTools, call(weather + parameter("city", "x") + parameter("units", "\"metric\""))));
  EXPECT_FALSE(takes(kTools, call(weather + parameter("city", "x") + parameter("other", "1"))));
  EXPECT_FALSE(takes(kTools, call(weather + parameter("days", "1") + parameter("city", "x"))));
  EXPECT_FALSE(takes(kTools, call("<function=get_wether>\n" + parameter("city", "x"))));
  EXPECT_FALSE(takes(kTools, "Sure! " + call("<function=now>\n")));
  EXPECT_FALSE(takes(kTools, call("<function=now>\n") + " done"));
}

TEST(GrammarToolCalls, TextsMayHoldAnythingButTheClosingTag) {
  const auto run = [&](const std::string& name, const std::string& value) {
    return takes(kTools, call("<function=run>\n" + parameter(name, value)));
  };
  for (const char* text :
       {"if (a < b) return \"x\";\n", "<b>1</b>", "</function>", "</parameter", "</parametex>",
        "</</param<", "<parameter=code>\n1", "\n\n", "a\n</parameterz>\n", "{\"a\": [1]}", "𝔘 \t\\",
        "<", "</zyphra_tool_call>"}) {
    EXPECT_TRUE(run("code", text)) << text;
    EXPECT_TRUE(run("any", text)) << text;
  }
  EXPECT_FALSE(run("code", "a</parameter>b"));
  EXPECT_FALSE(run("code", "<</parameter>"));
  EXPECT_FALSE(run("code", "\xff"));
  EXPECT_TRUE(run("short", "a<é\n"));
  EXPECT_TRUE(run("short", "</pa"));
  EXPECT_FALSE(run("short", "</par"));
  EXPECT_TRUE(run("slug", "a/<b>"));
  EXPECT_TRUE(run("slug", "</parameter"));
  EXPECT_FALSE(run("slug", "x</parameter>"));
  EXPECT_FALSE(run("slug", "A"));
}

TEST(GrammarToolCalls, OtherValuesAreJson) {
  const auto run = [&](const std::string& name, const std::string& value) {
    return takes(kTools, call("<function=run>\n" + parameter(name, value)));
  };
  EXPECT_TRUE(run("list", R"(["a", "</parameter>"])"));
  EXPECT_FALSE(run("list", "['a']"));
  for (const char* value : {"true", "null", "auto", "3"}) EXPECT_TRUE(run("maybe", value)) << value;
  for (const char* value : {"True", "\"auto\"", "4"}) EXPECT_FALSE(run("maybe", value)) << value;
}

TEST(GrammarToolCalls, SeveralCalls) {
  const std::string one = call("<function=now>\n");
  EXPECT_TRUE(takes(kTools, one + "\n" + one + "\n" + one, true));
  EXPECT_FALSE(takes(kTools, one + "\n" + one, false));
}

TEST(GrammarToolCalls, OuterTagsAreTokensWhereTheyExist) {
  const Tokenizer& tokenizer = test::zaya_tokenizer();
  const std::vector<std::string_view> tags = {"<zyphra_tool_call>", "</zyphra_tool_call>"};
  const auto trie = std::make_shared<const grammar::TokenTrie>(tokenizer, tags);
  grammar::Constraint constraint(
      std::make_shared<grammar::Grammar>(compile_tool_calls(kTools, false, tokenizer), trie));
  const TokenId open = *tokenizer.find(tags[0]);
  const TokenId close = *tokenizer.find(tags[1]);
  EXPECT_TRUE(constraint.mask()->contains(open));
  EXPECT_FALSE(constraint.mask()->contains(*tokenizer.find("<")));
  ASSERT_TRUE(constraint.accept(open));
  for (const TokenId id : tokenizer.encode("\n<function=run>\n<parameter=code>\na < b")) {
    ASSERT_TRUE(constraint.mask()->contains(id));
    ASSERT_TRUE(constraint.accept(id));
  }
  EXPECT_FALSE(constraint.mask()->contains(close));
  for (const TokenId id : tokenizer.encode("\n</parameter>\n</function>\n")) {
    ASSERT_TRUE(constraint.accept(id));
  }
  EXPECT_EQ(constraint.mask()->ids(), std::vector<TokenId>{close});
  ASSERT_TRUE(constraint.accept(close));
  EXPECT_TRUE(constraint.finished());
}

TEST(GrammarToolCalls, Errors) {
  const auto error_of = [](const std::vector<ToolFunction>& tools) -> std::string {
    try {
      compile_tool_calls(tools, false, plain_tokenizer());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(error_of({}).find("there are none"), std::string::npos);
  EXPECT_NE(error_of({{"a>b", ""}}).find("cannot be written"), std::string::npos);
  EXPECT_NE(error_of({{"f", "{"}}).find("tool \"f\""), std::string::npos);
  EXPECT_NE(error_of({{"f", R"({"properties": {"p": {"not": {}}}})", true}})
                .find("tool \"f\"/properties/p/not"),
            std::string::npos);
  EXPECT_NE(error_of({{"f", R"({"properties": {"a>": {}}})"}}).find("cannot be written"),
            std::string::npos);
  EXPECT_NE(error_of({{"f", R"({"properties": {"p": false}, "required": ["p"]})"}})
                .find("nothing can ever"),
            std::string::npos);
}

}  // namespace
}  // namespace zaya
