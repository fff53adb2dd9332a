#pragma once

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

namespace zaya {

struct RunResult {
  int exit_code = -1;  ///< 128 + n when signal n ended it
  std::string out;
  std::string err;
};

/// Runs the program of this build with these arguments and this standard input.
inline RunResult run(const std::vector<std::string>& arguments, const std::string& input = {}) {
  const auto quoted_word = [](const std::string& word) {
    std::string text = "'";
    for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return text + "'";
  };
  const auto base =
      std::filesystem::temp_directory_path() / ("zaya-run-" + std::to_string(::getpid()));
  const auto file = [&](const char* suffix) { return base.string() + suffix; };
  write_file(file(".in"), input);
  std::string command = quoted_word(ZAYA_BUILD_DIR "/bin/zaya");
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

}  // namespace zaya
