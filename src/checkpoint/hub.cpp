#include "checkpoint/hub.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

fs::path cache_folder() {
  if (const auto v = variable("HF_HUB_CACHE"); !v.empty()) return v;
  if (const auto v = variable("HF_HOME"); !v.empty()) return fs::path(v) / "hub";
  if (const auto v = variable("XDG_CACHE_HOME"); !v.empty()) {
    return fs::path(v) / "huggingface" / "hub";
  }
  return fs::path(variable("HOME")) / ".cache" / "huggingface" / "hub";
}

/// Letters, digits, '-', '_' and '.', as the hub allows; never a step up the folder tree.
bool is_plain_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !name.empty() && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

fs::path resolve_model_folder(const std::string& argument) {
  std::error_code ignored;
  if (fs::is_directory(argument, ignored)) return argument;
  if (fs::exists(argument, ignored)) {
    throw Error({.where = argument, .what = "is not a folder", .expected = "a checkpoint folder"});
  }
  const auto slash = argument.find('/');
  if (slash == std::string::npos || !is_plain_name(std::string_view(argument).substr(0, slash)) ||
      !is_plain_name(std::string_view(argument).substr(slash + 1))) {
    throw Error({.where = argument, .what = "no such folder, and not a hub id (owner/name)"});
  }
  const fs::path cached = cache_folder() / fmt::format("models--{}--{}", argument.substr(0, slash),
                                                       argument.substr(slash + 1));
  const fs::path reference = cached / "refs" / "main";
  if (!fs::exists(reference, ignored)) {
    throw Error({.where = argument,
                 .what = "no such folder, and not in the local Hugging Face cache",
                 .expected = reference.string()});
  }
  std::string revision = read_file(reference, 4096);
  while (!revision.empty() && (revision.back() == '\n' || revision.back() == '\r')) {
    revision.pop_back();
  }
  if (!is_plain_name(revision)) {
    throw Error({.where = reference.string(), .what = "does not hold a revision"});
  }
  fs::path folder = cached / "snapshots" / revision;
  if (!fs::is_directory(folder, ignored)) {
    throw Error({.where = argument,
                 .what = "its revision main is not in the local Hugging Face cache",
                 .expected = folder.string()});
  }
  return folder;
}

}  // namespace zaya
