#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"

namespace zaya {
namespace {

// The house: each folder of src/ and what it stands on directly. What those stand on is allowed
// too. A new folder needs a row here.
const std::map<std::string, std::set<std::string>> kStandsOn = {
    {"base", {}},
    {"compute", {"base"}},
    {"checkpoint", {"base", "compute"}},
    {"model", {"checkpoint"}},
    {"cache", {"model"}},
    {"text", {"base"}},
    {"engine", {"model", "cache", "text"}},
    {"answers", {"base"}},
    {"sandbox", {"base"}},
    {"rsa", {"engine", "answers"}},
    {"plot", {"base"}},
    {"eval", {"rsa", "sandbox", "plot"}},
    {"server", {"engine", "rsa"}},
    {"train", {"checkpoint", "text"}},
    {"cli", {"server", "eval", "train", "plot"}},
};

// The public headers, include/zaya: which folder of src/ each is part of. What may include that
// folder may include the header; itself it stands on other public headers alone, so that a program
// needs nothing else.
const std::map<std::string, std::string> kPublic = {
    {"zaya/engine.h", "engine"},          {"zaya/error.h", "base"},     {"zaya/options.h", "model"},
    {"zaya/output_format.h", "text"},     {"zaya/request.h", "engine"}, {"zaya/token.h", "base"},
    {"zaya/sampling_params.h", "engine"},
};

using Files = std::map<std::string, std::string>;  // path relative to src/ or include/ -> content

bool may_include(const std::string& from, const std::string& to) {
  if (from == to) return true;
  const auto& below = kStandsOn.at(from);
  return std::any_of(below.begin(), below.end(),
                     [&](const std::string& folder) { return may_include(folder, to); });
}

std::string folder_of(const std::string& path) {
  if (const auto header = kPublic.find(path); header != kPublic.end()) return header->second;
  const auto slash = path.find('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

void check_include(const Files& files, const std::string& path, const std::string& target,
                   bool quoted, std::vector<std::string>& problems) {
  const std::string to = folder_of(target);
  if (quoted && !files.contains(target)) {
    problems.push_back(path + ": \"" + target + "\" is no file of src/ or include/");
  } else if (!quoted && files.contains(target)) {
    problems.push_back(path + ": <" + target + "> is our own, include it with quotes");
  } else if (kPublic.contains(path) &&
             // <nlohmann/json.hpp>, <unistd.h>: neither is of the standard library of C++.
             (quoted ? !kPublic.contains(target)
                     : target.find_first_of("./") != std::string::npos)) {
    problems.push_back(path + ": a public header may not include " + target);
  } else if (quoted && kStandsOn.contains(to) && !may_include(folder_of(path), to)) {
    problems.push_back(path + ": " + folder_of(path) + " may not include " + to + " (" + target +
                       ")");
  }
}

// `<path>` or `"path"` of an include line, without the closing mark; empty for any other line.
std::string include_of(std::string_view line) {
  const auto skip = [&](std::string_view word) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    const bool there = line.starts_with(word);
    if (there) line.remove_prefix(word.size());
    return there;
  };
  if (!skip("#") || !skip("include") || !skip("") || line.size() < 2) return "";
  return std::string(line.substr(0, line.find_first_of(">\"", 1)));
}

std::vector<std::string> problems_of(const Files& files) {
  std::vector<std::string> problems;
  for (const auto& [path, text] : files) {
    if (!kStandsOn.contains(folder_of(path))) {
      problems.push_back(path + ": its folder has no row in kStandsOn");
      continue;
    }
    // An -inl.h file is compiled anew for each ISA that includes it.
    const bool header = path.ends_with(".h") && !path.ends_with("-inl.h");
    if (header && text.find("#pragma once\n") == std::string::npos) {
      problems.push_back(path + ": no #pragma once");
    }
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const std::string target = include_of(line);
      if (!target.empty()) {
        check_include(files, path, target.substr(1), target.front() == '"', problems);
      }
    }
  }
  return problems;
}

Files read_sources() {
  namespace fs = std::filesystem;
  Files files;
  for (const char* folder : {"src", "include"}) {
    const fs::path root = fs::path(ZAYA_SOURCE_DIR) / folder;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".h" || extension == ".cpp") {
        files[fs::relative(entry.path(), root).string()] = read_file(entry.path());
      }
    }
  }
  return files;
}

TEST(Structure, SourcesIncludeDownwardsOnly) {
  const Files files = read_sources();
  ASSERT_TRUE(files.contains("base/error.cpp"));
  for (const auto& [header, folder] : kPublic) EXPECT_TRUE(files.contains(header)) << header;
  for (const std::string& problem : problems_of(files)) ADD_FAILURE() << problem;
}

TEST(Structure, AcceptsWhatStandsBelow) {
  EXPECT_TRUE(problems_of({{"base/a.h", "#pragma once\n#include <map>\n"},
                           {"text/b.h", "#pragma once\n#include \"base/a.h\"\n"},
                           {"zaya/token.h", "#pragma once\n#include <cstdint>\n"},
                           {"zaya/engine.h", "#pragma once\n#include \"zaya/token.h\"\n"},
                           {"base/t.cpp", "#include \"zaya/token.h\"\n"},
                           {"engine/c.cpp",
                            "#include \"base/a.h\"\n  # include \"text/b.h\"\n"
                            "#include \"zaya/engine.h\"\n"}})
                  .empty());
}

TEST(Structure, FindsPlantedViolations) {
  const std::string once = "#pragma once\n";
  const Files files = {{"base/a.h", once},
                       {"base/b.h", "// no guard\n"},
                       {"base/up.cpp", "int x;\n#include \"text/c.h\"\n"},
                       {"model/m.h", once},
                       {"text/c.h", once + "#include \"model/m.h\"\n"},
                       {"text/angle.cpp", "#include <base/a.h>\n"},
                       {"text/local.cpp", "#include \"c.h\"\n#include \"../base/a.h\"\n"},
                       {"text/twice-inl.h", "// no guard\n"},
                       {"misc/d.h", once},
                       {"base/engine.cpp", "#include \"zaya/engine.h\"\n"},
                       {"zaya/engine.h", once + "#include \"base/a.h\"\n#include <unistd.h>\n"},
                       {"zaya/error.h", once + "#include \"zaya/engine.h\"\n"},
                       {"zaya/new.h", once}};
  EXPECT_EQ(
      problems_of(files),
      (std::vector<std::string>{"base/b.h: no #pragma once",
                                "base/engine.cpp: base may not include engine (zaya/engine.h)",
                                "base/up.cpp: base may not include text (text/c.h)",
                                "misc/d.h: its folder has no row in kStandsOn",
                                "text/angle.cpp: <base/a.h> is our own, include it with quotes",
                                "text/c.h: text may not include model (model/m.h)",
                                "text/local.cpp: \"c.h\" is no file of src/ or include/",
                                "text/local.cpp: \"../base/a.h\" is no file of src/ or include/",
                                "zaya/engine.h: a public header may not include base/a.h",
                                "zaya/engine.h: a public header may not include unistd.h",
                                "zaya/error.h: base may not include engine (zaya/engine.h)",
                                "zaya/new.h: its folder has no row in kStandsOn"}));
}

}  // namespace
}  // namespace zaya
