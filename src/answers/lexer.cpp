#include "answers/lexer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "answers/units.h"

namespace zaya::answers {
namespace {

constexpr std::size_t kMostTokens = 1000;

using Kind = Token::Kind;

// Commands that say nothing about the value.
const std::set<std::string, std::less<>> kIgnored = {
    "left",       "right",    "big",        "Big",          "bigg",      "Bigg",   "bigl",
    "bigr",       "Bigl",     "Bigr",       "displaystyle", "textstyle", "limits", "quad",
    "qquad",      "nolimits", "boldsymbol", "mathstrut",    "phantom",   "hspace", "vspace",
    "allowbreak", "nobreak",  "middle",     "rm",           "bf"};

// Commands that are another spelling: of a name, or (first character not a letter) of a symbol.
const std::map<std::string, std::string, std::less<>> kSpelling = {{"dfrac", "frac"},
                                                                   {"tfrac", "frac"},
                                                                   {"cfrac", "frac"},
                                                                   {"nicefrac", "frac"},
                                                                   {"cdot", "*"},
                                                                   {"times", "*"},
                                                                   {"ast", "*"},
                                                                   {"div", "/"},
                                                                   {"pm", "+-"},
                                                                   {"mp", "-+"},
                                                                   {"le", "<="},
                                                                   {"leq", "<="},
                                                                   {"leqslant", "<="},
                                                                   {"ge", ">="},
                                                                   {"geq", ">="},
                                                                   {"geqslant", ">="},
                                                                   {"lt", "<"},
                                                                   {"gt", ">"},
                                                                   {"ne", "!="},
                                                                   {"neq", "!="},
                                                                   {"approx", "="},
                                                                   {"equiv", "="},
                                                                   {"circ", "degree"},
                                                                   {"degree", "degree"},
                                                                   {"lvert", "|"},
                                                                   {"rvert", "|"},
                                                                   {"vert", "|"},
                                                                   {"mid", "|"},
                                                                   {"lbrace", "set{"},
                                                                   {"rbrace", "set}"},
                                                                   {"lbrack", "["},
                                                                   {"rbrack", "]"},
                                                                   {"infty", "infinity"},
                                                                   {"bar", "overline"},
                                                                   {"dbinom", "binom"},
                                                                   {"tbinom", "binom"},
                                                                   {"varepsilon", "epsilon"},
                                                                   {"varphi", "phi"},
                                                                   {"vartheta", "theta"},
                                                                   {"varnothing", "emptyset"},
                                                                   {"backslash", "setminus"},
                                                                   {"land", "and"},
                                                                   {"lor", "or"},
                                                                   {"lparen", "("},
                                                                   {"rparen", ")"},
                                                                   {"colon", ":"},
                                                                   {"dots", "..."},
                                                                   {"ldots", "..."},
                                                                   {"cdots", "..."},
                                                                   {"sp", "^"},
                                                                   {"sb", "_"},
                                                                   {"prime", "'"}};

const std::set<std::string, std::less<>> kNames = {
    "frac",    "sqrt",   "binom",    "overline", "sin",      "cos",    "tan",    "cot",   "sec",
    "csc",     "arcsin", "arccos",   "arctan",   "sinh",     "cosh",   "tanh",   "log",   "ln",
    "lg",      "exp",    "pi",       "infinity", "emptyset", "lfloor", "rfloor", "lceil", "rceil",
    "begin",   "end",    "cup",      "cap",      "in",       "alpha",  "beta",   "gamma", "delta",
    "epsilon", "zeta",   "eta",      "theta",    "iota",     "kappa",  "lambda", "mu",    "nu",
    "xi",      "rho",    "sigma",    "tau",      "upsilon",  "phi",    "chi",    "psi",   "omega",
    "Gamma",   "Delta",  "Theta",    "Lambda",   "Xi",       "Pi",     "Sigma",  "Phi",   "Psi",
    "Omega",   "ell",    "setminus", "floor",    "ceil",     "abs",    "max",    "min",   "gcd",
    "lcm",     "det"};

// Words of plain writing.
const std::map<std::string, std::string, std::less<>> kPlain = {
    {"inf", "infinity"},  {"infty", "infinity"}, {"oo", "infinity"}, {"asin", "arcsin"},
    {"acos", "arccos"},   {"atan", "arctan"},    {"deg", "degree"},  {"degrees", "degree"},
    {"degree", "degree"}, {"floor", "floor"},    {"ceil", "ceil"},   {"abs", "abs"},
    {"percent", "%"},     {"U", "cup"}};

const std::map<std::string, std::string, std::less<>> kUnicode = {
    {"−", "-"},      {"–", "-"},      {"×", "*"},        {"·", "*"},     {"⋅", "*"},
    {"÷", "/"},      {"±", "+-"},     {"∓", "-+"},       {"≤", "<="},    {"≥", ">="},
    {"≠", "!="},     {"°", "degree"}, {"∞", "infinity"}, {"π", "pi"},    {"∪", "cup"},
    {"∩", "cap"},    {"∈", "in"},     {"∅", "emptyset"}, {"√", "sqrt"},  {"²", "^2"},
    {"³", "^3"},     {"½", "1/2"},    {"θ", "theta"},    {"α", "alpha"}, {"β", "beta"},
    {"γ", "gamma"},  {"λ", "lambda"}, {"μ", "mu"},       {"φ", "phi"},   {"ω", "omega"},
    {"\u00a0", " "}, {"\u2009", " "}, {"\u202f", " "},   {"″", "'"},     {"′", "'"}};

bool is_letter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Lexer {
 public:
  Lexer(std::string_view text, bool thousands) : text_(text), thousands_(thousands) {}

  std::optional<std::vector<Token>> run() {
    while (at_ < text_.size()) {
      if (!step() || out_.size() > kMostTokens) return std::nullopt;
    }
    add(Kind::end, "");
    return std::move(out_);
  }

 private:
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  void add(Kind kind, std::string text) {
    out_.push_back({kind, std::move(text), std::exchange(space_, false)});
  }
  void symbol(const std::string& text) {
    if (text == "(" || text == "[" || text == "{" || text == "set{") ++depth_;
    if (text == ")" || text == "]" || text == "}" || text == "set}") --depth_;
    add(Kind::symbol, text);
  }

  bool step() {
    const char c = peek();
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '~') {
      space_ = true;
      ++at_;
      return true;
    }
    if (c == '$') return ++at_, true;
    if (c == '\\') return command();
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number();
    if (is_letter(c)) return letters();
    if (static_cast<unsigned char>(c) >= 0x80) return unicode();
    return ascii();
  }

  bool ascii() {
    for (const std::string_view two : {"<=", ">=", "!=", "==", "**", "=<", "=>"}) {
      if (!text_.substr(at_).starts_with(two)) continue;
      at_ += 2;
      symbol(two == "**"   ? "^"
             : two == "==" ? "="
             : two == "=<" ? "<="
             : two == "=>" ? ">="
                           : std::string(two));
      return true;
    }
    const char c = peek();
    if (c == '.') {  // a full stop at the end says nothing
      ++at_;
      return text_.find_first_not_of(" \t\n$.}", at_) == std::string_view::npos;
    }
    if (std::string_view("()[]{}+-*/^_,=<>!|%&':").find(c) == std::string_view::npos && c != ';') {
      return false;
    }
    ++at_;
    if (c == ';') {
      add(Kind::separator, ";");
    } else {
      symbol(std::string(1, c));
    }
    return true;
  }

  bool unicode() {
    for (const auto& [spelling, meaning] : kUnicode) {
      if (!text_.substr(at_).starts_with(spelling)) continue;
      at_ += spelling.size();
      if (meaning == " ") {
        space_ = true;
      } else if (meaning == "^2" || meaning == "^3") {
        symbol("^");
        add(Kind::number, meaning.substr(1));
      } else if (meaning == "1/2") {
        symbol("(");
        add(Kind::number, "1");
        symbol("/");
        add(Kind::number, "2");
        symbol(")");
      } else if (is_letter(meaning[0]) && meaning != "degree") {
        add(Kind::name, meaning);
      } else {
        symbol(meaning);
      }
      return true;
    }
    return false;
  }

  // Digits, and what separates thousands: {,} \, \! and, where asked for, a comma.
  bool number() {
    std::string digits;
    bool point = false;
    for (;;) {
      const char c = peek();
      if (is_digit(c)) {
        digits += c;
        ++at_;
        continue;
      }
      if (c == '.' && !point && is_digit(peek(1))) {
        point = true;
        digits += c;
        ++at_;
        continue;
      }
      if (c == '.' && !point && !digits.empty() && text_.substr(at_).starts_with(".\\overline")) {
        digits += c;
        ++at_;
        break;
      }
      std::size_t skip = 0;
      for (const std::string_view mark : {"{,}", "\\,", "\\!", ",\\!", "{,\\!}", "\\!,\\!"}) {
        if (text_.substr(at_).starts_with(mark)) skip = std::max(skip, mark.size());
      }
      if (skip == 0 && c == ',' && thousands_ && depth_ == 0) skip = 1;
      if (skip == 0 || point || !three_digits(at_ + skip) || digits.size() > 3 * (groups_ + 1))
        break;
      ++groups_;
      at_ += skip;
    }
    groups_ = 0;
    // 1.5e3
    if ((peek() == 'e' || peek() == 'E') &&
        (is_digit(peek(1)) || ((peek(1) == '-' || peek(1) == '+') && is_digit(peek(2))))) {
      digits += 'e';
      ++at_;
      if (!is_digit(peek())) digits += peek(), ++at_;
      while (is_digit(peek())) digits += peek(), ++at_;
    }
    add(Kind::number, digits);
    return true;
  }
  bool three_digits(std::size_t i) const {
    std::size_t n = 0;
    while (i + n < text_.size() && n < 4 && is_digit(text_[i + n])) ++n;
    return n == 3;
  }

  bool letters() {
    const std::size_t begin = at_;
    while (is_letter(peek())) ++at_;
    const std::string run(text_.substr(begin, at_ - begin));
    if (run == "and" || run == "or") return add(Kind::separator, run), true;
    if (run.size() == 1 && run != "U") {
      // 5 m, but not 5m.
      const std::size_t next = text_.find_first_not_of(" \t$", at_);
      const bool ends = next == std::string_view::npos || text_[next] == '/' || text_[next] == '^';
      const bool unit = std::string_view("msghL").find(run[0]) != std::string_view::npos &&
                        space_ && ends && !out_.empty() && out_.back().kind == Kind::number;
      return add(unit ? Kind::word : Kind::name, run), true;
    }
    if (const auto plain = kPlain.find(run); plain != kPlain.end()) {
      if (plain->second == "cup" && (!space_ || peek() != ' ')) return add(Kind::name, run), true;
      named(plain->second);
      return true;
    }
    if (kNames.contains(run) && run != "in" && run != "begin" && run != "end") {
      add(Kind::name, run);
      return true;
    }
    const bool after_value =
        !out_.empty() &&
        (out_.back().kind == Kind::number || out_.back().text == ")" || out_.back().text == "}" ||
         out_.back().kind == Kind::word || out_.back().text == "/" || out_.back().text == "pi");
    if (after_value && (is_unit_word(run) || (space_ && run.size() > 2))) {
      return add(Kind::word, run), true;
    }
    // A product of single letters; longer runs are words.
    if (run.size() > 2 && !(run.size() == 3 && (begin > 0 || at_ < text_.size()))) return false;
    for (const char c : run) add(Kind::name, std::string(1, c));
    return true;
  }

  void named(const std::string& name) {
    if (name == "and" || name == "or") {
      add(Kind::separator, name);
    } else if (is_letter(name[0]) && name != "degree" && name != "set{" && name != "set}") {
      add(Kind::name, name);
    } else {
      symbol(name);
    }
  }

  bool command() {
    ++at_;
    const char c = peek();
    if (!is_letter(c)) {
      ++at_;
      switch (c) {
        case ',':
        case ';':
        case ':':
        case '!':
        case ' ':
        case '\n':
        case '(':
        case ')':
        case '[':
        case ']':
        case '/':
          space_ = true;
          return true;
        case '{':
          return symbol("set{"), true;
        case '}':
          return symbol("set}"), true;
        case '%':
          return symbol("%"), true;
        case '$':
          return symbol("dollar"), true;
        case '|':
          return symbol("|"), true;
        case '\\':
          return symbol("row"), true;
        default:
          return false;
      }
    }
    const std::size_t begin = at_;
    while (is_letter(peek())) ++at_;
    std::string name(text_.substr(begin, at_ - begin));
    if (kIgnored.contains(name)) {
      // \left. and \right. have no bracket.
      if ((name == "left" || name == "right") && peek() == '.') ++at_;
      return true;
    }
    if (const auto spelling = kSpelling.find(name); spelling != kSpelling.end()) {
      named(spelling->second);
      return true;
    }
    if (name == "text" || name == "mathrm" || name == "textbf" || name == "mbox" ||
        name == "mathit" || name == "textrm" || name == "textit" || name == "operatorname" ||
        name == "mathbf" || name == "mathbb" || name == "mathcal" || name == "mathsf" ||
        name == "boxed" || name == "fbox") {
      return wrapped(name);
    }
    if (!kNames.contains(name)) return false;
    add(Kind::name, name);
    return name != "begin" && name != "end" ? true : environment();
  }

  // The name of what \\begin and \\end stand around: matrices of any brackets.
  bool environment() {
    const std::size_t close = text_.find('}', at_);
    if (peek() != '{' || close == std::string_view::npos) return false;
    const std::string_view name = text_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    return name.ends_with("matrix");
  }

  // The content of \text{...} and its kin.
  bool wrapped(const std::string& command) {
    while (peek() == ' ') ++at_;
    std::string inside;
    if (peek() != '{') {
      inside = std::string(1, peek());
      if (at_ < text_.size()) ++at_;
    } else {
      const std::size_t close = text_.find('}', at_);
      if (close == std::string_view::npos) return false;
      if (command == "boxed" || command == "fbox") return true;  // a group, read as one
      inside = std::string(text_.substr(at_ + 1, close - at_ - 1));
      if (inside.find('{') != std::string::npos) return false;
      at_ = close + 1;
    }
    const auto first = inside.find_first_not_of(" \t~");
    if (first == std::string::npos) return space_ = true, true;
    inside = inside.substr(first, inside.find_last_not_of(" \t~.") - first + 1);
    if (inside == "and" || inside == "or") return add(Kind::separator, inside), true;
    if (inside.size() == 3 && inside[0] == '(' && inside[2] == ')') inside = inside.substr(1, 1);
    if (command == "mathbb" || command == "mathcal") return add(Kind::name, "set " + inside), true;
    const bool value_before = !out_.empty() && out_.back().kind != Kind::separator &&
                              out_.back().text != "," && out_.back().text != "(";
    if (inside.size() == 1 && is_letter(inside[0]) &&
        (!value_before || (command != "text" && command != "mathrm"))) {
      return add(Kind::name, inside), true;
    }
    if (command != "text" && kNames.contains(inside)) return add(Kind::name, inside), true;
    add(Kind::word, inside);
    return true;
  }

  std::string_view text_;
  bool thousands_;
  std::size_t at_ = 0;
  std::size_t groups_ = 0;
  int depth_ = 0;
  bool space_ = false;
  std::vector<Token> out_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view text, bool thousands) {
  return Lexer(text, thousands).run().value_or(std::vector<Token>());
}

}  // namespace zaya::answers
