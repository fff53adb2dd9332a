#include "eval/code_tests.h"

#include <optional>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "sandbox/sandbox.h"
#include "zaya/error.h"

namespace zaya::eval {
namespace {

// A pickle can do anything to who opens it, so it is opened where nothing can be done.
std::string unpickled(const std::string& packed, const std::string& where) {
  constexpr const char* kProgram =
      "import base64, json, pickle, sys, zlib\n"
      "tests = pickle.loads(zlib.decompress(base64.b64decode(sys.stdin.read())))\n"
      "print(json.dumps(json.loads(tests) if isinstance(tests, str) else tests))\n";
  static const sandbox::Sandbox box;
  const sandbox::Outcome outcome =
      box.run({.command = {"python3", "-c", kProgram}, .input = packed},
              {.cpu_seconds = 60, .wall_seconds = 120, .memory = 4ULL << 30, .output = 1ULL << 30});
  if (!outcome.succeeded()) {
    throw Error({.where = where,
                 .what = "neither a list of tests nor one packed as LiveCodeBench does",
                 .found = packed.substr(0, 40)});
  }
  return outcome.output;
}

Json list_of(const Json& value, const std::string& where) {
  Json list = value;
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    const bool plain = first == std::string::npos || text[first] == '[' || text[first] == '{';
    list = parse_json(plain ? text : unpickled(text, where), where);
  }
  if (!list.is_array()) throw Error({.where = where, .what = "not a list of tests"});
  return list;
}

std::string function_of(const JsonView& row) {
  if (row.has("function")) return row.string("function");
  const Json* metadata = row.find("metadata");
  if (metadata == nullptr) return {};
  const std::string where = row.where() + ": metadata";
  const Json object =
      metadata->is_string() ? parse_json(metadata->get<std::string>(), where) : Json(*metadata);
  return JsonView(object, where).string("func_name", "");
}

// Arguments as one list; a text has one of them a line.
std::string arguments_of(const Json& input, const std::string& where) {
  if (!input.is_string()) {
    if (!input.is_array()) throw Error({.where = where, .what = "arguments are no list"});
    return input.dump();
  }
  Json list = Json::array();
  std::istringstream lines(input.get<std::string>());
  for (std::string line; std::getline(lines, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) {
      list.push_back(parse_json(line, where));
    }
  }
  return list.dump();
}

// 007, 7.0 and 7 alike; none for what is no number in decimal notation.
std::optional<std::string> normal_number(std::string_view word) {
  std::string sign;
  if (!word.empty() && (word[0] == '-' || word[0] == '+')) {
    if (word[0] == '-') sign = "-";
    word.remove_prefix(1);
  }
  const std::size_t point = word.find('.');
  std::string_view whole = word.substr(0, point);
  std::string_view part = point == std::string_view::npos ? "" : word.substr(point + 1);
  const auto digits = [](std::string_view text) {
    return text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if ((whole.empty() && part.empty()) || !digits(whole) || !digits(part)) return std::nullopt;
  while (!whole.empty() && whole.front() == '0') whole.remove_prefix(1);
  while (!part.empty() && part.back() == '0') part.remove_suffix(1);
  if (whole.empty() && part.empty()) return "0";
  return fmt::format("{}{}.{}", sign, whole, part);
}

std::vector<std::vector<std::string>> words_of(const std::string& text) {
  std::vector<std::vector<std::string>> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    lines.emplace_back();
    for (std::string word; words >> word;) lines.back().push_back(word);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace

CodeTests read_code_tests(const Json& row, const std::vector<std::string>& fields,
                          const std::string& where) {
  const JsonView view(row, where);
  CodeTests out{.language = view.string("language", "python"), .function = function_of(view)};
  for (const std::string& field : fields) {
    const Json* value = view.find(field);
    if (value == nullptr) continue;
    const std::string there = fmt::format("{}: {}", where, field);
    for (const Json& one : list_of(*value, there)) {
      const JsonView test(one, there);
      if (out.function.empty()) {
        out.tests.push_back({test.string("input"), test.string("output")});
        continue;
      }
      const Json& input = test.at("input");
      const Json& output = test.at("output");
      // LiveCodeBench writes both as texts with JSON in them.
      out.tests.push_back(
          {arguments_of(input, there), input.is_string() && output.is_string()
                                           ? parse_json(output.get<std::string>(), there).dump()
                                           : output.dump()});
    }
  }
  if (out.tests.empty()) throw Error({.where = where, .what = "there are no tests"});
  return out;
}

std::string code_instruction(const CodeTests& tests, const std::string& starter) {
  std::string out;
  if (tests.function.empty()) {
    out = fmt::format(
        "Write a {} program that reads from standard input and writes to standard output.",
        tests.language);
  } else {
    out = fmt::format("Write a {} function {}.", tests.language, tests.function);
  }
  if (starter.find_first_not_of(" \t\r\n") != std::string::npos) {
    out += fmt::format(" Begin with this:\n\n```{}\n{}\n```\n\n", tests.language, starter);
  } else {
    out += " ";
  }
  return out + fmt::format("Give all of it in one block that begins with ```{}.", tests.language);
}

bool same_output(const std::string& expected, const std::string& found) {
  const auto a = words_of(expected);
  const auto b = words_of(found);
  if (a.size() != b.size()) return false;
  for (std::size_t line = 0; line < a.size(); ++line) {
    if (a[line].size() != b[line].size()) return false;
    for (std::size_t i = 0; i < a[line].size(); ++i) {
      if (a[line][i] == b[line][i]) continue;
      const auto number = normal_number(a[line][i]);
      if (!number || number != normal_number(b[line][i])) return false;
    }
  }
  return true;
}

bool same_value(const std::string& expected, const std::string& found) {
  // Objects without the order of their members.
  const auto parse = [](const std::string& text) {
    return nlohmann::json(parse_json(text, "value"));
  };
  try {
    return parse(expected) == parse(found);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace zaya::eval
