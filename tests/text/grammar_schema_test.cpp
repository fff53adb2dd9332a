#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/text/grammar_walk.h"

namespace zaya {
namespace {

using grammar::compile_json_schema;
using test::takes;

struct Case {
  std::string schema;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.schema);
    for (const std::string& text : c.good) {
      EXPECT_TRUE(takes(compile_json_schema(c.schema), text)) << text;
    }
    for (const std::string& text : c.bad) {
      EXPECT_FALSE(takes(compile_json_schema(c.schema), text)) << text;
    }
  }
}

TEST(GrammarSchema, Types) {
  check({
      {R"({"type": "null"})", {"null", "\nnull", "\n\nnull"}, {"", "nul", "nulll", "0", " null"}},
      {R"({"type": "boolean"})", {"true", "false"}, {"True", "1", "null"}},
      {R"({"type": ["integer", "null"]})", {"12", "null"}, {"1.5", "\"1\""}},
      {R"({"type": ["integer", "number"]})", {"12", "1.5"}, {"null"}},
      {R"({"type": "integer"})",
       {"0", "7", "-7", "10", "123456789012345678"},
       {"-0", "01", "1.0", "1e3", "+1", "", "-", "1234567890123456789"}},
      {R"({"type": "number"})",
       {"0", "-0", "-0.5", "3.14", "1e5", "1E+5", "1.5e-07", "123456789012345"},
       {"01", ".5", "1.", "1e", "NaN", "1e100", "--1"}},
      {"true",
       {"1", "[1, {\"a\": [null]}]", "\"x\"", "{}", "[]"},
       {"", "[1,]", "{\"a\"}", "[1 2]"}},
      {"{}", {"{\"a\":{\"a\":1}}"}, {"{\"a\":}"}},
  });
}

TEST(GrammarSchema, WhiteSpace) {
  const std::string schema = R"({"type": "object", "properties": {"a": {"type": "integer"},
    "b": {"type": "array", "items": {"type": "integer"}}}, "required": ["a", "b"]})";
  check({{schema,
          {R"({"a":1,"b":[1,2]})", R"({"a": 1, "b": [1, 2]})",
           "{\n  \"a\": 1,\n  \"b\": [\n    1,\n    2\n  ]\n}", R"({ "a": 1, "b": [ 1, 2 ] })",
           "{\n\"a\":" + std::string(" 1,\n") + std::string(40, ' ') + R"("b":[]})"},
          {R"({"a" :1,"b":[]})", R"({"a":  1,"b":[]})", R"({"a":1 ,"b":[]})", R"({"a":1,"b":[ ]})",
           R"({"a":1,"b":[]} )", "{\n" + std::string(41, ' ') + R"("a":1,"b":[]})"}}});
}

TEST(GrammarSchema, Strings) {
  check({
      {R"({"type": "string"})",
       {R"("")", R"("abc")", R"("a\"b")", R"("\\")", R"("\u00e9\n")", R"("ä€😀")",
        R"("\ud83d\ude00")", R"("\/")", "\"\x7f\""},
       {R"("a)", R"(a)", R"("a"b")", "\"\n\"", "\"\t\"", R"("\x")", R"("\u12")", R"("\ud83d")",
        R"("\ud83dx")", R"("\ude00")", "\"\xff\"", "\"\xc3\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"", "\"\xe0\x80\x80\""}},
      {R"({"type": "string", "minLength": 2, "maxLength": 3})",
       {R"("ab")", R"("abc")", R"("ä€")", R"("😀😀😀")", R"("\ud83d\ude00\n")"},
       {R"("")", R"("a")", R"("abcd")", R"("😀")", R"("\ud83d\ude00")"}},
      {R"({"type": "string", "maxLength": 0})", {R"("")"}, {R"("a")"}},
      {R"({"type": "string", "minLength": 3})", {R"("abc")", R"("abcdefgh")"}, {R"("ab")"}},
  });
}

TEST(GrammarSchema, Patterns) {
  check({
      {R"({"type": "string", "pattern": "^[a-c]+$"})", {R"("abc")"}, {R"("")", R"("abd")"}},
      {R"({"pattern": "b"})", {R"("b")", R"("abc")", R"("😀b\n")"}, {R"("")", R"("ac")"}},
      {R"({"pattern": "^a|b$"})", {R"("axx")", R"("xxb")"}, {R"("xa")", R"("bx")"}},
      {R"({"pattern": "^(foo|ba(r|z)){2,3}$"})",
       {R"("foobar")", R"("bazbazfoo")"},
       {R"("foo")", R"("foobarbazfoo")", R"("fooba")"}},
      {R"({"pattern": "^\\d{3}-\\w\\s\\S$"})",
       {R"("123-a b")", R"("123-_\tx")"},
       {R"("12-a b")", R"("123-ab ")"}},
      {R"({"pattern": "^.$"})",
       {R"("a")", R"("😀")", R"("\"")", R"("\\")"},
       {R"("")", R"("ab")", R"("\n")"}},
      {R"({"pattern": "^[^a-y]$"})", {R"("z")", R"("\n")", R"("\"")", R"("é")"}, {R"("b")"}},
      {R"({"pattern": "^[\\u00e0-\\u00ff\\]\\-]$"})", {R"("é")", R"("]")", R"("-")"}, {R"("a")"}},
      {R"({"pattern": "^a{,2}$"})", {R"("a{,2}")"}, {R"("a")"}},
      {R"({"pattern": "^(?<year>\\d{4})?$"})", {R"("")", R"("1234")"}, {R"("123")"}},
      {R"({"pattern": "^(a*)*$"})", {R"("")", R"("aaa")"}, {R"("b")"}},
      {R"({"pattern": "^[\\x41\\u{1F600}]$"})", {R"("A")", R"("😀")"}, {R"("B")"}},
      {R"({"pattern": "^(ab)+$", "maxLength": 5})",
       {R"("ab")", R"("abab")"},
       {R"("ababab")", R"("abab)"}},
      {R"({"pattern": "^a*$", "minLength": 2})", {R"("aa")", R"("aaaa")"}, {R"("a")"}},
  });
  // With a length, what cannot be ended any more is not begun.
  grammar::Automaton automaton(compile_json_schema(R"({"pattern": "^(ab)+$", "maxLength": 5})"));
  EXPECT_NE(test::walk(automaton, "\"abab"), nullptr);
  EXPECT_EQ(test::walk(automaton, "\"ababa"), nullptr);
}

TEST(GrammarSchema, Formats) {
  const auto format = [](const char* name) { return fmt::format(R"({{"format": "{}"}})", name); };
  check({
      {format("date"),
       {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")", R"("0004-02-29")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2024-13-01")", R"("2024-04-31")",
        R"("0000-01-01")", R"("2024-00-10")", R"("24-01-01")"}},
      {format("time"),
       {R"("23:59:59Z")", R"("00:00:00.123+05:30")"},
       {R"("24:00:00Z")", R"("12:00:00")"}},
      {format("date-time"), {R"("2024-02-29T12:00:00Z")"}, {R"("2024-02-29 12:00:00Z")"}},
      {format("uuid"),
       {R"("123e4567-e89b-12d3-a456-426614174000")"},
       {R"("123e4567e89b12d3a456426614174000")"}},
      {format("email"),
       {R"("a.b+c@example.org")"},
       {R"("a@b")", R"("@example.org")", R"("a b@c.d")"}},
      {format("ipv4"), {R"("192.168.0.255")"}, {R"("256.1.1.1")", R"("1.1.1")", R"("01.1.1.1")"}},
      {format("ipv6"), {R"("::1")", R"("fe80:0:0:0:0:0:0:1")"}, {R"("fe80")", R"("g::")"}},
      {format("hostname"), {R"("a-1.example")"}, {R"("-a.example")", R"("a..b")"}},
      {format("uri"),
       {R"("https://example.org/a/b?x=1#y")"},
       {R"("example.org")", R"("https://")"}},
      {format("duration"),
       {R"("P1Y2M3D")", R"("PT5M")", R"("P3W")"},
       {R"("P")", R"("P1Y3D")", R"("5M")"}},
  });
}

TEST(GrammarSchema, NumbersInRange) {
  check({
      {R"({"type": "integer", "minimum": 8, "maximum": 123})",
       {"8", "9", "10", "99", "100", "123"},
       {"7", "124", "0", "-8", "08", "1000"}},
      {R"({"type": "integer", "minimum": -15, "maximum": 7})",
       {"-15", "-14", "-9", "-1", "0", "7"},
       {"-16", "-20", "8", "-0", "10"}},
      {R"({"type": "integer", "exclusiveMinimum": 0})", {"1", "999"}, {"0", "-1"}},
      {R"({"type": "integer", "exclusiveMaximum": -99})", {"-100", "-1000"}, {"-99", "0", "5"}},
      {R"({"type": "integer", "minimum": 0.5, "maximum": 2.5})", {"1", "2"}, {"0", "3"}},
      {R"({"type": "integer", "multipleOf": 7})", {"0", "7", "-49", "700"}, {"1", "15", "-8"}},
      {R"({"type": "integer", "multipleOf": 2.5})", {"0", "5", "10"}, {"1", "2", "7"}},
      {R"({"type": "integer", "multipleOf": 12, "minimum": 30, "maximum": 60})",
       {"36", "48", "60"},
       {"24", "30", "72"}},
      {R"({"type": "number", "minimum": 0, "maximum": 1})",
       {"0", "1", "0.5", "0.999", "1.0", "0.0"},
       {"1.1", "-0.1", "2", "1e-1", "1.000001"}},
      {R"({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})",
       {"0.5", "0.001"},
       {"0", "0.0", "1", "1.0", "-0.5"}},
      {R"({"type": "number", "minimum": -2.75, "maximum": -0.5})",
       {"-2.75", "-2.7", "-1", "-0.5", "-0.50"},
       {"-2.76", "-3", "-0.4", "0", "1"}},
      {R"({"type": "number", "multipleOf": 0.25})",
       {"0", "0.25", "1.5", "-2.75", "1.50"},
       {"0.3", "1.125"}},
      {R"({"type": "number", "multipleOf": 0.01, "minimum": 0})",
       {"3.14", "5", "5.1"},
       {"3.141", "-1"}},
      {R"({"type": "number", "minimum": 1e-7, "maximum": 1.5e-7})",
       {"0.0000001", "0.00000012"},
       {"0.0000002", "0"}},
      {R"({"type": "number", "minimum": 5, "maximum": 5})", {"5", "5.0"}, {"4.9", "5.1", "55"}},
      {R"({"type": "integer", "maximum": 1e300})", {"5", "-5", "999999999999999999"}, {}},
      {R"({"minimum": 5, "exclusiveMinimum": true})", {"6"}, {"5", "4"}},
      {R"({"type": "integer", "minimum": 100})", {"100", "5000"}, {"99", "20", "-100"}},
  });
}

// Every number of a window, against plain arithmetic.
TEST(GrammarSchema, IntegerRangesAreExact) {
  for (const auto& [low, high] : {std::pair(-12, 34), {0, 0}, {95, 1005}, {-101, -99}, {-7, 7}}) {
    grammar::Automaton automaton(compile_json_schema(
        fmt::format(R"({{"type": "integer", "minimum": {}, "maximum": {}}})", low, high)));
    for (int i = -1200; i < 1200; ++i) {
      const grammar::State* state = test::walk(automaton, std::to_string(i));
      EXPECT_EQ(state != nullptr && state->accepting, low <= i && i <= high) << i;
    }
  }
}

TEST(GrammarSchema, Objects) {
  check({
      {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"},
          "c": {"type": "boolean"}}, "required": ["b"]})",
       {R"({"b":null})", R"({"a":1,"b":null})", R"({"b":null,"c":true})",
        R"({"a":1,"b":null,"c":true})"},
       {"{}", R"({"a":1})", R"({"b":null,"a":1})", R"({"b":null,"d":1})", R"({,"b":null})",
        R"({"b":null,})", R"({"a":1 "b":null})"}},
      {R"({"type": "object", "properties": {}})", {"{}"}, {R"({"a":1})"}},
      {R"({"type": "object"})", {"{}", R"({"a":1, "b":[{}]})"}, {"[]"}},
      {R"({"type": "object", "additionalProperties": {"type": "integer"}})",
       {"{}", R"({"x":1})", R"({"x":1,"y":2})"},
       {R"({"x":"1"})"}},
      {R"({"properties": {"ab": {"type": "null"}, "a\"é": {"type": "null"}},
           "additionalProperties": {"type": "integer"}})",
       {R"({"ab":null})", R"({"a":1})", R"({"abc":1})", R"({"b":1})", R"({"":1})",
        R"({"ab":null,"a\"é":null,"é":2})"},
       {R"({"ab":1})", R"({"\u0061b":1})", R"({"abc":null})"}},
      {R"({"type": "object", "required": ["x"]})", {R"({"x":[1]})"}, {"{}", R"({"x":1,"y":2})"}},
      {R"({"type": "object", "additionalProperties": true, "required": ["x"]})",
       {R"({"x":[1]})", R"({"x":1,"y":2})"},
       {"{}", R"({"y":2})"}},
      {R"({"properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2})",
       {R"({"a":1,"c":2})", R"({"a":1,"b":2,"c":3})"},
       {R"({"a":1})", "{}"}},
      {R"({"properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 1})",
       {"{}", R"({"c":2})"},
       {R"({"a":1,"b":2})"}},
      {R"({"additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2})",
       {R"({"a":1})", R"({"a":1,"b":2})"},
       {"{}", R"({"a":1,"b":2,"c":3})"}},
      {R"({"additionalProperties": {"type": "null"}, "propertyNames": {"pattern": "^x\\d$"}})",
       {"{}", R"({"x1":null,"x2":null})"},
       {R"({"y1":null})"}},
      {R"({"properties": {"a": false, "b": {"type": "null"}}})",
       {"{}", R"({"b":null})"},
       {R"({"a":1})"}},
      {R"({"properties": {"a": {"const": 1}}, "unevaluatedProperties": false})",
       {R"({"a":1})"},
       {R"({"b":1})"}},
  });
}

TEST(GrammarSchema, Arrays) {
  check({
      {R"({"type": "array"})", {"[]", "[1,\"a\",[]]"}, {"[1", "[,]"}},
      {R"({"items": {"type": "integer"}, "minItems": 2, "maxItems": 3})",
       {"[1,2]", "[1,2,3]"},
       {"[]", "[1]", "[1,2,3,4]", "[1,\"a\"]"}},
      {R"({"items": {"type": "integer"}, "maxItems": 0})", {"[]"}, {"[1]"}},
      {R"({"items": false})", {"[]"}, {"[1]"}},
      {R"({"prefixItems": [{"type": "integer"}, {"type": "null"}]})",
       {"[]", "[1]", "[1,null]"},
       {"[null]", "[1,null,2]", "[1,2]"}},
      {R"({"prefixItems": [{"type": "integer"}], "items": {"type": "null"}, "minItems": 1})",
       {"[1]", "[1,null,null]"},
       {"[]", "[null]", "[1,1]"}},
      {R"({"prefixItems": [{"type": "integer"}, {"type": "null"}], "minItems": 3, "maxItems": 3})",
       {"[1,null,\"x\"]"},
       {"[1,null]", "[1,null,1,1]"}},
      {R"({"type": "array", "items": [{"type": "integer"}], "additionalItems": false})",
       {"[]", "[1]"},
       {"[1,2]"}},
      {R"({"items": {"type": "array", "items": {"type": "null"}, "minItems": 1}, "minItems": 1})",
       {"[[null]]", "[[null,null],[null]]"},
       {"[]", "[[]]"}},
  });
}

TEST(GrammarSchema, Enumerations) {
  check({
      {R"({"enum": ["red", "green", "re", 1, null, {"a": [1, 2]}, "a\"é"]})",
       {R"("red")", R"("re")", "1", "null", R"({"a":[1,2]})", R"("a\"é")"},
       {R"("r")", R"("redd")", "2", R"({"a": [1,2]})"}},
      {R"({"const": {"x": "y"}})", {R"({"x":"y"})"}, {"{}"}},
      {R"({"type": "string", "enum": ["a", 1, "b"]})", {R"("a")", R"("b")"}, {"1"}},
      {R"({"enum": [1, 2, 3, 4.5], "minimum": 2, "type": "integer"})", {"2", "3"}, {"1", "4.5"}},
      {R"({"enum": ["a", "bb", "ccc", "dd"], "minLength": 2, "pattern": "^[a-c]"})",
       {R"("bb")", R"("ccc")"},
       {R"("a")", R"("dd")"}},
  });
}

TEST(GrammarSchema, Combinations) {
  check({
      {R"({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]})",
       {"1", R"("a")"},
       {R"("ab")", "null"}},
      {R"({"oneOf": [{"type": "integer"}, {"type": "null"}]})", {"1", "null"}, {"true"}},
      {R"({"allOf": [{"type": ["integer", "string"]}, {"minimum": 3}, {"maximum": 5, "type": "number"}]})",
       {"3", "5"},
       {"2", "6", R"("a")", "3.5"}},
      {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
           "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})",
       {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":1})"},
       {"{}"}},
      {R"({"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                     {"properties": {"b": {"type": "null"}, "a": {"minimum": 5}}}]})",
       {R"({"a":5})", R"({"a":6,"b":null})"},
       {R"({"a":4})", R"({"b":null})"}},
      {R"({"allOf": [{"properties": {"a": {}}, "additionalProperties": false}, {"properties": {"b": {}}}]})",
       {"{}", R"({"a":1})"},
       {R"({"b":1})"}},
      {R"({"$ref": "#/$defs/x", "maximum": 3, "$defs": {"x": {"type": "integer", "minimum": 1}}})",
       {"1", "3"},
       {"0", "4"}},
      {R"({"anyOf": [{"type": "object", "properties": {"k": {"const": "a"}, "v": {"type": "integer"}}, "required": ["k", "v"]},
                     {"type": "object", "properties": {"k": {"const": "b"}, "v": {"type": "string"}}, "required": ["k", "v"]}]})",
       {R"({"k":"a","v":1})", R"({"k":"b","v":"1"})"},
       {R"({"k":"a","v":"1"})", R"({"k":"b","v":1})"}},
      {R"({"allOf": [{"multipleOf": 4}, {"multipleOf": 6}], "type": "integer"})",
       {"12", "24"},
       {"4", "6", "18"}},
      {R"({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}, {"not-a-keyword": 1}]})",
       {"2", "3"},
       {"1", "4"}},
  });
}

TEST(GrammarSchema, Recursion) {
  const std::string tree = R"({"type": "object", "properties": {"v": {"type": "integer"},
    "children": {"type": "array", "items": {"$ref": "#"}}}, "required": ["v", "children"]})";
  const std::string list = R"({"$ref": "#/$defs/n~1d", "$defs": {"n/d": {"anyOf": [{"type": "null"},
    {"type": "object", "properties": {"next": {"$ref": "#/%24defs/n~1d"}}, "required": ["next"]}]}}})";
  check({{tree,
          {R"({"v":1,"children":[]})",
           R"({"v":1,"children":[{"v":2,"children":[]},{"v":3,"children":[]}]})"},
          {R"({"v":1})", R"({"v":1,"children":[1]})"}},
         {list, {"null", R"({"next":{"next":null}})"}, {R"({"next":{}})", "{}"}},
         {R"({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], "$defs": {
              "a": {"properties": {"x": {"$ref": "#/$defs/a"}, "y": {"type": "integer"}}},
              "b": {"properties": {"x": {"$ref": "#/$defs/b"}, "z": {"type": "null"}}}}})",
          {R"({"x":{"x":{"y":1,"z":null}},"y":1,"z":null})"},
          {R"({"x":{"x":{"y":null}}})"}}});
}

TEST(GrammarSchema, NestsToTheStatedDepth) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(takes(compile_json_schema("{}"), nested(64)));
  EXPECT_FALSE(takes(compile_json_schema("{}"), nested(66)));
  // Where no object can begin any more, no key is written either.
  grammar::Automaton automaton(
      compile_json_schema(R"({"type": "object", "properties": {"a": {"$ref": "#"}}})"));
  std::string text;
  const grammar::State* state = automaton.start().get();
  for (int depth = 0; state != nullptr && depth < 100; ++depth) {
    text += "{\"a\":";
    state = test::walk(automaton, text);
  }
  ASSERT_EQ(state, nullptr);
  text.resize(text.size() - 4);
  state = test::walk(automaton, text);
  ASSERT_NE(state, nullptr);
  EXPECT_NE(test::walk(automaton, text + "}"), nullptr);
}

TEST(GrammarSchema, AnyObject) {
  EXPECT_TRUE(takes(grammar::compile_json_object(), R"({"a": [1, "x", {"b": null}]})"));
  EXPECT_FALSE(takes(grammar::compile_json_object(), "[1]"));
}

}  // namespace
}  // namespace zaya
