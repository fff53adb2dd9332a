#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/fuzz/jinja_checks.h"
#include "tests/text/fixed_clock.h"
#include "text/jinja/template.h"
#include "zaya/error.h"

namespace zaya {
namespace {

std::string rendered(const std::string& source, const Json& variables = Json::object(),
                     const jinja::RenderOptions& options = fixed_clock()) {
  return jinja::Template(source, "test").render(variables, options);
}

std::string error_of(const std::string& source, const Json& variables = Json::object(),
                     const jinja::RenderOptions& options = {}) {
  try {
    return "no error: " + rendered(source, variables, options);
  } catch (const Error& e) {
    return e.what();
  }
}

// tests/text/record_templates.py recorded what Python's jinja2 does.
TEST(Jinja, AgreesWithPythonOnEverySnippet) {
  const Json recorded = read_json_file(ZAYA_TEST_DATA "/templates/snippets.json");
  const Json& variables = recorded.at("variables");
  std::size_t outputs = 0;
  std::size_t errors = 0;
  for (const Json& c : recorded.at("cases")) {
    const auto source = c.at("template").get<std::string>();
    SCOPED_TRACE(source);
    if (c.contains("output")) {
      ++outputs;
      try {
        EXPECT_EQ(rendered(source, variables), c.at("output").get<std::string>());
      } catch (const Error& e) {
        ADD_FAILURE() << e.what();
      }
      continue;
    }
    ++errors;
    const auto message = c.at("error").get<std::string>();
    try {
      const std::string output = rendered(source, variables);
      ADD_FAILURE() << "rendered " << output << " instead of failing with " << message;
    } catch (const Error& e) {
      if (c.at("exact").get<bool>()) {
        EXPECT_EQ(e.detail().what, message);
      }
      if (c.contains("line")) {
        EXPECT_EQ(e.detail().where, "test: line " + std::to_string(c.at("line").get<int>()));
      }
    }
  }
  // So that an empty file cannot pass.
  EXPECT_GT(outputs, 700U);
  EXPECT_GT(errors, 150U);
}

TEST(Jinja, NamesTemplateLineAndCause) {
  EXPECT_EQ(error_of("a\n{{ raise_exception('no user turn') }}"), "test: line 2: no user turn");
  EXPECT_EQ(error_of("a\n\n{% if x.y %}{% endif %}"), "test: line 3: 'x' is undefined");
  EXPECT_EQ(error_of("{{ d.x.y }}", {{"d", Json::object()}}),
            "test: line 1: 'dict object' has no attribute 'x'");
  EXPECT_EQ(error_of("\n{% fro x in y %}"), "test: line 2: Encountered unknown tag 'fro'.");
  EXPECT_EQ(error_of("{% macro m() %}\n{{ 1 + 'a' }}\n{% endmacro %}\n{{ m() }}"),
            "test: line 2: unsupported operand type(s) for +: 'int' and 'str'");
}

TEST(Jinja, RefusesTagsThatNeedOtherTemplates) {
  for (const char* tag : {"include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'",
                          "block x", "autoescape true"}) {
    EXPECT_NE(error_of(std::string("{% ") + tag + " %}").find("a chat template stands alone"),
              std::string::npos)
        << tag;
  }
}

TEST(Jinja, IntegersOverflowLoudly) {
  for (const char* sum : {"9223372036854775807 + 1", "-9223372036854775807 - 2", "2 ** 63",
                          "4611686018427387904 * 2", "'9223372036854775808' | int", "1e30 | int",
                          "9223372036854775808", "(-9223372036854775807 - 1) // -1"}) {
    const std::string error = error_of(std::string("{{ ") + sum + " }}");
    EXPECT_TRUE(error.find("64") != std::string::npos) << sum << ": " << error;
  }
  EXPECT_EQ(rendered("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
}

TEST(Jinja, BoundsNesting) {
  const std::string parens = std::string(5000, '(') + "1" + std::string(5000, ')');
  EXPECT_NE(error_of("{{ " + parens + " }}").find("nested more than"), std::string::npos);
  std::string nots;
  std::string sums = "1";
  std::string pipes = "1";
  std::string ifs;
  std::string minus;
  for (int i = 0; i < 5000; ++i) {
    nots += "not ";
    sums += "+1";
    pipes += "|abs";
    ifs += "{% if 1 %}";
    minus += "-";
  }
  for (const std::string& source :
       {"{{ " + nots + "1 }}", "{{ " + sums + " }}", "{{ " + pipes + " }}", ifs,
        "{{ 1 " + minus + " 1 }}",
        "{% set " + std::string(5000, '(') + "a" + std::string(5000, ')') + " = 1 %}",
        "{{ " + std::string(5000, '[') + std::string(5000, ']') + " }}"}) {
    EXPECT_NE(error_of(source).find("nested more than"), std::string::npos) << source.substr(0, 40);
  }
  Json deep = 1;
  for (int i = 0; i < 300; ++i) deep = Json::array({deep});
  EXPECT_NE(error_of("{{ x }}", {{"x", deep}}).find("nested more than"), std::string::npos);
  EXPECT_NE(error_of("{% set ns = namespace(x=0) %}{% for i in range(1000) %}"
                     "{% set ns.x = [ns.x] %}{% endfor %}")
                .find("nested more than"),
            std::string::npos);
  EXPECT_NE(error_of("{% set ns = namespace(x=[1]) %}{% for i in range(1000) %}"
                     "{% set ns.x = ns.x | map('string') %}{% endfor %}{{ ns.x | list }}")
                .find("nested more than"),
            std::string::npos);
  EXPECT_NE(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").find("recursion depth"),
            std::string::npos);
  EXPECT_NE(error_of("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}").find("too deeply"),
            std::string::npos);
  EXPECT_NE(error_of("{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}")
                .find("recursion depth"),
            std::string::npos);
}

TEST(Jinja, BoundsOutputAndWork) {
  const std::string too_much = "the template does too much work";
  for (const char* source :
       {"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 9223372036854775807 }}", "{{ 'abc' * 1000000000 }}", "{{ [1] * 99999999999 }}",
        "{{ 'x' | center(99999999999) }}", "{{ '%99999999999d' % 1 }}",
        "{{ '{:999999999999}'.format(1) }}", "{{ 'x'.ljust(99999999999) }}",
        "{{ [1] | batch(99999999999, 1) | list }}", "{{ 'a\nb' | indent(99999999999) }}",
        "{{ [[[1]]] | tojson(indent=99999999999) }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}"
        "{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x | tojson }}"}) {
    const std::string error = error_of(source, {}, {.max_work = 1U << 24});
    EXPECT_TRUE(error.find(too_much) != std::string::npos ||
                error.find("is too large") != std::string::npos)
        << source << ": " << error;
  }
  EXPECT_NE(error_of("{% for a in range(1000) %}0123456789{% endfor %}", {}, {.max_output = 5000})
                .find("the output is larger than 5000 bytes"),
            std::string::npos);
}

TEST(Jinja, RejectsInvalidUtf8) {
  EXPECT_EQ(error_of("a\xff"), "test: the template is not valid UTF-8");
}

TEST(Jinja, SurvivesTheFuzzCorpus) {
  int count = 0;
  const auto corpus = std::filesystem::path(ZAYA_SOURCE_DIR) / "tests/fuzz/corpus/jinja";
  for (const auto& file : std::filesystem::directory_iterator(corpus)) {
    SCOPED_TRACE(file.path().string());
    check_template(read_file(file.path()));
    ++count;
  }
  EXPECT_GT(count, 50);
}

}  // namespace
}  // namespace zaya
