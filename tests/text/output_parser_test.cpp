#include "text/output_parser.h"

#include <cmath>
#include <filesystem>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "tests/fuzz/tool_calls_checks.h"
#include "text/chat.h"

namespace zaya {
namespace {

using Kind = OutputEvent::Kind;

const Json& weather_tools() {
  static const Json tools = parse_json(R"([
    {"type": "function", "function": {"name": "get_weather", "parameters": {
      "type": "object",
      "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "metric": {"type": "boolean"},
        "limit": {"type": "number"},
        "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
        "tags": {"type": "array", "items": {"type": ["boolean", "null", "string"]}},
        "options": {"$ref": "#/$defs/Options"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]}
      },
      "required": ["city"],
      "$defs": {"Options": {"type": "object", "properties": {"deep": {"type": "boolean"}}}}}}},
    {"type": "function", "function": {"name": "write_file", "parameters": {
      "type": "object",
      "properties": {"path": {"type": "string"}, "content": {"type": "string"}}}}},
    {"type": "function", "function": {"name": "now"}}])",
                                       "tools");
  return tools;
}

struct Call {
  std::string name;
  Json arguments = {};
  bool complete = true;

  bool operator==(const Call&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Call& c) {
  return out << c.name << c.arguments.dump() << (c.complete ? "" : " cut");
}

// What an output says, joined.
struct Said {
  std::string reasoning = {};
  std::string content = {};
  std::vector<Call> calls = {};

  bool operator==(const Said&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Said& s) {
  out << '[' << s.reasoning << "|" << s.content << ']';
  for (const Call& call : s.calls) out << "\n  " << call;
  return out;
}

struct Output {
  std::string reasoning = {};
  std::string content = {};
};

using Events = std::vector<OutputEvent>;

// The events of an output that is cut into pieces at `cuts`, counted over both texts.
Events events_of(const Output& output, const std::vector<std::size_t>& cuts, bool cut_off,
                 const std::shared_ptr<const ToolSet>& tools) {
  OutputParser parser({.tools = tools, .id_seed = 7});
  Events events;
  const auto take = [&](Events more) {
    for (OutputEvent& e : more) append_event(events, std::move(e));
  };
  const std::size_t split = output.reasoning.size();
  std::size_t from = 0;
  const auto push = [&](std::size_t to) {
    const std::string_view r = output.reasoning;
    const std::string_view c = output.content;
    take(parser.push(
        r.substr(std::min(from, split), std::min(to, split) - std::min(from, split)),
        c.substr(std::max(from, split) - split, std::max(to, split) - std::max(from, split))));
    from = to;
  };
  for (const std::size_t cut : cuts) push(cut);
  push(split + output.content.size());
  take(parser.finish(cut_off));
  return events;
}

Said said_by(const Events& events) {
  Said said;
  std::string arguments;
  for (const OutputEvent& e : events) {
    switch (e.kind) {
      case Kind::reasoning:
        said.reasoning += e.text;
        break;
      case Kind::content:
        said.content += e.text;
        break;
      case Kind::call_begin:
        EXPECT_EQ(e.call, said.calls.size());
        EXPECT_EQ(e.id.size(), 29U);
        EXPECT_TRUE(e.id.starts_with("call_"));
        said.calls.push_back({.name = e.text});
        arguments.clear();
        break;
      case Kind::arguments:
        EXPECT_EQ(e.call + 1, said.calls.size());
        arguments += e.text;
        break;
      case Kind::call_end:
        EXPECT_EQ(e.call + 1, said.calls.size());
        said.calls.back().arguments = parse_json(arguments, "arguments");
        EXPECT_TRUE(said.calls.back().arguments.is_object());
        said.calls.back().complete = e.complete;
        break;
    }
  }
  return said;
}

// The same at every cut, at every pair of them for short outputs, and byte by byte.
Said parse_both(const Output& output, bool cut_off = false, const Json& tools = weather_tools()) {
  const auto set = std::make_shared<const ToolSet>(tools);
  const Events whole = events_of(output, {}, cut_off, set);
  const std::size_t size = output.reasoning.size() + output.content.size();
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i <= size; ++i) {
    all.push_back(i);
    EXPECT_EQ(events_of(output, {i}, cut_off, set), whole) << "cut at " << i;
    for (std::size_t k = i + 1; size < 120 && k <= size; ++k) {
      EXPECT_EQ(events_of(output, {i, k}, cut_off, set), whole) << "cut at " << i << ", " << k;
    }
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_EQ(events_of(output, all, cut_off, set), whole) << "cut everywhere";
  return said_by(whole);
}

Said parse(const std::string& content, bool cut_off = false) {
  return parse_both({.content = content}, cut_off);
}

void expect_call(const std::string& text, const std::string& name, const Json& arguments) {
  EXPECT_EQ(parse(text), (Said{.calls = {{name, arguments}}})) << text;
}

std::string call(const std::string& name, const std::string& body) {
  return "<zyphra_tool_call>\n<function=" + name + ">\n" + body +
         "</function>\n</zyphra_tool_call>";
}

std::string parameter(const std::string& name, const std::string& value) {
  return "<parameter=" + name + ">\n" + value + "\n</parameter>\n";
}

// What a file's content comes out as.
void expect_content(const std::string& written, const std::string& meant) {
  expect_call(call("write_file", parameter("path", "a.txt") + parameter("content", written)),
              "write_file", {{"path", "a.txt"}, {"content", meant}});
}

TEST(OutputParser, ReadsACall) {
  expect_call(call("get_weather", parameter("city", "Zürich") + parameter("days", "3")),
              "get_weather", {{"city", "Zürich"}, {"days", 3}});
  expect_call(call("now", ""), "now", Json::object());
}

TEST(OutputParser, StreamsStringsAsTheyCome) {
  OutputParser parser({.tools = std::make_shared<ToolSet>(weather_tools())});
  EXPECT_TRUE(parser.push({}, "<zyphra_tool_call>\n<function=write_file").empty());
  Events events = parser.push({}, ">\n<parameter=content>\nHello");
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, Kind::call_begin);
  EXPECT_EQ(events[0].text, "write_file");
  EXPECT_EQ(events[1].text, R"({"content":"Hello)");
  events = parser.push({}, " \"world\"\n");
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].text, R"( \"world\")");
  EXPECT_TRUE(parser.push({}, "</parameter>\n").empty());
  events = parser.push({}, "</function>\n</zyphra_tool_call>");
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].text, "\"}");
  EXPECT_EQ(events[1].kind, Kind::call_end);
  EXPECT_TRUE(events[1].complete);
  EXPECT_TRUE(parser.finish(false).empty());
}

TEST(OutputParser, IdsFollowFromTheSeed) {
  const std::string text = call("now", "") + "\n" + call("now", "");
  const auto ids = [&](std::uint64_t seed) {
    OutputParser parser({.tools = std::make_shared<ToolSet>(weather_tools()), .id_seed = seed});
    std::vector<std::string> out;
    for (const OutputEvent& e : parser.push({}, text)) {
      if (e.kind == Kind::call_begin) out.push_back(e.id);
    }
    return out;
  };
  const auto first = ids(1);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_NE(first[0], first[1]);
  EXPECT_EQ(first, ids(1));
  EXPECT_NE(first, ids(2));
}

TEST(OutputParser, WithoutToolsAllIsText) {
  const std::string text = call("now", "");
  EXPECT_EQ(parse_both({"a\n", "\n\n" + text}, false, nullptr), (Said{"a", text}));
}

TEST(OutputParser, SeveralCallsAndTextAroundThem) {
  EXPECT_EQ(parse("Let me see.\n" + call("now", "") + "\n" + call("now", "") + "\nAnd also\n\n" +
                  call("get_weather", parameter("city", "Rome")) + "\n Done. \n"),
            (Said{.content = "Let me see.\nAnd also\n\n Done. \n",
                  .calls = {{"now", Json::object()},
                            {"now", Json::object()},
                            {"get_weather", {{"city", "Rome"}}}}}));
  // Two functions in one wrapper are two calls.
  EXPECT_EQ(parse("<zyphra_tool_call>\n<function=now>\n</function>\n<function=get_weather>\n" +
                  parameter("days", "2") + "</function>\n</zyphra_tool_call>\n")
                .calls,
            (std::vector<Call>{{"now", Json::object()}, {"get_weather", {{"days", 2}}}}));
}

TEST(OutputParser, TextThatOnlyLooksLikeACallIsContent) {
  for (const char* text :
       {"a < b and <zyphra_tool_call> begins a call", "<zyphra_tool_call>\n<b>",
        "[zyphra_tool_call", "Use <function=get_weather> for that.",
        "<function=other>\n<parameter=a>\n1\n</parameter>",
        "<tool_call>\n<function=other>\n</function>\n</tool_call>", "x</parameter>\n</function>\n",
        "<tool_call>{\"name\": \"other\", \"arguments\": {}}</tool_call>", "[1] <think",
        "<function=get_weather(", "<zyphra_tool_call>{\"no\": \"name\"}"}) {
    EXPECT_EQ(parse(text), (Said{.content = text}));
  }
}

TEST(OutputParser, UndeclaredFunctionsAndParametersAreGivenOut) {
  expect_call(call("other", parameter("a", "5") + parameter("b", "[1]")), "other",
              {{"a", "5"}, {"b", "[1]"}});
  expect_call(call("get_weather", parameter("more", "5")), "get_weather", {{"more", "5"}});
}

TEST(OutputParser, TheFirstOfEqualParametersCounts) {
  expect_call(call("get_weather",
                   parameter("city", "Rome") + parameter("city", "Oslo") + parameter("days", "1")),
              "get_weather", {{"city", "Rome"}, {"days", 1}});
}

// What other parsers get wrong.

TEST(OutputParser, ValuesHaveTheTypeOfTheSchema) {
  const auto value = [](const char* name, const char* text) {
    const Said said = parse(call("get_weather", parameter(name, text)));
    return said.calls.at(0).arguments.at(name).dump();
  };
  EXPECT_EQ(value("tags", "[true, null]"), "[true,null]");
  EXPECT_EQ(value("tags", "['a', True, None,]"), R"(["a",true,null])");
  EXPECT_EQ(value("limit", "null"), "null");
  EXPECT_EQ(value("metric", "null"), "null");
  EXPECT_EQ(value("city", "null"), R"("null")");
  EXPECT_EQ(value("note", "null"), "null");
  EXPECT_EQ(value("note", "none of it"), R"("none of it")");
  EXPECT_EQ(value("limit", "1e3"), "1000.0");
  EXPECT_EQ(value("metric", "True"), "true");
  EXPECT_EQ(value("metric", "perhaps"), R"("perhaps")");
  EXPECT_EQ(value("days", "many"), R"("many")");
  EXPECT_EQ(value("unit", "\"kelvin\""), R"("kelvin")");
  EXPECT_EQ(value("options", "{\"deep\": true}"), R"({"deep":true})");
  EXPECT_EQ(value("options", "{'deep': True}"), R"({"deep":true})");
  EXPECT_EQ(value("options", "deep"), R"("deep")");
}

TEST(OutputParser, MarkupInValuesIsText) {
  for (const char* value : {"</parameter>",
                            "a </parameter> b",
                            "</function>",
                            "see </function> there",
                            "<parameter=x>",
                            "<parameter=content>",
                            "</zyphra_tool_call> ends it",
                            "<zyphra_tool_call>",
                            "if (a < b && b > c) { return a & 1; }",
                            "&lt;b&gt; &amp; \"quotes\" 'and' \\ back",
                            "<p>one<br>two</p>",
                            "line\nwith <br> tags",
                            "\n\n",
                            "\n",
                            "",
                            " ",
                            "\t x \n ",
                            "null",
                            "5",
                            "<",
                            "<<",
                            "</",
                            "x<",
                            "\"\"\"doc\"\"\"",
                            "\"a\" and \"b\"",
                            "\"open",
                            "[zyphra_tool_call]",
                            "\x01\x7f\xe2\x80\xa8\xf0\x9f\x98\x80",
                            "<think>\nhm\n</think>"}) {
    expect_content(value, value);
  }
}

TEST(OutputParser, AWholeCallInAValueIsText) {
  const std::string example = call("get_weather", parameter("city", "Rome"));
  expect_content("An example:\n" + example + "\nThat was it.",
                 "An example:\n" + example + "\nThat was it.");
  expect_content(example, example);
  expect_content(example + "\n" + example, example + "\n" + example);
  const std::string other = "<tool_call>\n<function=f>\n</function>\n</tool_call>\n";
  expect_content(other, other);
  const std::string json = "<zyphra_tool_call>\n{\"name\": \"f\"}\n</zyphra_tool_call>\n.";
  expect_content(json, json);
}

TEST(OutputParser, BrokenUtf8MakesNoBrokenJson) {
  expect_content("a\xff\xc3(\xe2\x82", "a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd");
  EXPECT_EQ(parse("\xf0\x9f\x98").content, "\xef\xbf\xbd");
}

TEST(OutputParser, CutCallsAreClosed) {
  const std::string begin = "<zyphra_tool_call>\n<function=get_weather>\n";
  const auto cut = [&](const std::string& rest) { return parse(begin + rest, true); };
  const auto expected = [](const Json& arguments) {
    return Said{.calls = {{"get_weather", arguments, false}}};
  };
  EXPECT_EQ(cut(""), expected(Json::object()));
  EXPECT_EQ(cut("<param"), expected(Json::object()));
  EXPECT_EQ(cut("<parameter=city>\nNew Yo"), expected({{"city", "New Yo"}}));
  EXPECT_EQ(cut("<parameter=city>\nRome\n</para"), expected({{"city", "Rome"}}));
  EXPECT_EQ(cut("<parameter=city>\n\"Ro"), expected({{"city", "\"Ro"}}));
  EXPECT_EQ(cut(parameter("city", "Rome")), expected({{"city", "Rome"}}));
  // What may be half a number is none.
  EXPECT_EQ(cut(parameter("city", "Rome") + "<parameter=days>\n1"), expected({{"city", "Rome"}}));
  EXPECT_EQ(cut("<parameter=options>\n{\"deep\": tr"), expected(Json::object()));
  // Before the name is known there is no call, and nothing to show.
  EXPECT_EQ(parse("So:\n<zyphra_tool_call>\n<function=get_wea", true), (Said{.content = "So:\n"}));
  EXPECT_EQ(parse("<zyphra_tool_call>", true), Said{});
  EXPECT_EQ(parse("a <", true), (Said{.content = "a <"}));
  EXPECT_EQ(parse("a <function=get_wea", true), (Said{.content = "a <function=get_wea"}));
  EXPECT_EQ(parse(call("now", "") + "\n<zyphra_tool_call>\n<fun", true),
            (Said{.calls = {{"now", Json::object()}}}));
  EXPECT_EQ(parse("<zyphra_tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
                  "\"Rome\", \"unit\": \"kel",
                  true),
            expected({{"city", "Rome"}}));
  EXPECT_EQ(parse("<zyphra_tool_call>\n{\"name\": \"get_w", true), Said{});
  EXPECT_EQ(parse("<function=get_weather(city='Rome', days=1", true), expected({{"city", "Rome"}}));
}

TEST(OutputParser, CallsWithoutTheirClosersCount) {
  const std::string begin = "<zyphra_tool_call>\n<function=get_weather>\n";
  const auto expected = [](const Json& arguments) {
    return Said{.calls = {{"get_weather", arguments, false}}};
  };
  EXPECT_EQ(parse(begin + "<parameter=days>\n12"), expected({{"days", 12}}));
  EXPECT_EQ(parse(begin + parameter("city", "Rome")), expected({{"city", "Rome"}}));
  const Said whole{.calls = {{"get_weather", {{"city", "Rome"}}}}};
  EXPECT_EQ(parse(begin + parameter("city", "Rome") + "</function>\n"), whole);
  EXPECT_EQ(parse(begin + parameter("city", "Rome") + "</zyphra_tool_call>"), whole);
  EXPECT_EQ(parse(begin + "<parameter=city>\nRome\n</function>\n</zyphra_tool_call>"), whole);
  EXPECT_EQ(parse(begin + "<parameter=city>\nRome\n</zyphra_tool_call>"), whole);
}

// Forms that models make of the format.

TEST(OutputParser, NestedTags) {
  const Json arguments = {{"city", "Rome"}, {"days", 2}};
  const std::string parameters =
      "<parameter>\n<name>city</name>\n<value>Rome</value>\n</parameter>\n"
      "<parameter><name>days</name><type>integer</type><value>2</value></parameter>\n";
  const auto wrapped = [](const std::string& inner) {
    return "<zyphra_tool_call>\n" + inner + "</function>\n</zyphra_tool_call>";
  };
  expect_call(wrapped("<function>get_weather\n" + parameters), "get_weather", arguments);
  expect_call(wrapped("<function>\n<name>get_weather</name>\n" + parameters), "get_weather",
              arguments);
  expect_call(wrapped("<function=get_weather>\n" + parameters), "get_weather", arguments);
  expect_call(wrapped("<function>get_weather</function>\n" + parameters), "get_weather", arguments);
  // A declaration that is only repeated has no values.
  expect_call(wrapped("<function=get_weather>\n<parameter>\n<name>city</name>\n"
                      "<type>string</type>\n</parameter>\n"),
              "get_weather", Json::object());
}

TEST(OutputParser, ForgottenBrackets) {
  expect_call("<zyphra_tool_call>\n<function=get_weather\n" + parameter("city", "Rome") +
                  "</function>\n</zyphra_tool_call>",
              "get_weather", {{"city", "Rome"}});
  expect_call(
      "<zyphra_tool_call><function=get_weather<parameter=city>Rome</parameter></function>"
      "</zyphra_tool_call>",
      "get_weather", {{"city", "Rome"}});
}

TEST(OutputParser, AParameterBeforeTheLastWasClosed) {
  expect_call(call("write_file", "<parameter=path>\na.txt\n<parameter=content>\nx\n</parameter>\n"),
              "write_file", {{"path", "a.txt"}, {"content", "x"}});
  expect_call(call("get_weather", "<parameter=days>2<parameter=city>Rome</parameter>"),
              "get_weather", {{"days", 2}, {"city", "Rome"}});
}

TEST(OutputParser, InlineCalls) {
  const Json arguments = {{"city", "it's (Rome)"}, {"days", 2}, {"metric", true}};
  const std::string inner = "city='it\\'s (Rome)', days=2, metric=True";
  expect_call("<function=get_weather(" + inner + ")>", "get_weather", arguments);
  expect_call("[zyphra_tool_call]\n<function=get_weather(" + inner + ")>", "get_weather",
              arguments);
  expect_call(
      "<zyphra_tool_call><function=get_weather(" + inner + ")/></function></zyphra_tool_call>",
      "get_weather", arguments);
  expect_call("<function=get_weather(city=New York, days=\"2\")>", "get_weather",
              {{"city", "New York"}, {"days", 2}});
  expect_call("<function=now()>", "now", Json::object());
}

TEST(OutputParser, SquareBrackets) {
  expect_call("[zyphra_tool_call]\n<function=now>\n</function>\n[/zyphra_tool_call]", "now",
              Json::object());
  expect_call("[zyphra_tool_call]\n<function=now>\n</function>\n</zyphra_tool_call>", "now",
              Json::object());
}

TEST(OutputParser, LineBreaksAsTags) {
  expect_content("one<br>two<br/>three<br />", "one\ntwo\nthree\n");
  expect_content("one<br>two <b>x</b>", "one<br>two <b>x</b>");
  expect_content("one<br>two\nthree", "one<br>two\nthree");
  expect_content("1 < 2<br>", "1 < 2\n");
}

TEST(OutputParser, QuotedStrings) {
  expect_content("\"a \\\"b\\\"\\n\"", "a \"b\"\n");
  expect_call(call("get_weather", parameter("city", "\"Rome\"") + parameter("days", "\"2\"") +
                                      parameter("options", "\"{\\\"deep\\\": true}\"")),
              "get_weather", {{"city", "Rome"}, {"days", 2}, {"options", {{"deep", true}}}});
}

TEST(OutputParser, OrphanClosersAreDropped) {
  EXPECT_EQ(parse("All done.\n</parameter>\n</function>\n</zyphra_tool_call>"),
            (Said{.content = "All done.\n"}));
  EXPECT_EQ(parse("a</zyphra_tool_call> b"), (Said{.content = "a b"}));
  EXPECT_EQ(parse(call("now", "") + "\n</parameter>\n</function>\n</zyphra_tool_call>\nok"),
            (Said{.content = "ok", .calls = {{"now", Json::object()}}}));
}

TEST(OutputParser, TagsOfOtherModels) {
  const std::string body = "<function=get_weather>\n" + parameter("city", "Rome") + "</function>\n";
  expect_call("<tool_call>\n" + body + "</tool_call>", "get_weather", {{"city", "Rome"}});
  expect_call(body, "get_weather", {{"city", "Rome"}});
  EXPECT_EQ(parse(body + "Let us see."),
            (Said{.content = "Let us see.", .calls = {{"get_weather", {{"city", "Rome"}}}}}));
}

TEST(OutputParser, JsonBodies) {
  const Json arguments = {{"city", "Rome"}, {"days", 2}};
  for (const char* json :
       {R"({"name": "get_weather", "arguments": {"city": "Rome", "days": 2}})",
        R"({"name": "get_weather", "parameters": {"city": "Rome", "days": "2"}})",
        R"({"function": {"name": "get_weather",
                               "arguments": "{\"city\": \"Rome\", \"days\": 2}"}})",
        "{'name': 'get_weather', 'arguments': {'city': 'Rome', 'days': 2}}"}) {
    expect_call(std::string("<zyphra_tool_call>\n") + json + "\n</zyphra_tool_call>", "get_weather",
                arguments);
    expect_call(std::string("<tool_call>") + json + "</tool_call>", "get_weather", arguments);
  }
  expect_call("<function=get_weather>{\"city\": \"Rome\", \"days\": 2}</function>", "get_weather",
              arguments);
}

// Reasoning.

TEST(OutputParser, NewlinesAroundReasoningAreDropped) {
  EXPECT_EQ(parse_both({"\nI think.\n\nYes.\n", "\n\nIt is.\n"}),
            (Said{"I think.\n\nYes.", "It is.\n"}));
}

TEST(OutputParser, FindsCallsInAThinkBlockThatIsNotClosed) {
  const std::string text = call("get_weather", parameter("city", "Rome"));
  const std::vector<Call> calls{{"get_weather", {{"city", "Rome"}}}};
  EXPECT_EQ(parse_both({"I need it.\n" + text}), (Said{.reasoning = "I need it.", .calls = calls}));
  EXPECT_EQ(parse_both({text + "\nNow I wait."}),
            (Said{.reasoning = "Now I wait.", .calls = calls}));
  // Nothing but white space after the block: the call was meant.
  EXPECT_EQ(parse_both({"a" + text, "\n\n"}), (Said{.reasoning = "a", .calls = calls}));
  EXPECT_EQ(
      parse_both({"Go.\n<zyphra_tool_call>\n<function=get_weather>\n<parameter=city>\nRo"}, true),
      (Said{.reasoning = "Go.", .calls = {{"get_weather", {{"city", "Ro"}}, false}}}));
}

TEST(OutputParser, ACallThatWasOnlyThoughtOfIsReasoning) {
  const std::string text = call("get_weather", parameter("city", "Rome"));
  EXPECT_EQ(parse_both({"Maybe " + text + " or not.\n", "\n\nNo call."}),
            (Said{"Maybe " + text + " or not.", "No call."}));
  EXPECT_EQ(parse_both({"Draft: " + text + "\n", "\n\n" + text}),
            (Said{"Draft: " + text, "", {{"get_weather", {{"city", "Rome"}}}}}));
  // Cut off while it went on thinking.
  EXPECT_EQ(parse_both({"Draft: " + text + " no, rath"}, true),
            (Said{"Draft: " + text + " no, rath"}));
}

TEST(OutputParser, ThinksAgainAfterAnAnswer) {
  OutputParser parser({.tools = std::make_shared<ToolSet>(weather_tools())});
  Events events;
  const auto take = [&](Events more) {
    for (OutputEvent& e : more) append_event(events, std::move(e));
  };
  take(parser.push("a " + call("now", ""), ""));
  take(parser.push("", "b"));
  take(parser.push("c " + call("now", ""), ""));
  take(parser.finish(false));
  EXPECT_EQ(said_by(events), (Said{"a " + call("now", "") + "c ", "b", {{"now", Json::object()}}}));
}

// Generated calls.

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t n) { return random_.next() % n; }

  std::string string() {
    static const std::vector<std::string> parts = {"a",
                                                   "Z",
                                                   " ",
                                                   "\n",
                                                   "<",
                                                   ">",
                                                   "</",
                                                   "\"",
                                                   "\\",
                                                   "é",
                                                   "\xf0\x9f\x98\x80",
                                                   "{",
                                                   "}",
                                                   "[",
                                                   "]",
                                                   "null",
                                                   "7",
                                                   "<b>",
                                                   "</parameter>",
                                                   "<parameter=",
                                                   "<function=",
                                                   "</function>",
                                                   "&amp;",
                                                   "'",
                                                   "\t",
                                                   "<zyphra_tool_call>",
                                                   "</tool_call>",
                                                   ":",
                                                   ",",
                                                   "word "};
    std::string out;
    for (std::size_t n = below(12); n > 0; --n) out += parts[below(parts.size())];
    return out;
  }

  Json value(const std::string& type, int depth = 0) {
    if (type == "string") return string();
    if (type == "integer") return static_cast<std::int64_t>(random_.next() >> below(64));
    if (type == "number") return (random_.uniform() - 0.5) * std::pow(10.0, double(below(30)));
    if (type == "boolean") return below(2) == 0;
    if (type == "null") return nullptr;
    Json out = type == "array" ? Json::array() : Json::object();
    for (std::size_t n = depth < 3 ? below(4) : 0; n > 0; --n) {
      Json inner = value(kTypes[below(7)], depth + 1);
      if (type == "array") {
        out.push_back(std::move(inner));
      } else {
        out[string()] = std::move(inner);
      }
    }
    return out;
  }

  const char* type() { return kTypes[below(7)]; }

 private:
  static constexpr const char* kTypes[] = {"string", "integer", "number", "boolean",
                                           "null",   "array",   "object"};
  Random random_;
};

// Text that means something else to the parser: a string that is JSON in quotes, closing tags with
// what follows them in a call, the beginning of a call without its end. (The generator makes no
// <br>.)
bool is_ambiguous(const Json& value) {
  static const std::regex structure(
      "</(parameter|function|zyphra_tool_call)>\\s*($|</?(parameter|function|zyphra_tool_call))"
      "|</zyphra_tool_call>\n|<function=[^ "
      "\n<\"'(>]+>\\s*<|<zyphra_tool_call>\\s*(<function=|\\{)");
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  return std::regex_search(text, structure) || (value.is_string() && text.starts_with('"'));
}

// The chat template writes down what the parser reads.
TEST(OutputParser, ReadsWhatTheTemplateWrites) {
  const ChatTemplate chat = ChatTemplate::builtin();
  std::size_t strings = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    Generator g(seed);
    Json properties = Json::object();
    Json tools = Json::array();
    Json calls = Json::array();
    std::vector<Call> expected;
    const std::size_t count = 1 + g.below(3);
    for (std::size_t t = 0; t < count; ++t) {
      Json arguments = Json::object();
      Json schema = {{"type", "object"}, {"properties", Json::object()}, {"$defs", Json::object()}};
      for (std::size_t p = 0, n = g.below(5); p < n; ++p) {
        const std::string name = "p" + std::to_string(p);
        const std::string type = g.type();
        Json property = {{"type", type}};
        switch (g.below(5)) {
          case 0:
            property = {{"anyOf", {{{"type", type}}}}};
            break;
          case 1:
            schema["$defs"][name] = property;
            property = {{"$ref", "#/$defs/" + name}};
            break;
          case 2:
            property["type"] = Json::array({type});
            break;
          default:
            break;
        }
        Json value = g.value(type);
        while (is_ambiguous(value)) value = g.value(type);
        strings += type == "string" ? 1 : 0;
        if (g.below(6) == 0) property["enum"] = Json::array({"other", value});
        schema["properties"][name] = property;
        arguments[name] = std::move(value);
      }
      const std::string name = "tool_" + std::to_string(t);
      tools.push_back(
          {{"type", "function"}, {"function", {{"name", name}, {"parameters", schema}}}});
      calls.push_back({{"function", {{"name", name}, {"arguments", arguments}}}});
      expected.push_back({name, arguments});
    }
    const std::string content = g.below(2) == 0 ? "" : "Let me see.";
    const std::string question = chat.render({.messages = {{{"role", "user"}, {"content", "?"}}},
                                              .tools = tools,
                                              .kwargs = {{"enable_thinking", false}}});
    const std::string whole = chat.render(
        {.messages = {{{"role", "user"}, {"content", "?"}},
                      {{"role", "assistant"}, {"content", content}, {"tool_calls", calls}}},
         .tools = tools,
         .kwargs = {{"enable_thinking", false}},
         .add_generation_prompt = false});
    ASSERT_TRUE(whole.starts_with(question));
    std::string said = whole.substr(question.size());
    ASSERT_TRUE(said.ends_with("<|im_end|>\n"));
    said.resize(said.size() - std::string_view("<|im_end|>\n").size());
    SCOPED_TRACE(std::to_string(seed) + ": " + said);
    const auto set = std::make_shared<const ToolSet>(tools);
    const Events events = events_of({.content = said}, {}, false, set);
    ASSERT_EQ(said_by(events), (Said{.content = content, .calls = expected}));
    for (int round = 0; round < 5; ++round) {
      std::vector<std::size_t> cuts;
      for (std::size_t at = g.below(8); at <= said.size(); at += g.below(8)) cuts.push_back(at);
      ASSERT_EQ(events_of({.content = said}, cuts, false, set), events);
    }
  }
  EXPECT_GT(strings, 100U);
}

TEST(OutputParser, SurvivesTheFuzzCorpus) {
  int count = 0;
  const auto corpus = std::filesystem::path(ZAYA_SOURCE_DIR) / "tests/fuzz/corpus/tool_calls";
  for (const auto& file : std::filesystem::directory_iterator(corpus)) {
    SCOPED_TRACE(file.path().string());
    test::check_tool_calls(read_file(file.path()));
    ++count;
  }
  EXPECT_GT(count, 20);
}

}  // namespace
}  // namespace zaya
