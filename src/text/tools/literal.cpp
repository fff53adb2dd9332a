#include "text/tools/literal.h"

#include <algorithm>
#include <cctype>

#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr int kMaxDepth = 64;

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.' ||
         c == '+';
}

// A reader of values. After a mistake the position is meaningless.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::optional<Json> value(int depth = 0) {
    skip_space();
    if (depth > kMaxDepth || at_end()) return std::nullopt;
    switch (peek()) {
      case '\'':
      case '"':
        return string();
      case '[':
        return list(']', depth);
      case '(':
        return list(')', depth);
      case '{':
        return object(depth);
      default:
        return word();
    }
  }

  // name = value, or name = a bare word up to the next comma.
  std::optional<std::pair<std::string, Json>> keyword() {
    skip_space();
    const std::size_t begin = position_;
    while (!at_end() && is_word(peek())) ++position_;
    std::string name(text_.substr(begin, position_ - begin));
    skip_space();
    if (name.empty() || !accept('=')) return std::nullopt;
    const std::size_t start = position_;
    if (auto read = value()) {
      skip_space();
      if (at_end() || peek() == ',') return std::pair(std::move(name), std::move(*read));
    }
    position_ = std::min(text_.find(',', start), text_.size());
    std::string_view bare = text_.substr(start, position_ - start);
    while (!bare.empty() && is_space(bare.front())) bare.remove_prefix(1);
    while (!bare.empty() && is_space(bare.back())) bare.remove_suffix(1);
    if (bare.empty() || bare.find_first_of("'\"[]{}()") != std::string_view::npos) {
      return std::nullopt;
    }
    return std::pair(std::move(name), Json(bare));
  }

  bool at_end() const { return position_ == text_.size(); }
  bool accept(char c) {
    skip_space();
    if (at_end() || peek() != c) return false;
    ++position_;
    return true;
  }
  void skip_space() {
    while (!at_end() && is_space(peek())) ++position_;
  }

 private:
  char peek() const { return text_[position_]; }

  std::optional<Json> word() {
    const std::size_t begin = position_;
    while (!at_end() && is_word(peek())) ++position_;
    const std::string_view word = text_.substr(begin, position_ - begin);
    if (word == "True") return Json(true);
    if (word == "False") return Json(false);
    if (word == "None") return Json(nullptr);
    return parse_strict(word);
  }

  std::optional<Json> list(char closer, int depth) {
    ++position_;
    Json values = Json::array();
    while (!accept(closer)) {
      auto element = value(depth + 1);
      if (!element) return std::nullopt;
      values.push_back(std::move(*element));
      if (!accept(',')) return accept(closer) ? std::optional(std::move(values)) : std::nullopt;
    }
    return values;
  }

  std::optional<Json> object(int depth) {
    ++position_;
    Json values = Json::object();
    while (!accept('}')) {
      skip_space();
      if (at_end() || (peek() != '"' && peek() != '\'')) return std::nullopt;
      const auto key = string();
      if (!key || !accept(':')) return std::nullopt;
      auto member = value(depth + 1);
      if (!member) return std::nullopt;
      values[key->get<std::string>()] = std::move(*member);
      if (!accept(',')) return accept('}') ? std::optional(std::move(values)) : std::nullopt;
    }
    return values;
  }

  std::optional<Json> string() {
    const char quote = text_[position_++];
    std::string out;
    while (!at_end()) {
      const char c = text_[position_++];
      if (c == quote) return Json(replace_invalid_utf8(out));
      if (c == '\\' && !at_end()) {
        escape(out);
      } else {
        out.push_back(c);
      }
    }
    return std::nullopt;
  }

  void escape(std::string& out) {
    const char c = text_[position_++];
    switch (c) {
      case 'n':
        return out.push_back('\n');
      case 't':
        return out.push_back('\t');
      case 'r':
        return out.push_back('\r');
      case 'b':
        return out.push_back('\b');
      case 'f':
        return out.push_back('\f');
      case '\n':  // a line that goes on
        return;
      case '\\':
      case '\'':
      case '"':
      case '/':
        return out.push_back(c);
      case 'x':
        return code_point(2, c, out);
      case 'u':
        return code_point(4, c, out);
      case 'U':
        return code_point(8, c, out);
      default:  // Python leaves the backslash of other escapes
        out.push_back('\\');
        out.push_back(c);
    }
  }

  std::optional<char32_t> hexadecimal(std::size_t digits) {
    if (text_.size() - position_ < digits) return std::nullopt;
    char32_t code = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const char c = text_[position_ + i];
      if (std::isxdigit(static_cast<unsigned char>(c)) == 0) return std::nullopt;
      const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
      code = (code << 4U) | static_cast<char32_t>(digit);
    }
    position_ += digits;
    return code;
  }

  void code_point(std::size_t digits, char letter, std::string& out) {
    const auto code = hexadecimal(digits);
    if (!code) {
      out.push_back('\\');
      out.push_back(letter);
      return;
    }
    char32_t c = *code;
    if (c >= 0xd800 && c < 0xdc00 && text_.substr(position_).starts_with("\\u")) {
      const std::size_t before = position_;
      position_ += 2;
      const auto low = hexadecimal(4);
      if (low && *low >= 0xdc00 && *low < 0xe000) {
        c = 0x10000 + ((c - 0xd800) << 10U) + (*low - 0xdc00);
      } else {
        position_ = before;
      }
    }
    append_utf8(out, c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? kReplacementCharacter : c);
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace

std::optional<Json> parse_strict(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<Json> parse_literal(std::string_view text) {
  if (auto json = parse_strict(text)) return json;
  Reader reader(text);
  auto value = reader.value();
  reader.skip_space();
  return reader.at_end() ? std::move(value) : std::nullopt;
}

Keywords parse_keywords(std::string_view text) {
  Reader reader(text);
  Keywords out;
  reader.skip_space();
  while (!reader.at_end()) {
    auto keyword = reader.keyword();
    if (!keyword) return out;
    out.values.push_back(std::move(*keyword));
    if (!reader.accept(',')) {
      out.whole = reader.at_end();
      return out;
    }
    reader.skip_space();
  }
  out.whole = true;
  return out;
}

std::string close_json(std::string_view text) {
  // The last place where the text can end, and what then is open.
  std::size_t safe = 0;
  std::string safe_open;
  std::string open;
  bool in_string = false;
  bool escape = false;
  bool is_key = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      in_string = escape || c != '"';
      escape = !escape && c == '\\';
      if (in_string || is_key) continue;
    } else if (c == '"') {
      in_string = true;
      continue;
    } else if (c == ':') {
      is_key = false;
      continue;
    } else if (c == ',') {
      is_key = !open.empty() && open.back() == '}';
    } else if (c == '{' || c == '[') {
      open.push_back(c == '{' ? '}' : ']');
      is_key = c == '{';
    } else if (c == '}' || c == ']') {
      if (open.empty() || open.back() != c) break;
      open.pop_back();
      is_key = false;
    } else {
      continue;
    }
    safe = c == ',' ? i : i + 1;
    safe_open = open;
  }
  std::string out(text.substr(0, safe));
  out.append(safe_open.rbegin(), safe_open.rend());
  return out;
}

std::optional<std::size_t> BracketFinder::read(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote_ != 0) {
      if (!escape_ && c == quote_) quote_ = 0;
      escape_ = !escape_ && c == '\\';
    } else if (c == '"' || c == '\'') {
      quote_ = c;
    } else if (c == '{' || c == '[' || c == '(') {
      ++depth_;
    } else if ((c == '}' || c == ']' || c == ')') && --depth_ <= 0) {
      return i + 1;
    }
  }
  return std::nullopt;
}

}  // namespace zaya
