#include "text/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

#include "text/jinja/ops.h"
#include "text/jinja/unicode.h"

namespace zaya::jinja {
namespace {

constexpr auto kNone = std::string_view::npos;

// Only \n ends a line, and one newline at the end of the file does not count.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_blank(std::string_view text) {
  for (std::size_t pos = 0; pos < text.size();) {
    if (!is_space(next_code_point(text, pos))) return false;
  }
  return true;
}

bool is_digit_of(char c, int base) {
  const char low = static_cast<char>(c | 0x20);
  if (base == 16 && low >= 'a' && low <= 'f') return true;
  return c >= '0' && c < '0' + std::min(base, 10);
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = next_tag();
      if (tag == kNone) {
        add_data(view().substr(at_));
        break;
      }
      text_then_tag(tag);
    }
    tokens_.push_back({TokenKind::end, line_, {}});
    return std::move(tokens_);
  }

 private:
  std::string_view view() const { return source_; }
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  bool looking_at(std::string_view text) const { return view().substr(at_).starts_with(text); }
  [[noreturn]] void fail(const std::string& message) const { throw SyntaxFailure(message, line_); }

  std::size_t next_tag() const {
    for (std::size_t i = at_; (i = source_.find('{', i)) != kNone; ++i) {
      const char c = i + 1 < source_.size() ? source_[i + 1] : '\0';
      if (c == '%' || c == '{' || c == '#') return i;
    }
    return kNone;
  }

  void add(TokenKind kind, std::string text = {}) {
    tokens_.push_back({kind, line_, std::move(text)});
  }

  void add_data(std::string_view text) {
    if (!text.empty()) add(TokenKind::data, std::string(text));
  }

  // Moves past the source up to `end`.
  void advance(std::size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    at_line_start_ = end > 0 && source_[end - 1] == '\n';
    at_ = end;
  }

  std::size_t space_end(std::size_t pos) const {
    while (pos < source_.size()) {
      std::size_t next = pos;
      if (!is_space(next_code_point(source_, next))) break;
      pos = next;
    }
    return pos;
  }
  void skip_space() { advance(space_end(at_)); }

  // The text before a tag, less what the tag strips from it.
  void data_before(std::size_t tag, char sign, bool block) {
    std::string_view text = view().substr(at_, tag - at_);
    if (sign == '-') {
      while (!text.empty()) {
        std::size_t start = text.size() - 1;
        while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xc0U) == 0x80) --start;
        if (!is_blank(text.substr(start))) break;
        text = text.substr(0, start);
      }
    } else if (sign != '+' && block) {
      const auto newline = text.rfind('\n');
      const std::size_t line = newline == kNone ? 0 : newline + 1;
      if ((line > 0 || at_line_start_) && is_blank(text.substr(line))) text = text.substr(0, line);
    }
    add_data(text);
    advance(tag);
  }

  // A tag's sign, - or +, or none.
  char sign_at(std::size_t pos) const {
    const char c = pos < source_.size() ? source_[pos] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  void text_then_tag(std::size_t tag) {
    const char type = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    data_before(tag, sign, type != '{');
    const std::size_t inside = tag + 2 + (sign != '\0' ? 1 : 0);
    if (type == '#') {
      comment(inside);
    } else if (type == '%' && !raw(inside)) {
      add(TokenKind::block_begin);
      advance(inside);
      code(TokenKind::block_end);
    } else if (type == '{') {
      add(TokenKind::variable_begin);
      advance(inside);
      code(TokenKind::variable_end);
    }
  }

  // Past a tag's closing sign, if it is here: -%} +%} %} and the same for comments. Variables have
  // no + and do not take the newline.
  bool close(std::string_view end, bool block) {
    const char sign = sign_at(at_);
    const std::size_t pos = at_ + (sign == '-' || (sign == '+' && block) ? 1 : 0);
    if (!view().substr(pos).starts_with(end)) return false;
    advance(pos + end.size());
    if (sign == '-') {
      skip_space();
    } else if (block && sign != '+' && peek() == '\n') {
      advance(at_ + 1);
    }
    return true;
  }

  void comment(std::size_t inside) {
    const int begun = line_;
    const auto end = source_.find("#}", inside);
    if (end == kNone) throw SyntaxFailure("Missing end of comment tag", begun);
    // The closing sign belongs to the end of the tag, but not to its beginning.
    advance(end > inside && sign_at(end - 1) != '\0' ? end - 1 : end);
    close("#}", true);
  }

  // The position after `word` and the white space around it; nothing when it is not at `pos`.
  std::optional<std::size_t> after_word(std::size_t pos, std::string_view word) const {
    pos = space_end(pos);
    if (!view().substr(pos).starts_with(word)) return std::nullopt;
    return space_end(pos + word.size());
  }

  // {% raw %} ... {% endraw %}; false when this tag is another one. Unlike other blocks, the
  // opening of a raw block keeps the newline after it.
  bool raw(std::size_t inside) {
    const auto opened = after_word(inside, "raw");
    if (!opened) return false;
    const bool strip = sign_at(*opened) == '-';
    if (!view().substr(*opened + (strip ? 1 : 0)).starts_with("%}")) return false;
    const int begun = line_;
    advance(*opened + (strip ? 3 : 2));
    if (strip) skip_space();
    for (std::size_t tag = at_; (tag = source_.find("{%", tag)) != kNone; ++tag) {
      const char sign = sign_at(tag + 2);
      const auto end = after_word(tag + 2 + (sign != '\0' ? 1 : 0), "endraw");
      if (!end || !view().substr(*end + (sign_at(*end) != '\0' ? 1 : 0)).starts_with("%}"))
        continue;
      data_before(tag, sign, true);
      advance(*end);
      return close("%}", true);
    }
    throw SyntaxFailure("Missing end of raw directive", begun);
  }

  void code(TokenKind end) {
    const bool block = end == TokenKind::block_end;
    std::string brackets;
    while (true) {
      if (brackets.empty()) {
        const int line = line_;
        if (close(block ? "%}" : "}}", block)) {
          tokens_.push_back({end, line, {}});
          return;
        }
      }
      if (at_ >= source_.size()) return;  // the parser reports the missing end
      std::size_t pos = at_;
      const char32_t c = next_code_point(source_, pos);
      if (is_space(c)) {
        skip_space();
      } else if (c >= U'0' && c <= U'9') {
        number();
      } else if (is_word(c) || (character_class(c) & kIdentifierPart) != 0) {
        name();
      } else if (c == U'\'' || c == U'"') {
        string();
      } else {
        symbol(brackets);
      }
    }
  }

  // The end of a run of digits with single underscores between them.
  std::size_t digits_end(std::size_t pos, int base) const {
    while (pos < source_.size()) {
      const std::size_t digit = source_[pos] == '_' ? pos + 1 : pos;
      if (digit >= source_.size() || !is_digit_of(source_[digit], base)) break;
      pos = digit + 1;
    }
    return pos;
  }

  std::string without_underscores(std::size_t from, std::size_t to) const {
    std::string text = source_.substr(from, to - from);
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    return text;
  }

  std::optional<std::size_t> float_end() const {
    if (at_ > 0 && source_[at_ - 1] == '.') return std::nullopt;
    const auto is_digit = [&](std::size_t i) {
      return i < source_.size() && is_digit_of(source_[i], 10);
    };
    std::size_t end = digits_end(at_, 10);
    bool real = false;
    if (end < source_.size() && source_[end] == '.' && is_digit(end + 1)) {
      end = digits_end(end + 1, 10);
      real = true;
    }
    if (end < source_.size() && (source_[end] | 0x20) == 'e') {
      const std::size_t exponent = end + 1 + (sign_at(end + 1) != '\0' ? 1 : 0);
      if (is_digit(exponent)) return digits_end(exponent, 10);
    }
    return real ? std::optional(end) : std::nullopt;
  }

  void number() {
    Token token{TokenKind::integer, line_, {}};
    if (const auto end = float_end()) {
      token.kind = TokenKind::real;
      token.text = without_underscores(at_, *end);
      token.real = std::strtod(token.text.c_str(), nullptr);
      advance(*end);
      tokens_.push_back(std::move(token));
      return;
    }
    const char mark = static_cast<char>(peek(1) | 0x20);
    const int base = peek() != '0' ? 10 : mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    std::size_t first = at_ + (base == 10 ? 0 : 2);
    std::size_t end = base != 10 ? digits_end(first, base) : at_;
    const bool prefixed = base != 10 && end > first;
    if (!prefixed) {
      first = at_;
      // After a leading zero only zeros belong to the number.
      end = peek() == '0' ? digits_end(at_, 1) : digits_end(at_, 10);
    }
    token.text = without_underscores(first, end);
    const char* last = token.text.data() + token.text.size();
    const auto read = std::from_chars(token.text.data(), last, token.integer, prefixed ? base : 10);
    if (read.ec != std::errc()) fail("integer " + token.text + " does not fit into 64 bits");
    advance(end);
    tokens_.push_back(std::move(token));
  }

  void name() {
    std::size_t end = at_;
    bool valid = true;
    while (end < source_.size()) {
      std::size_t pos = end;
      const char32_t c = next_code_point(source_, pos);
      const std::uint32_t classes = character_class(c);
      if (!is_word(c) && (classes & kIdentifierPart) == 0) break;
      valid = valid && (classes & (end == at_ ? kIdentifierStart : kIdentifierPart)) != 0;
      end = pos;
    }
    if (!valid) fail("Invalid character in identifier");
    add(TokenKind::name, source_.substr(at_, end - at_));
    advance(end);
  }

  void string() {
    const char quote = peek();
    std::size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail(fmt::format("unexpected char {}", string_repr({&quote, 1})));
    add(TokenKind::string, unescaped(view().substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
  }

  // Python's escapes in a string literal; unknown ones stay as they are.
  std::string unescaped(std::string_view text) const {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\' || i + 1 >= text.size()) {
        out += text[i];
        continue;
      }
      const char c = text[++i];
      static constexpr std::string_view kFrom = "abfnrtv\\'\"";
      static constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\'\"";
      if (const auto simple = kFrom.find(c); simple != kNone) {
        out += kTo[simple];
      } else if (c == '\n') {
        continue;
      } else if (c >= '0' && c <= '7') {
        const auto stop = text.substr(i, 3).find_first_not_of("01234567");
        const std::size_t size = std::min({stop, text.size() - i, std::size_t{3}});
        append_utf8(out, code_point(text.substr(i, size), 8));
        i += size - 1;
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const std::size_t size = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        const std::string_view digits = text.substr(i + 1, size);
        const bool all =
            digits.size() == size &&
            std::all_of(digits.begin(), digits.end(), [](char d) { return is_digit_of(d, 16); });
        if (!all) fail(fmt::format("truncated \\{} escape", c));
        append_utf8(out, code_point(digits, 16));
        i += size;
      } else if (c == 'N') {
        fail("\\N{...} escapes are not supported");
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  char32_t code_point(std::string_view digits, int base) const {
    std::uint32_t c = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), c, base);
    if (c > 0x10ffff) fail("illegal Unicode character");
    if (c >= 0xd800 && c <= 0xdfff) fail("surrogates are not characters");
    return c;
  }

  void symbol(std::string& brackets) {
    static constexpr std::string_view kSymbols[] = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto* found = std::find_if(std::begin(kSymbols), std::end(kSymbols),
                                     [&](std::string_view s) { return looking_at(s); });
    if (found == std::end(kSymbols)) {
      std::size_t pos = at_;
      next_code_point(source_, pos);
      fail(fmt::format("unexpected char {}", string_repr(view().substr(at_, pos - at_))));
    }
    const char c = found->front();
    if (c == '(' || c == '[' || c == '{') {
      brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty()) fail(fmt::format("unexpected '{}'", c));
      if (brackets.back() != c)
        fail(fmt::format("unexpected '{}', expected '{}'", c, brackets.back()));
      brackets.pop_back();
    }
    add(TokenKind::op, std::string(*found));
    advance(at_ + found->size());
  }

  std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::data:
      return "template data / text";
    case TokenKind::block_begin:
      return "begin of statement block";
    case TokenKind::block_end:
      return "end of statement block";
    case TokenKind::variable_begin:
      return "begin of print statement";
    case TokenKind::variable_end:
      return "end of print statement";
    case TokenKind::name:
    case TokenKind::op:
      return token.text;
    case TokenKind::string:
      return "string";
    case TokenKind::integer:
      return "integer";
    case TokenKind::real:
      return "float";
    case TokenKind::end:
      return "end of template";
  }
  return {};
}

}  // namespace zaya::jinja
