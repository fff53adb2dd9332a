#include "text/grammar/regex.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya::grammar {
namespace {

constexpr std::size_t kMostNodes = 20'000;
constexpr std::size_t kMostBytes = 16'384;
constexpr int kMostGroups = 100;  // inside each other
constexpr std::uint32_t kNoLimit = std::numeric_limits<std::uint32_t>::max();

struct Term;
using Sequence = std::vector<Term>;
struct Term {
  CharSet set;                    // a character, unless there are alternatives
  std::vector<Sequence> options;  // a group
  std::uint32_t least = 1;
  std::uint32_t most = 1;
};

CharSet digits() {
  return {'0', '9'};
}

CharSet words() {
  CharSet set = digits();
  set.add('a', 'z');
  set.add('A', 'Z');
  set.add('_', '_');
  return set;
}

// ECMA-262's WhiteSpace and LineTerminator.
CharSet spaces() {
  CharSet set('\t', '\r');
  for (const char32_t c : {U' ', U'\u00a0', U'\u1680', U'\u2028', U'\u2029', U'\u202f', U'\u205f',
                           U'\u3000', U'\ufeff'}) {
    set.add(c, c);
  }
  set.add(0x2000, 0x200a);
  return set;
}

CharSet dot() {
  CharSet lines('\n', '\n');
  lines.add('\r', '\r');
  lines.add(0x2028, 0x2029);
  return lines.complement();
}

class Parser {
 public:
  Parser(std::string_view pattern, const std::string& where) : text_(pattern), where_(where) {
    if (pattern.size() > kMostBytes) fail("too long");
    if (find_invalid_utf8(pattern) != std::string_view::npos) fail("no valid UTF-8");
  }

  struct Alternative {
    bool from_start = false;
    bool to_end = false;
    Sequence terms;
  };

  std::vector<Alternative> parse() {
    std::vector<Alternative> alternatives;
    do {
      Alternative a;
      while (take("^")) a.from_start = true;
      a.terms = sequence(/*top=*/true);
      while (take("$")) a.to_end = true;
      alternatives.push_back(std::move(a));
    } while (take("|"));
    if (!done()) fail(peek() == ')' ? "a ) without its (" : "^ or $ inside of an alternative");
    return alternatives;
  }

 private:
  bool done() const { return at_ == text_.size(); }
  char peek() const { return text_[at_]; }
  bool take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }

  [[noreturn]] void fail(std::string what) const {
    throw Error({.where = where_,
                 .what = std::move(what),
                 .expected = "a regular expression of the supported kind",
                 .found = fmt::format("\"{}\", byte {}", text_.substr(0, 200), at_)});
  }

  Sequence sequence(bool top) {
    Sequence terms;
    while (!done() && peek() != '|' && peek() != ')') {
      if (peek() == '^' || peek() == '$') {
        if (top) break;
        fail("^ or $ inside a group");
      }
      Term term = atom();
      quantify(term);
      terms.push_back(std::move(term));
    }
    return terms;
  }

  Term atom() {
    Term term;
    if (take("(")) {
      if (take("?:")) {
      } else if (take("?<") && !done() && peek() != '=' && peek() != '!') {
        while (!done() && peek() != '>') ++at_;
        if (!take(">")) fail("a group's name has no end");
      } else if (text_[at_ - 1] != '(' || (!done() && peek() == '?')) {
        fail("lookaround is not supported");
      }
      if (++depth_ > kMostGroups) fail("groups nested too deep");
      do {
        term.options.push_back(sequence(/*top=*/false));
      } while (take("|"));
      --depth_;
      if (!take(")")) fail("a ( without its )");
    } else if (take("[")) {
      term.set = char_class();
    } else if (take(".")) {
      term.set = dot();
    } else if (take("\\")) {
      term.set = escape(/*in_class=*/false);
    } else if (peek() == '*' || peek() == '+' || peek() == '?') {
      fail("nothing to repeat");
    } else if (peek() == '{' || peek() == '}' || peek() == ']') {
      // Browsers take these for themselves outside of Unicode mode, where they are mistakes.
      const char c = text_[at_++];
      term.set = CharSet(c, c);
    } else {
      const char32_t c = next_code_point(text_, at_);
      term.set = CharSet(c, c);
    }
    return term;
  }

  std::optional<std::uint32_t> number() {
    const std::size_t begin = at_;
    std::uint64_t value = 0;
    for (; !done() && peek() >= '0' && peek() <= '9'; ++at_) {
      value = std::min<std::uint64_t>(value * 10 + (peek() - '0'), 1'000'000'000);
    }
    if (at_ == begin) return {};
    return static_cast<std::uint32_t>(value);
  }

  void quantify(Term& term) {
    const std::size_t begin = at_;
    if (take("*")) {
      term.least = 0;
      term.most = kNoLimit;
    } else if (take("+")) {
      term.most = kNoLimit;
    } else if (take("?")) {
      term.least = 0;
    } else if (take("{")) {
      const auto least = number();
      const bool comma = take(",");
      const auto most = comma ? number() : least;
      if (!least || !take("}")) {
        at_ = begin;  // a brace that is no quantifier stands for itself
        return;
      }
      term.least = *least;
      term.most = most.value_or(kNoLimit);
      if (term.most < term.least) fail("a repetition of more to fewer times");
    } else {
      return;
    }
    take("?");  // lazy: the same texts
    if (!done() && (peek() == '*' || peek() == '+')) fail("nothing to repeat");
  }

  char32_t hex(std::size_t count) {
    char32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (done()) fail("a hexadecimal escape is cut off");
      const char c = text_[at_++];
      const char letter = static_cast<char>(c | 0x20);
      if (c >= '0' && c <= '9') {
        value = value * 16 + static_cast<char32_t>(c - '0');
      } else if (letter >= 'a' && letter <= 'f') {
        value = value * 16 + static_cast<char32_t>(letter - 'a' + 10);
      } else {
        fail("no hexadecimal digit");
      }
    }
    return value;
  }

  char32_t unicode_escape() {
    if (take("{")) {
      char32_t value = 0;
      while (!done() && peek() != '}') {
        value = value * 16 + hex(1);
        if (value > 0x10ffff) fail("no character");
      }
      if (!take("}")) fail("a { without its }");
      return value;
    }
    const char32_t first = hex(4);
    if (first >= 0xd800 && first < 0xdc00 && take("\\u")) {
      const char32_t second = hex(4);
      if (second < 0xdc00 || second > 0xdfff) fail("half a surrogate pair");
      return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    }
    return first;
  }

  CharSet escape(bool in_class) {
    if (done()) fail("a backslash at the end");
    const char32_t c = next_code_point(text_, at_);
    switch (c) {
      case 'd':
        return digits();
      case 'D':
        return digits().complement();
      case 'w':
        return words();
      case 'W':
        return words().complement();
      case 's':
        return spaces();
      case 'S':
        return spaces().complement();
      case 'n':
        return {'\n', '\n'};
      case 'r':
        return {'\r', '\r'};
      case 't':
        return {'\t', '\t'};
      case 'f':
        return {'\f', '\f'};
      case 'v':
        return {'\v', '\v'};
      case '0':
        if (!done() && peek() >= '0' && peek() <= '9') fail("octal escapes are not supported");
        return {0, 0};
      case 'x': {
        const char32_t value = hex(2);
        return {value, value};
      }
      case 'u': {
        const char32_t value = unicode_escape();
        return {value, value};
      }
      case 'b':
        if (in_class) return {'\b', '\b'};
        break;
      default:
        break;
    }
    if (words().contains(c)) fail(fmt::format("\\{} is not supported", static_cast<char>(c)));
    return {c, c};
  }

  CharSet char_class() {
    const bool opposite = take("^");
    CharSet set;
    // The character, or none if it was a whole set, which is then in `set`.
    const auto member = [&]() -> std::optional<char32_t> {
      if (done()) fail("a [ without its ]");
      if (!take("\\")) return next_code_point(text_, at_);
      const CharSet part = escape(/*in_class=*/true);
      if (part.ranges().size() == 1 && part.ranges()[0].first == part.ranges()[0].second) {
        return part.ranges()[0].first;
      }
      set.add(part);
      return {};
    };
    while (!take("]")) {
      const auto first = member();
      if (!first) continue;
      if (at_ + 1 < text_.size() && peek() == '-' && text_[at_ + 1] != ']') {
        ++at_;
        const auto last = member();
        if (last && *last < *first) fail("a range from more to less");
        if (last) {
          set.add(*first, *last);
        } else {
          set.add(*first, *first);
          set.add('-', '-');
        }
      } else {
        set.add(*first, *first);
      }
    }
    return opposite ? set.complement() : set;
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

class GraphMaker {
 public:
  GraphMaker(Graph& graph, const std::string& where) : graph_(graph), where_(where) {}

  std::uint32_t write(const Sequence& terms, std::uint32_t from) {
    for (const Term& term : terms) from = write(term, from);
    return from;
  }

  void link(std::uint32_t from, std::uint32_t to, CharSet on = {}) {
    graph_.nodes[from].edges.push_back({std::move(on), to});
  }

  std::uint32_t node() {
    if (graph_.nodes.size() >= kMostNodes) {
      throw Error({.where = where_, .what = "the pattern is too large with its repetitions"});
    }
    return graph_.add_node();
  }

 private:
  std::uint32_t write_once(const Term& term, std::uint32_t from) {
    const std::uint32_t to = node();
    if (term.options.empty()) {
      if (!term.set.empty()) link(from, to, term.set);  // nothing is in an empty class
      return to;
    }
    for (const Sequence& option : term.options) link(write(option, from), to);
    return to;
  }

  std::uint32_t write(const Term& term, std::uint32_t from) {
    for (std::uint32_t i = 0; i < term.least; ++i) from = write_once(term, from);
    if (term.most == kNoLimit) {
      const std::uint32_t loop = node();
      link(from, loop);
      link(write_once(term, loop), loop);
      const std::uint32_t to = node();
      link(loop, to);
      return to;
    }
    const std::uint32_t to = node();
    for (std::uint32_t i = term.least; i < term.most; ++i) {
      link(from, to);
      from = write_once(term, from);
    }
    link(from, to);
    return to;
  }

  Graph& graph_;
  const std::string& where_;
};

}  // namespace

Graph compile_regex(std::string_view pattern, const std::string& where) {
  const std::vector<Parser::Alternative> alternatives = Parser(pattern, where).parse();
  Graph graph;
  GraphMaker maker(graph, where);
  const CharSet all = CharSet::all();
  const std::uint32_t end = maker.node();
  graph.nodes[end].end = true;
  for (const Parser::Alternative& alternative : alternatives) {
    const std::uint32_t start = maker.node();
    maker.link(0, start);
    if (!alternative.from_start) maker.link(start, start, all);
    const std::uint32_t last = maker.write(alternative.terms, start);
    if (!alternative.to_end) maker.link(last, last, all);
    maker.link(last, end);
  }
  return graph;
}

}  // namespace zaya::grammar
