#include "eval/code_checker.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya::eval {
namespace {

// Calls the function with the arguments on standard input, and writes its value where the program's
// own prints do not go. The names that LiveCodeBench's problems take for granted are there.
constexpr const char* kCallPython = R"(import json, os, sys
channel = os.dup(1)
os.dup2(2, 1)
request = json.load(sys.stdin)
names = {'__name__': 'solution'}
for module in ('string', 're', 'datetime', 'operator', 'copy', 'random', 'typing', 'collections',
               'itertools', 'functools', 'heapq', 'bisect', 'math'):
  exec(f'from {module} import *', names)
for module in ('sys', 're', 'operator', 'random', 'collections', 'itertools', 'functools', 'heapq',
               'bisect', 'math'):
  exec(f'import {module}', names)
with open('/program/main.py') as file:
  exec(compile(file.read(), 'main.py', 'exec'), names)
solution = names.get('Solution')
function = request['function']
call = getattr(solution(), function) if hasattr(solution, function) else names[function]
value = json.dumps(call(*request['arguments']))
with os.fdopen(channel, 'w') as out:
  out.write(value)
)";

// A language of answers: another is another row. A limit on memory counts address space, of which
// some run-time systems reserve far more than they use.
struct Language {
  std::string name;
  std::string file;                    ///< the program's name
  std::vector<std::string> run;        ///< runs it
  std::string caller_file = {};        ///< name of what calls a function of it
  std::string caller = {};             ///< the text of that; empty: functions cannot be called
  std::vector<std::string> call = {};  ///< runs that
};

const std::vector<Language>& languages() {
  static const std::vector<Language> table = [] {
    // Sets have the same order each time; numpy does not start a thread for each core.
    const auto python = [](const char* file) {
      return std::vector<std::string>{
          "env", "PYTHONHASHSEED=0", "OPENBLAS_NUM_THREADS=1", "python3", "-B", file};
    };
    return std::vector<Language>{{.name = "python",
                                  .file = "main.py",
                                  .run = python("/program/main.py"),
                                  .caller_file = "call.py",
                                  .caller = kCallPython,
                                  .call = python("/program/call.py")}};
  }();
  return table;
}

const Language& language_of(const CodeTests& tests, const std::string& where) {
  const auto at = std::find_if(languages().begin(), languages().end(),
                               [&](const Language& l) { return l.name == tests.language; });
  if (at == languages().end() || (!tests.function.empty() && at->caller.empty())) {
    std::string known;
    for (const Language& l : languages()) known += (known.empty() ? "" : ", ") + l.name;
    throw Error({.where = where,
                 .what = fmt::format("{} of this language cannot be run",
                                     tests.function.empty() ? "programs" : "functions"),
                 .expected = known,
                 .found = tests.language.substr(0, 100)});
  }
  return *at;
}

}  // namespace

void require_language(const CodeTests& tests, const std::string& where) {
  language_of(tests, where);
}

CodeVerdict CodeChecker::check(const std::string& program, const CodeTests& tests) const {
  const Language& language = language_of(tests, "code answer");
  const bool function = !tests.function.empty();
  sandbox::Program run{.command = function ? language.call : language.run,
                       .files = {{language.file, program}}};
  if (function) run.files[language.caller_file] = language.caller;
  CodeVerdict verdict;
  for (const CodeTests::Test& test : tests.tests) {
    run.input = function ? fmt::format(R"({{"function": {}, "arguments": {}}})",
                                       Json(tests.function).dump(), test.input)
                         : test.input;
    const sandbox::Outcome outcome = sandbox_.run(run, limits_);
    if (!outcome.succeeded()) {
      verdict.why = sandbox::end_name(outcome.end);
      return verdict;
    }
    if (!(function ? same_value : same_output)(test.expected, outcome.output)) {
      verdict.why = "wrong";
      return verdict;
    }
    ++verdict.passed;
  }
  verdict.right = true;
  return verdict;
}

}  // namespace zaya::eval
