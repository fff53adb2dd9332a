#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "answers/answers.h"
#include "zaya/error.h"

namespace zaya::answers {
namespace {

constexpr std::array kKinds = {
    std::pair{Kind::mathematics, "mathematics"},
    std::pair{Kind::choice, "choice"},
    std::pair{Kind::code, "code"},
    std::pair{Kind::text, "text"},
};

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// What is between the brace at `open` and the one that closes it; none when none does.
std::optional<std::string_view> braced(std::string_view text, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return text.substr(open + 1, i - open - 1);
    }
  }
  return std::nullopt;
}

// The last \boxed{...} or \fbox{...} that is closed. Only a few of the last are tried, so that a
// text of nothing but open ones stays linear.
std::optional<std::string> last_boxed(std::string_view text) {
  constexpr int kTries = 16;
  std::size_t end = text.size();
  for (int i = 0; i < kTries && end > 0; ++i) {
    std::size_t at = std::string_view::npos;
    std::size_t after = 0;
    for (const std::string_view command : {"\\boxed", "\\fbox"}) {
      const std::size_t found = text.rfind(command, end - 1);
      if (found != std::string_view::npos && (at == std::string_view::npos || found > at)) {
        at = found;
        after = found + command.size();
      }
    }
    if (at == std::string_view::npos) return std::nullopt;
    end = at;
    const std::size_t next = text.find_first_not_of(" \t\n", after);
    if (next == std::string_view::npos) continue;
    if (text[next] == '{') {
      if (const auto inside = braced(text, next); inside && !trim(*inside).empty()) {
        return std::string(trim(*inside));
      }
    } else if (next > after) {  // \boxed 5
      const std::size_t stop = std::min(text.find_first_of(" \t\n$", next), text.size());
      if (stop > next) return std::string(text.substr(next, stop - next));
    }
  }
  return std::nullopt;
}

std::optional<std::string> last_tagged(std::string_view text) {
  const std::size_t close = text.rfind("</answer>");
  if (close == std::string_view::npos) return std::nullopt;
  const std::size_t open = text.rfind("<answer>", close);
  if (open == std::string_view::npos) return std::nullopt;
  const auto inside = trim(text.substr(open + 8, close - open - 8));
  return inside.empty() ? std::nullopt : std::optional(std::string(inside));
}

// What stands after the words that announce an answer, to the end of the line or sentence.
std::optional<std::string> last_announced(std::string_view text) {
  const std::string low = lower(text);
  std::size_t best = std::string::npos;
  std::size_t from = 0;
  for (const std::string_view words :
       {"answer is", "answer:", "answer**:", "answer:**", "answers are", "####"}) {
    const std::size_t at = low.rfind(words);
    if (at != std::string::npos && (best == std::string::npos || at > best)) {
      best = at;
      from = at + words.size();
    }
  }
  if (best == std::string::npos) return std::nullopt;
  from = std::min(text.find_first_not_of(" \t:*\n", from), text.size());
  std::string_view rest = text.substr(from);
  rest = rest.substr(0, rest.find('\n'));
  // A full stop ends it when a space follows, so that 3.5 is whole.
  if (const auto stop = rest.find(". "); stop != std::string_view::npos)
    rest = rest.substr(0, stop);
  rest = trim(rest);
  while (!rest.empty() && (rest.back() == '.' || rest.back() == '*')) rest.remove_suffix(1);
  rest = trim(rest);
  if (rest.size() >= 2 && rest.front() == '*' && rest[1] == '*') rest.remove_prefix(2);
  return rest.empty() ? std::nullopt : std::optional(std::string(rest));
}

// The letter of an option: alone, or before or between marks: B, (B), "B)", "B. red", \text{B}.
std::optional<std::string> option_letter(std::string_view text) {
  for (const std::string_view command : {"\\text", "\\textbf", "\\mathrm", "\\mathbf"}) {
    if (text.starts_with(command) && text.size() > command.size() && text[command.size()] == '{') {
      if (const auto inside = braced(text, command.size())) return option_letter(trim(*inside));
    }
  }
  while (!text.empty() &&
         std::string_view("($*[ \"'").find(text.front()) != std::string_view::npos) {
    text.remove_prefix(1);
  }
  const std::string low = lower(text.substr(0, 7));
  for (const std::string_view word : {"option ", "choice "}) {
    if (low == word) return option_letter(trim(text.substr(word.size())));
  }
  if (text.empty() || std::isalpha(static_cast<unsigned char>(text[0])) == 0) return std::nullopt;
  // A word is no letter.
  if (text.size() > 1 && (std::isalnum(static_cast<unsigned char>(text[1])) != 0 ||
                          static_cast<unsigned char>(text[1]) >= 0x80 || text[1] == '\'')) {
    return std::nullopt;
  }
  // "A cat": an article; a mark must follow when more words do.
  if (text.size() > 1 && text[1] == ' ' &&
      text.find_first_not_of(" .)]*$\"'", 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return std::string(1, static_cast<char>(std::toupper(static_cast<unsigned char>(text[0]))));
}

std::optional<std::string> last_code(std::string_view text) {
  // Fences in order: the odd ones open. The last block that is closed, or else what a text that
  // was cut off has begun.
  std::optional<std::string> block;
  std::size_t at = 0;
  while (true) {
    const std::size_t open = text.find("```", at);
    if (open == std::string_view::npos) return block;
    const std::size_t line = text.find('\n', open);
    if (line == std::string_view::npos) return block;
    const std::size_t close = text.find("\n```", line - 1 < open ? open : line - 1);
    if (close == std::string_view::npos) return block;
    block = std::string(close > line ? text.substr(line + 1, close - line) : "");
    at = close + 4;
  }
}

}  // namespace

const char* kind_name(Kind kind) {
  for (const auto& [value, name] : kKinds) {
    if (value == kind) return name;
  }
  return "";
}

Kind parse_kind(std::string_view name) {
  for (const auto& [value, text] : kKinds) {
    if (name == text) return value;
  }
  throw Error({.where = "kind of answer",
               .what = "there is none of this name",
               .expected = "mathematics, choice, code or text",
               .found = std::string(name.substr(0, 100))});
}

std::optional<std::string> extract(std::string_view text, Kind kind) {
  if (kind == Kind::code) return last_code(text);
  std::optional<std::string> found = last_boxed(text);
  if (!found) found = last_tagged(text);
  if (!found) found = last_announced(text);
  if (kind != Kind::choice) return found;
  if (found) {
    if (auto letter = option_letter(trim(*found))) return letter;
    // The option's words, maybe.
    return found;
  }
  // A line that is nothing but a letter ends many short answers.
  const std::string_view all = trim(text);
  const std::size_t line = all.rfind('\n');
  return option_letter(trim(line == std::string_view::npos ? all : all.substr(line + 1)));
}

}  // namespace zaya::answers
