#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/fuzz/json_schema_checks.h"
#include "tests/text/grammar_walk.h"
#include "zaya/error.h"

namespace zaya {
namespace {

using grammar::compile_json_schema;
using test::takes;

std::string error_of(const std::string& schema) {
  try {
    compile_json_schema(schema);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GrammarRefusal, RefusesWhatItCannotKeep) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[", "json_schema"},
      {"1", "a schema must be an object or a boolean"},
      {R"({"type": "text"})", "json_schema/type: no type of JSON Schema"},
      {R"({"properties": {"a": {"not": {}}}})", "json_schema/properties/a/not: this keyword"},
      {R"({"if": {}})", "json_schema/if"},
      {R"({"type": "array", "uniqueItems": true})", "uniqueItems"},
      {R"({"patternProperties": {"a": {}}})", "patternProperties"},
      {R"({"format": "color"})", "\"color\" is not supported"},
      {R"({"pattern": "(?=a)b"})", "json_schema/pattern: lookaround"},
      {R"({"pattern": "(a)\\1"})", "\\1 is not supported"},
      {R"({"pattern": "\\bword"})", "\\b is not supported"},
      {R"({"pattern": "\\p{L}"})", "\\p is not supported"},
      {R"x({"pattern": "a(^b)"})x", "inside a group"},
      {R"({"pattern": "a^b"})", "inside of an alternative"},
      {R"({"pattern": "(a"})", "without its )"},
      {R"x({"pattern": "a)"})x", "without its ("},
      {R"({"pattern": "[a"})", "without its ]"},
      {R"({"pattern": "*a"})", "nothing to repeat"},
      {R"({"pattern": "[b-a]"})", "from more to less"},
      {R"({"pattern": "a{3,2}"})", "more to fewer"},
      {R"({"pattern": "(a{1000}){1000}"})", "too large"},
      {R"({"pattern": 3})", "must be a text"},
      {R"({"pattern": "a", "format": "date"})", "beside a pattern"},
      {R"({"type": "number", "multipleOf": 0.0012345})", "multipleOf cannot be kept exactly"},
      {R"({"type": "number", "multipleOf": 0})", "multipleOf"},
      {R"({"type": "number", "minimum": "1"})", "must be a number"},
      {R"({"minItems": -1})", "json_schema/minItems: must be a whole number"},
      {R"({"minItems": 1.5})", "must be a whole number"},
      {R"({"properties": []})", "must be an object"},
      {R"({"required": "a"})", "must be a list"},
      {R"({"anyOf": []})", "must be a list of schemas"},
      {R"({"enum": 1})", "must be a list"},
      {R"({"$ref": "#/$defs/a"})", "the schema has no \"#/$defs/a\""},
      {R"({"$ref": "http://example.org/x"})", "are not supported"},
      {R"({"$ref": "#"})", "refers to itself"},
      {R"({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}})",
       "refers to itself"},
      {R"({"minProperties": 2})", "more than one property without a name"},
      // Nothing satisfies these.
      {"false", "nothing can ever satisfy"},
      {R"({"enum": []})", "nothing can ever satisfy"},
      {R"({"allOf": [{"type": "integer"}, {"type": "string"}]})", "nothing can ever satisfy"},
      {R"({"type": "integer", "minimum": 5, "maximum": 4})", "nothing can ever satisfy"},
      {R"({"type": "integer", "minimum": 1, "maximum": 6, "multipleOf": 7})",
       "nothing can ever satisfy"},
      {R"({"minItems": 2, "maxItems": 1})", "nothing can ever satisfy"},
      {R"({"minLength": 2, "maxLength": 1})", "nothing can ever satisfy"},
      {R"({"pattern": "^a{3}$", "maxLength": 2})", "nothing can ever satisfy"},
      {R"({"properties": {"a": false}, "required": ["a"]})", "nothing can ever satisfy"},
      {R"({"additionalProperties": false, "required": ["a"]})", "nothing can ever satisfy"},
      {R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})",
       "nothing can ever satisfy"},
      {R"({"type": "array", "items": {"$ref": "#"}, "minItems": 1})", "nothing can ever satisfy"},
  };
  for (const auto& [schema, expected] : cases) {
    const std::string error = error_of(schema);
    EXPECT_NE(error.find(expected), std::string::npos) << schema << "\n  " << error;
  }
}

TEST(GrammarRefusal, IgnoresWhatItCannotKeepWhenTold) {
  const auto lenient = [](const std::string& schema, const std::string& text) {
    return takes(compile_json_schema(schema, "x", grammar::Unsupported::ignore), text);
  };
  EXPECT_TRUE(lenient(R"({"type": "array", "uniqueItems": true})", "[1,1]"));
  EXPECT_TRUE(lenient(R"({"type": "string", "pattern": "(?=a)b"})", R"("c")"));
  EXPECT_TRUE(lenient(R"({"type": "string", "format": "color"})", R"("red")"));
  EXPECT_TRUE(lenient(R"({"type": "integer", "not": {"const": 3}})", "3"));
}

// Schemas made to take long: an answer, or an Error, within bounds.
TEST(GrammarRefusal, HostileSchemasEndSoon) {
  const auto repeat = [](std::size_t n, const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += text;
    return out;
  };
  // Nested too deep to be JSON, then just not.
  EXPECT_NE(error_of(repeat(600, R"({"items":)") + "{}" + repeat(600, "}")), "");
  EXPECT_NE(error_of(repeat(200, R"({"minItems":1,"items":)") + "{}" + repeat(200, "}"))
                .find("nested too deep"),
            std::string::npos);
  EXPECT_EQ(error_of(repeat(200, R"({"items":)") + "{}" + repeat(200, "}")), "");
  // 2^20 alternatives.
  std::string all = R"({"allOf": [)";
  for (int i = 0; i < 20; ++i) {
    all += fmt::format(R"({}{{"anyOf": [{{"minLength": {}}}, {{"maxLength": {}}}]}})",
                       i > 0 ? "," : "", i, i + 100);
  }
  EXPECT_NE(error_of(all + "]}").find("alternatives"), std::string::npos);
  // References that double at each step.
  std::string doubled = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 40; ++i) {
    doubled += fmt::format(
        R"("d{0}": {{"anyOf": [{{"$ref": "#/$defs/d{1}"}}, {{"$ref": "#/$defs/d{1}"}}]}},)", i,
        i + 1);
  }
  EXPECT_NE(error_of(doubled + R"("d40": {"type": "null"}}})"), "");
  // The same by properties: each is a rule of its own, once.
  std::string shared = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 40; ++i) {
    shared += fmt::format(
        R"("d{0}": {{"properties": {{"a": {{"$ref": "#/$defs/d{1}"}}, "b": {{"$ref": "#/$defs/d{1}"}}}}}},)",
        i, i + 1);
  }
  EXPECT_EQ(error_of(shared + R"("d40": {"type": "null"}}})"), "");
  // Ten thousand values of an enum.
  std::string values = R"({"enum": [0)";
  for (int i = 0; i < 10'000; ++i) values += fmt::format(R"(,"value {}")", i * 7919);
  EXPECT_TRUE(takes(compile_json_schema(values + "]}"), R"("value 7919")"));
  // A thousand properties that may all be left out.
  std::string properties = R"({"properties": {"p": {})";
  for (int i = 0; i < 1000; ++i) properties += fmt::format(R"(,"p{}": {{}})", i);
  EXPECT_TRUE(takes(compile_json_schema(properties + "}}"), R"({"p7":1,"p999":2})"));
  EXPECT_NE(error_of(properties + R"(}, "minProperties": 1000})"), "");
  // Grows with each step of the recursion.
  EXPECT_NO_THROW(takes(compile_json_schema(R"({"anyOf": [
      {"type": "object", "properties": {"a": {"$ref": "#"}}},
      {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {}}},
      {"type": "null"}]})"),
                        repeat(30, R"({"a":)")));
  EXPECT_NE(error_of("\"" + std::string(300'000, 'a') + "\"").find("too long"), std::string::npos);
}

TEST(GrammarRefusal, FuzzCorpus) {
  const auto corpus = std::filesystem::path(ZAYA_SOURCE_DIR) / "tests/fuzz/corpus/json_schema";
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(corpus)) {
    test::check_json_schema(read_file(file.path()));
    ++files;
  }
  EXPECT_GE(files, 8);
}

}  // namespace
}  // namespace zaya
