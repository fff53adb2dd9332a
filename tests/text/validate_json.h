#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"

namespace zaya::test {

/// Expects that each of {"schema": ..., "text": ...} is JSON that satisfies its schema, as Python's
/// jsonschema package sees it.
inline void expect_valid(const std::vector<Json>& cases) {
  const auto stem =
      (std::filesystem::temp_directory_path() / fmt::format("zaya-validate-{}", ::getpid()))
          .string();
  const std::string input = stem + ".ndjson";
  const std::string output = stem + ".txt";
  {
    std::ofstream lines(input);
    for (const Json& c : cases) lines << c.dump() << "\n";
  }
  // Debian's Python has the package of packages.txt, whatever else is installed.
  const std::string python =
      std::filesystem::exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
  const int status = std::system(fmt::format("{} {}/tests/text/validate_json.py {} > {} 2>&1",
                                             python, ZAYA_SOURCE_DIR, input, output)
                                     .c_str());
  const std::string verdict = read_file(output);
  EXPECT_EQ(status, 0) << verdict.substr(0, 20'000);
  EXPECT_NE(verdict.find(fmt::format("{} valid, 0 not", cases.size())), std::string::npos);
  std::filesystem::remove(input);
  std::filesystem::remove(output);
}

}  // namespace zaya::test
