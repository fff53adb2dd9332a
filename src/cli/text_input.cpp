#include "cli/text_input.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya::cli {

TextInput::TextInput(const std::string& file)
    : name_(file.empty() ? "standard input" : file),
      file_(file.empty() ? stdin : std::fopen(file.c_str(), "rb")) {
  if (file_ == nullptr) {
    throw Error({.where = name_, .what = fmt::format("cannot open: {}", std::strerror(errno))});
  }
}

TextInput::~TextInput() {
  if (file_ != stdin) std::fclose(file_);
}

std::string TextInput::read_all() {
  std::string text;
  std::array<char, 1 << 16> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), file_)) {
    text.append(buffer.data(), n);
  }
  if (std::ferror(file_) != 0) {
    throw Error({.where = name_, .what = fmt::format("cannot read: {}", std::strerror(errno))});
  }
  return text;
}

void TextInput::for_each_json_line(
    const std::function<void(const Json& value, const std::string& where)>& use) {
  struct Line {
    char* data = nullptr;
    std::size_t capacity = 0;
    Line() = default;
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;
    ~Line() { std::free(data); }
  } line;
  for (int number = 1;; ++number) {
    const ssize_t size = ::getline(&line.data, &line.capacity, file_);
    if (size < 0) break;
    const std::string where = fmt::format("{}: line {}", name_, number);
    use(parse_json(std::string_view(line.data, static_cast<std::size_t>(size)), where), where);
  }
  if (std::ferror(file_) != 0) {
    throw Error({.where = name_, .what = fmt::format("cannot read: {}", std::strerror(errno))});
  }
}

void print_json_line(const Json& value) {
  fmt::print("{}\n", value.dump());
  std::fflush(stdout);
}

void require_utf8(const std::string& text, const std::string& where) {
  const std::size_t bad = find_invalid_utf8(text);
  if (bad == std::string::npos) return;
  throw Error({.where = where,
               .what = "text is not UTF-8",
               .found = fmt::format("byte 0x{:02x} at offset {}",
                                    static_cast<unsigned char>(text[bad]), bad)});
}

}  // namespace zaya::cli
