#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

namespace zaya {

struct RunResult {
  int exit_code = -1;  ///< 128 + n when signal n ended it
  std::string out;
  std::string err;
};

/// Runs a program of this build with these arguments and this standard input.
inline RunResult run(const std::vector<std::string>& arguments, const std::string& input = {},
                     const std::string& program = "zaya") {
  const auto quoted_word = [](const std::string& word) {
    std::string text = "'";
    for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return text + "'";
  };
  const auto base =
      std::filesystem::temp_directory_path() / ("zaya-run-" + std::to_string(::getpid()));
  const auto file = [&](const char* suffix) { return base.string() + suffix; };
  write_file(file(".in"), input);
  std::string command = quoted_word(ZAYA_BUILD_DIR "/bin/" + program);
  for (const std::string& argument : arguments) command += " " + quoted_word(argument);
  command += " <" + quoted_word(file(".in")) + " >" + quoted_word(file(".out")) + " 2>" +
             quoted_word(file(".err"));
  const int status = std::system(command.c_str());
  RunResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_file(file(".out"));
  result.err = read_file(file(".err"));
  for (const char* suffix : {".in", ".out", ".err"}) std::filesystem::remove(file(suffix));
  return result;
}

/// Folder of a recorded checkpoint.
inline std::string golden(const std::string& name) {
  return std::string(ZAYA_TEST_DATA) + "/goldens/" + name;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Ended with this code and one line on stderr that holds `part`, and nothing on stdout.
inline void expect_failure(const RunResult& r, int exit_code, const std::string& part) {
  EXPECT_EQ(r.exit_code, exit_code) << r.err;
  EXPECT_TRUE(contains(r.err, part)) << r.err;
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
  EXPECT_EQ(r.out, "");
}

}  // namespace zaya
