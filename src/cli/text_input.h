#pragma once

#include <cstdio>
#include <functional>
#include <string>

#include "base/json.h"

namespace zaya::cli {

/// What a command reads its data from: a file, or standard input when no file is named.
class TextInput {
 public:
  /// Throws Error when the file cannot be opened.
  explicit TextInput(const std::string& file);
  TextInput(const TextInput&) = delete;
  TextInput& operator=(const TextInput&) = delete;
  ~TextInput();

  /// For error messages.
  const std::string& name() const { return name_; }

  /// All of it, to the byte.
  std::string read_all();
  /// Calls `use` with each line's JSON value and the line's name for error messages, as the lines
  /// arrive. Throws Error for a line that is not JSON.
  void for_each_json_line(
      const std::function<void(const Json& value, const std::string& where)>& use);

 private:
  std::string name_;
  std::FILE* file_;
};

/// Writes one result line at once, for programs that wait for it before they send the next.
void print_json_line(const Json& value);

/// Throws Error naming the first byte that is not UTF-8.
void require_utf8(const std::string& text, const std::string& where);

}  // namespace zaya::cli
