#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "text/tools/arguments.h"
#include "text/tools/literal.h"
#include "text/tools/tool_set.h"
#include "zaya/error.h"

namespace zaya {
namespace {

Json json(const char* text) {
  return parse_json(text, "test");
}

std::string coerced(const char* schema, const std::string& text) {
  const Json s = json(schema);
  return coerce(value_type(s, s), text);
}

TEST(ToolSet, ReadsTheFormsOfDeclarations) {
  const ToolSet tools(json(R"([{"type": "function", "function": {"name": "a", "parameters": {
      "properties": {"x": {"type": "integer"}}, "additionalProperties": {"type": "boolean"}}}},
      {"name": "b", "input_schema": {"properties": {"y": {"type": "number"}}}},
      {"name": "c", "parameters": null}])"));
  EXPECT_TRUE(tools.find("a")->type_of("x").integer);
  EXPECT_TRUE(tools.find("a")->type_of("other").boolean);
  EXPECT_FALSE(tools.find("a")->declares("other"));
  EXPECT_TRUE(tools.find("b")->type_of("y").number);
  EXPECT_TRUE(tools.find("c")->type_of("z").is_text());
  EXPECT_EQ(tools.find("d"), nullptr);
  EXPECT_TRUE(ToolSet(Json()).empty());
}

TEST(ToolSet, RefusesWhatIsNoDeclaration) {
  const auto error = [](const char* tools) {
    try {
      const ToolSet set(json(tools));
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error("{}"), "tools: wrong JSON type: expected a list of functions, found object");
  EXPECT_NE(error("[5]").find("tools[0]"), std::string::npos);
  EXPECT_NE(error(R"([{"function": {}}])").find("'name' is missing"), std::string::npos);
  EXPECT_NE(error(R"([{"name": ""}])").find("no name"), std::string::npos);
  EXPECT_NE(error(R"([{"name": "f", "parameters": []}])").find("tools[0]"), std::string::npos);
  EXPECT_EQ(error(R"([{"name": "f"}, {"name": "f"}])"),
            "tools[1]: a function named 'f' is there already");
}

TEST(ToolArguments, EveryTypeOfASchema) {
  EXPECT_EQ(coerced(R"({"type": "integer"})", " 12\n"), "12");
  EXPECT_EQ(coerced(R"({"type": "integer"})", "+012"), "12");
  EXPECT_EQ(coerced(R"({"type": "integer"})", "5.0"), "5");
  EXPECT_EQ(coerced(R"({"type": "integer"})", "1e3"), "1000");
  EXPECT_EQ(coerced(R"({"type": "integer"})", "5.5"), "5.5");
  EXPECT_EQ(coerced(R"({"type": "integer"})", "-"), "\"-\"");
  EXPECT_EQ(coerced(R"({"type": "integer"})", "0x10"), "\"0x10\"");
  EXPECT_EQ(coerced(R"({"type": "integer"})", ""), "\"\"");
  EXPECT_EQ(coerced(R"({"type": "number"})", ".5"), "0.5");
  EXPECT_EQ(coerced(R"({"type": "number"})", "-5."), "-5.0");
  EXPECT_EQ(coerced(R"({"type": "number"})", "."), "\".\"");
  EXPECT_EQ(coerced(R"({"type": "number"})", "NaN"), "\"NaN\"");
  EXPECT_EQ(coerced(R"({"type": "boolean"})", "TRUE"), "true");
  EXPECT_EQ(coerced(R"({"type": "boolean"})", "1"), "\"1\"");
  EXPECT_EQ(coerced(R"({"type": "null"})", "None"), "null");
  EXPECT_EQ(coerced(R"({"type": "object"})", "{\"a\": [1, {}]}"), "{\"a\": [1, {}]}");
  EXPECT_EQ(coerced(R"({"type": "array"})", "(1, 'x',)"), "[1,\"x\"]");
  EXPECT_EQ(coerced(R"({"type": "array"})", "[1, 2"), "\"[1, 2\"");
  EXPECT_EQ(coerced(R"({"type": "array"})", "\"[1, 2]\""), "[1, 2]");
  EXPECT_EQ(coerced("{}", "[1]"), "\"[1]\"");
  EXPECT_EQ(coerced("true", "5"), "\"5\"");
  EXPECT_EQ(coerced(R"({"items": {}})", "[1]"), "[1]");
}

TEST(ToolArguments, NumbersKeepTheirDigitsOrAreStrings) {
  const std::string many = "123456789012345678901234567890";
  EXPECT_EQ(coerced(R"({"type": "integer"})", many), many);
  EXPECT_EQ(coerced(R"({"type": "number"})", "0.1000000000000000000001"),
            "0.1000000000000000000001");
  EXPECT_EQ(coerced(R"({"type": "array"})", "[" + many + "]"), "[" + many + "]");
  EXPECT_EQ(coerced(R"({"type": "number"})", "1e999"), "\"1e999\"");
  EXPECT_EQ(coerced(R"({"type": "integer"})", std::string(1000, '9')).front(), '"');
  EXPECT_EQ(coerced(R"({"type": "integer"})", std::string("1\0002", 3)), R"("1\u00002")");
}

TEST(ToolArguments, SeveralTypes) {
  const char* any = R"({"type": ["string", "integer", "null", "object"]})";
  EXPECT_EQ(coerced(any, "5"), "5");
  EXPECT_EQ(coerced(any, "05"), "\"05\"");
  EXPECT_EQ(coerced(any, "5.5"), "\"5.5\"");
  EXPECT_EQ(coerced(any, "null"), "null");
  EXPECT_EQ(coerced(any, "{\"a\": 1}"), "{\"a\": 1}");
  EXPECT_EQ(coerced(any, "[1]"), "\"[1]\"");
  EXPECT_EQ(coerced(any, "so"), "\"so\"");
  EXPECT_EQ(coerced(R"({"anyOf": [{"type": "number"}, {"type": "null"}]})", "null"), "null");
  EXPECT_EQ(coerced(R"({"oneOf": [{"const": "a"}, {"type": "boolean"}]})", "False"), "false");
  EXPECT_EQ(coerced(R"({"type": "string", "nullable": true})", "null"), "null");
  EXPECT_EQ(coerced(R"({"type": "str"})", "null"), "\"null\"");
  EXPECT_EQ(coerced(R"({"type": "dict"})", "{}"), "{}");
  EXPECT_EQ(coerced(R"({"enum": ["a b", 1, true, null, 2.5]})", " a b "), "\"a b\"");
  EXPECT_EQ(coerced(R"({"enum": ["a b", 1, true, null, 2.5]})", "True"), "true");
  EXPECT_EQ(coerced(R"({"enum": ["1", "2"]})", "1"), "\"1\"");
  EXPECT_EQ(coerced(R"({"enum": ["a"]})", "c"), "\"c\"");
}

TEST(ToolArguments, References) {
  EXPECT_EQ(coerced(R"({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}})", "5"), "5");
  // In circles, to nothing, doubling at each level: nothing is known, so it is a string.
  EXPECT_EQ(coerced(R"({"$ref": "#"})", "5"), "\"5\"");
  EXPECT_EQ(coerced(R"({"$ref": "#/none"})", "5"), "\"5\"");
  EXPECT_EQ(coerced(R"({"$ref": "#x/~y"})", "5"), "\"5\"");
  EXPECT_EQ(coerced(R"({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]})", "5"), "\"5\"");
}

TEST(ToolArguments, WhatWasMeantByAString) {
  EXPECT_EQ(meant_string("\"a\\u00e9\\n\" "), "a\u00e9\n");
  EXPECT_EQ(meant_string("\"a\" b"), "\"a\" b");
  EXPECT_EQ(meant_string("a<BR />b"), "a\nb");
  EXPECT_EQ(meant_string("a<br>b</i>"), "a<br>b</i>");
  EXPECT_EQ(meant_string("a<br\nb"), "a<br\nb");
}

// Cut anywhere, a string that streams is the string that it is as a whole.
TEST(ToolArguments, StreamingIsTheSame) {
  static const std::vector<std::string> parts = {"a",   "\n", "\"", "\\", "<br>",
                                                 "<b>", " ",  "<",  "n"};
  ValueType type;
  type.string = true;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Random random(seed);
    ArgumentValue value(type);
    std::string whole;
    std::string streamed;
    for (std::size_t n = random.next() % 8; n > 0; --n) {
      const std::string& part = parts[random.next() % parts.size()];
      auto look = ArgumentValue::Look::plain;
      if (part == "<br>") look = ArgumentValue::Look::line_break;
      if (part == "<b>") look = ArgumentValue::Look::markup;
      // Whether "<" is markup depends on what follows, which the caller knows.
      if (part == "<" && n > 1) continue;
      whole += part;
      streamed += value.push(part, look);
    }
    streamed += value.finish();
    if (whole.starts_with('\n')) whole.erase(0, 1);
    if (whole.ends_with('\n')) whole.pop_back();
    EXPECT_EQ(json(streamed.c_str()), Json(meant_string(whole))) << Json(whole);
  }
}

TEST(Literal, ReadsPythonAndJson) {
  const auto read = [](const char* text) {
    const auto value = parse_literal(text);
    return value ? value->dump() : "nothing";
  };
  EXPECT_EQ(read("{'a': [True, False, None], 'b': (1, -2.5e3,), \"c\": {}}"),
            R"({"a":[true,false,null],"b":[1,-2500.0],"c":{}})");
  EXPECT_EQ(read(R"('it\'s \x41 \u00e9 \ud83d\ude00 \ud83d \q \
x')"),
            "\"it's A \u00e9 \U0001f600 \ufffd \\\\q x\"");
  for (const char* bad : {"", "'a", "[1", "[1 2]", "{1: 2}", "{'a' 1}", "a", "[,]", "1_000", "b'x'",
                          "{'a': 1} x", "inf"}) {
    EXPECT_EQ(read(bad), "nothing") << bad;
  }
  EXPECT_EQ(read((std::string(5000, '[') + "'").c_str()), "nothing");
}

TEST(Literal, ReadsKeywords) {
  const auto read = [](const char* text) {
    const Keywords keywords = parse_keywords(text);
    std::string out;
    for (const auto& [name, value] : keywords.values) out += name + "=" + value.dump() + ";";
    return out + (keywords.whole ? "" : "...");
  };
  EXPECT_EQ(read("a='x', b=1, c=[1, 'y'], d=True"), "a=\"x\";b=1;c=[1,\"y\"];d=true;");
  EXPECT_EQ(read("a = New York , b=2,"), "a=\"New York\";b=2;");
  EXPECT_EQ(read(""), "");
  EXPECT_EQ(read("a=1, b='x"), "a=1;...");
  EXPECT_EQ(read("5"), "...");
}

TEST(Literal, ClosesJsonThatWasCut) {
  EXPECT_EQ(close_json(R"({"a": 1, "b": [1, 2, {"c": "x)"), R"({"a": 1, "b": [1, 2, {}]})");
  EXPECT_EQ(close_json(R"({"a": "x\")"), "{}");
  EXPECT_EQ(close_json(R"({"a": "x", "b")"), R"({"a": "x"})");
  EXPECT_EQ(close_json(R"({"a": [1], "b": 12)"), R"({"a": [1]})");
  const std::string whole = R"({"a": [1, "x", {"b": null}], "c": "d,]}", "e": {"f": -1.5}})";
  for (std::size_t i = 1; i <= whole.size(); ++i) {
    EXPECT_TRUE(parse_strict(close_json(whole.substr(0, i)))) << whole.substr(0, i);
  }
}

}  // namespace
}  // namespace zaya
