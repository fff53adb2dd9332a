#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace zaya::eval {

/// What a program must do to be right.
struct CodeTests {
  struct Test {
    std::string input;     ///< standard input; of a function, its arguments: a JSON list
    std::string expected;  ///< standard output; of a function, its value: JSON
  };
  std::string language = "python";
  std::string function = {};  ///< to call: a plain function, or a method of class Solution; empty:
                              ///< programs read standard input and write standard output
  std::vector<Test> tests = {};
};

/// The tests of a row of a data set: those in all of `fields` that it has, each a list of {"input",
/// "output"} or a text that holds one. The function is the row's "function", or "func_name" in its
/// "metadata"; its arguments are a list, or lines of JSON as LiveCodeBench has them.
/// LiveCodeBench's private tests, which are packed by Python's pickle, are unpacked by Python in a
/// sandbox. Throws Error naming `where`.
CodeTests read_code_tests(const Json& row, const std::vector<std::string>& fields,
                          const std::string& where);

/// What a model is told beside the problem: the form of the program. Our own words.
std::string code_instruction(const CodeTests& tests, const std::string& starter);

/// Whether an output is the expected one: line by line, word by word, spaces at ends of lines and
/// empty lines at the end aside; numbers in decimal notation are the same when their values are
/// (1.50 and 1.5), with no tolerance.
bool same_output(const std::string& expected, const std::string& found);
/// Whether a function's value, as JSON, is the expected one. Numbers are compared by value; a found
/// text that is no JSON is different.
bool same_value(const std::string& expected, const std::string& found);

}  // namespace zaya::eval
