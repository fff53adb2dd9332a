#include <algorithm>
#include <set>
#include <utility>

#include "answers/expression.h"
#include "answers/lexer.h"

namespace zaya::answers {
namespace {

using Kind = Node::Kind;

constexpr int kMostDepth = 60;
constexpr std::size_t kMostBytes = 4000;

struct NotMathematics {};

const std::set<std::string, std::less<>> kFunctions = {
    "sin",    "cos",  "tan",  "cot",  "sec", "csc", "arcsin", "arccos",
    "arctan", "sinh", "cosh", "tanh", "ln",  "lg",  "log",    "exp",
    "floor",  "ceil", "abs",  "max",  "min", "gcd", "lcm"};

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Node all() {
    Node node = list();
    if (!at_end()) throw NotMathematics();
    return node;
  }

 private:
  // Bounds how deep calls nest, whatever the text is.
  class Deeper {
   public:
    explicit Deeper(int& depth) : depth_(depth) {
      if (++depth_ > kMostDepth) throw NotMathematics();
    }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    ~Deeper() { --depth_; }

   private:
    int& depth_;
  };

  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  bool at_end() const { return peek().kind == Token::Kind::end; }
  bool is(const char* symbol) const {
    return peek().kind == Token::Kind::symbol && peek().text == symbol;
  }
  bool is_name(const char* name) const {
    return peek().kind == Token::Kind::name && peek().text == name;
  }
  bool take(const char* symbol) {
    if (!is(symbol)) return false;
    ++at_;
    return true;
  }
  void expect(const char* symbol) {
    if (!take(symbol)) throw NotMathematics();
  }
  static bool is_comma(const Token& t) {
    return (t.kind == Token::Kind::symbol && t.text == ",") || t.kind == Token::Kind::separator;
  }

  // Items between commas; one alone is itself.
  Node list() {
    const Deeper deeper(depth_);
    Node out{.kind = Kind::list, .of = {unions()}};
    while (is_comma(peek())) {
      ++at_;
      if (is_comma(peek())) ++at_;  // ", and"
      if (at_end()) break;
      out.of.push_back(unions());
    }
    return out.of.size() == 1 ? std::move(out.of.front()) : out;
  }

  Node unions() {
    Node out{.kind = Kind::unite, .of = {relation()}};
    while (is_name("cup")) {
      ++at_;
      out.of.push_back(relation());
    }
    return out.of.size() == 1 ? std::move(out.of.front()) : out;
  }

  bool at_relation() const {
    static const std::set<std::string, std::less<>> signs = {"=", "<", "<=", ">", ">=", "!="};
    return (peek().kind == Token::Kind::symbol && signs.contains(peek().text)) || is_name("in");
  }

  // a < b <= c: `text` has the signs, separated by spaces.
  Node relation() {
    Node out{.kind = Kind::relation, .of = {quantity()}};
    while (at_relation()) {
      out.text += (out.text.empty() ? "" : " ") + peek().text;
      ++at_;
      // "x =" announces: what follows may be a list of its own.
      out.of.push_back(quantity());
    }
    return out.of.size() == 1 ? std::move(out.of.front()) : out;
  }

  Node quantity() {
    const bool money = take("dollar");
    Node value = sum();
    if (money) return {.kind = Kind::quantity, .text = "dollar", .of = {std::move(value)}};
    if (peek().kind != Token::Kind::word) return value;
    std::string unit;
    // Words and what stands between them: m / s ^ 2, m ^ { -1 }.
    const auto in_exponent = [&] {
      return unit.ends_with("^ ") || unit.ends_with("{ ") || unit.ends_with("- ");
    };
    while (peek().kind == Token::Kind::word || is("/") || is("^") || is("{") || is("}") ||
           is("*") || (is("-") && in_exponent()) ||
           (peek().kind == Token::Kind::number && in_exponent())) {
      if (is("}") && open_braces_ > 0 && unit.find('{') == std::string::npos) break;
      unit += peek().text + " ";
      ++at_;
    }
    return {.kind = Kind::quantity, .text = unit, .of = {std::move(value)}};
  }

  Node sum() {
    const Deeper deeper(depth_);
    Node left = product();
    for (;;) {
      Kind kind{};
      if (take("+")) {
        kind = Kind::add;
      } else if (take("-")) {
        kind = Kind::subtract;
      } else if (take("+-")) {
        kind = Kind::plus_minus;
      } else if (take("-+")) {
        kind = Kind::minus_plus;
      } else {
        return left;
      }
      left = binary(kind, std::move(left), product());
    }
  }

  // Whether what comes next, without a sign between, is multiplied.
  bool at_factor() const {
    const Token& t = peek();
    if (t.kind == Token::Kind::name) {
      return t.text != "cup" && t.text != "in" && t.text != "end" && t.text != "rfloor" &&
             t.text != "rceil" && t.text != "setminus" && t.text != "cap";
    }
    if (t.kind == Token::Kind::number) {
      // "3 4" is no product; "\frac12 3" is none that anyone writes.
      return at_ > 0 && tokens_[at_ - 1].kind != Token::Kind::number;
    }
    return is("(") || is("{") || (is("[") && !tokens_[at_ - (at_ > 0 ? 1 : 0)].text.empty()) ||
           (is("|") && bars_ == 0);
  }

  Node product() {
    Node left = unary();
    for (;;) {
      if (take("*")) {
        left = binary(Kind::multiply, std::move(left), unary());
      } else if (take("/") || take(":")) {
        left = binary(Kind::divide, std::move(left), unary());
      } else if (mixed_number(left)) {
        Node fraction = power();
        left = binary(Kind::add, std::move(left), std::move(fraction));
      } else if (plain_mixed_number(left)) {
        // 1 1/2
        Node above = number_node(tokens_[at_].text);
        at_ += 2;
        Node below = number_node(tokens_[at_++].text);
        left = binary(Kind::add, std::move(left),
                      binary(Kind::divide, std::move(above), std::move(below)));
      } else if (at_factor()) {
        left = binary(Kind::multiply, std::move(left), power());
      } else {
        return left;
      }
    }
  }

  static bool whole(const std::string& text) {
    return text.find_first_not_of("0123456789") == std::string::npos;
  }
  // A whole number right before \frac{a}{b} with whole a < b.
  bool mixed_number(const Node& left) const {
    if (left.kind != Kind::number || !whole(left.text) || !is_name("frac")) return false;
    if (at_ == 0 || tokens_[at_ - 1].kind != Token::Kind::number) return false;
    const Token& a = peek(2);
    const Token& b = peek(5);
    return peek(1).text == "{" && a.kind == Token::Kind::number && peek(3).text == "}" &&
           peek(4).text == "{" && b.kind == Token::Kind::number && peek(6).text == "}" &&
           whole(a.text) && whole(b.text) && smaller(a.text, b.text);
  }
  bool plain_mixed_number(const Node& left) const {
    return left.kind == Kind::number && whole(left.text) && peek().kind == Token::Kind::number &&
           peek().space_before && tokens_[at_ - 1].kind == Token::Kind::number &&
           peek(1).text == "/" && peek(2).kind == Token::Kind::number && whole(peek().text) &&
           whole(peek(2).text) && smaller(peek().text, peek(2).text);
  }
  static bool smaller(const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  }

  Node unary() {
    const Deeper deeper(depth_);
    if (take("-")) return {.kind = Kind::negate, .of = {unary()}};
    if (take("+")) return unary();
    if (take("+-")) return {.kind = Kind::plus_minus, .of = {unary()}};
    if (take("-+")) return {.kind = Kind::minus_plus, .of = {unary()}};
    return power();
  }

  Node power() {
    const Deeper deeper(depth_);
    Node base = postfix(atom());
    if (!is("^")) return base;
    ++at_;
    if (degree_mark()) return {.kind = Kind::quantity, .text = "degree", .of = {std::move(base)}};
    Node exponent = is("-") || is("+") ? unary() : power();
    return postfix(binary(Kind::power, std::move(base), std::move(exponent)));
  }

  // ^\circ, ^{\circ}
  bool degree_mark() {
    if (take("degree")) return true;
    if (is("{") && peek(1).text == "degree" && peek(2).text == "}") {
      at_ += 3;
      return true;
    }
    return false;
  }

  Node postfix(Node node) {
    for (;;) {
      if (take("!")) {
        node = {.kind = Kind::call, .text = "factorial", .of = {std::move(node)}};
      } else if (take("%")) {
        node = {.kind = Kind::quantity, .text = "%", .of = {std::move(node)}};
      } else if (take("degree")) {
        node = {.kind = Kind::quantity, .text = "degree", .of = {std::move(node)}};
      } else {
        return node;
      }
    }
  }

  // What a command takes without braces: one digit, as LaTeX reads \frac12.
  Node argument() {
    if (peek().kind == Token::Kind::number && peek().text.size() > 1 && whole(peek().text)) {
      Node digit = number_node(peek().text.substr(0, 1));
      tokens_[at_].text.erase(0, 1);
      return digit;
    }
    if (peek().kind == Token::Kind::symbol && !is("{") && !is("(")) throw NotMathematics();
    return atom();
  }

  Node group(const char* close) {
    Node node = list();
    expect(close);
    return node;
  }

  Node braces() {
    ++open_braces_;
    const int bars = std::exchange(bars_, 0);
    Node node = group("}");
    bars_ = bars;
    --open_braces_;
    return node;
  }

  Node brackets() {
    const std::string open = peek().text;
    ++at_;
    const int bars = std::exchange(bars_, 0);
    std::vector<Node> items;
    if (!is(")") && !is("]")) {
      Node inside = list();
      if (inside.kind == Kind::list) {
        items = std::move(inside.of);
      } else {
        items.push_back(std::move(inside));
      }
    }
    bars_ = bars;
    if (!is(")") && !is("]")) throw NotMathematics();
    const std::string close = peek().text;
    ++at_;
    if (items.size() == 1 && ((open == "(") == (close == ")"))) return std::move(items.front());
    return {.kind = Kind::tuple, .text = open + close, .of = std::move(items)};
  }

  Node set() {
    ++at_;
    std::vector<Node> items;
    if (!is("set}")) {
      Node inside = list();
      if (is("|") || is(":")) throw NotMathematics();  // { x | ... }: compared as text
      if (inside.kind == Kind::list) {
        items = std::move(inside.of);
      } else {
        items.push_back(std::move(inside));
      }
    }
    expect("set}");
    return {.kind = Kind::set, .of = std::move(items)};
  }

  Node atom() {
    const Deeper deeper(depth_);
    const Token token = peek();
    if (token.kind == Token::Kind::number) return number();
    if (token.kind == Token::Kind::name) return named();
    if (is("(") || is("[")) return brackets();
    if (is("{")) return ++at_, braces();
    if (is("set{")) return set();
    if (is("|") && bars_ == 0) {
      ++at_;
      ++bars_;
      Node inside = sum();
      --bars_;
      expect("|");
      return {.kind = Kind::call, .text = "abs", .of = {std::move(inside)}};
    }
    throw NotMathematics();
  }

  Node number() {
    std::string digits = peek().text;
    ++at_;
    // 0.1\overline{6} = 0.1 + 6 / (9 x 10)
    if (is_name("overline") && digits.find('.') != std::string::npos && peek(1).text == "{" &&
        peek(2).kind == Token::Kind::number && whole(peek(2).text) && peek(3).text == "}") {
      const std::string period = peek(2).text;
      at_ += 4;
      const std::string decimals(digits.size() - digits.find('.') - 1, '0');
      if (digits.back() == '.') digits += '0';
      return binary(Kind::add, number_node(digits),
                    binary(Kind::divide, number_node(period),
                           number_node(std::string(period.size(), '9') + decimals)));
    }
    if (is("_")) {  // a numeral in another base
      ++at_;
      const bool brace = take("{");
      if (peek().kind != Token::Kind::number) throw NotMathematics();
      const std::string base = peek().text;
      ++at_;
      if (brace) expect("}");
      return in_base(digits, base);
    }
    return number_node(digits);
  }

  static Node in_base(const std::string& digits, const std::string& base) {
    const int b = base.size() <= 2 && whole(base) ? std::stoi(base) : 0;
    if (b < 2 || b > 36 || !whole(digits) || digits.size() > 200) throw NotMathematics();
    Node value = number_node("0");
    for (std::size_t i = digits.size(); i-- > 0;) {
      if (digits[i] - '0' >= b) throw NotMathematics();
      const std::size_t exponent = digits.size() - 1 - i;
      Node place = binary(Kind::power, number_node(base), number_node(std::to_string(exponent)));
      value =
          binary(Kind::add,
                 binary(Kind::multiply, number_node(std::string(1, digits[i])), std::move(place)),
                 std::move(value));
    }
    return value;
  }

  Node named() {
    const std::string name = peek().text;
    ++at_;
    if (name == "pi" || name == "infinity" || name == "e" || name == "i") {
      return {.kind = Kind::constant, .text = name};
    }
    if (name == "emptyset") return {.kind = Kind::set};
    if (name == "frac") {
      Node above = argument();
      return binary(Kind::divide, std::move(above), argument());
    }
    if (name == "binom") {
      Node n = argument();
      return {.kind = Kind::call, .text = "binom", .of = {std::move(n), argument()}};
    }
    if (name == "sqrt") {
      if (!is("[")) return {.kind = Kind::call, .text = "sqrt", .of = {argument()}};
      ++at_;
      Node index = sum();
      expect("]");
      return {.kind = Kind::call, .text = "root", .of = {std::move(index), argument()}};
    }
    if (name == "lfloor" || name == "lceil") {
      Node inside = sum();
      if (!is_name(name == "lfloor" ? "rfloor" : "rceil")) throw NotMathematics();
      ++at_;
      return {.kind = Kind::call, .text = name == "lfloor" ? "floor" : "ceil", .of = {inside}};
    }
    if (name == "begin") return matrix();
    if (kFunctions.contains(name)) return function(name);
    if (name == "overline" || name == "rfloor" || name == "rceil" || name == "end" ||
        name == "cup" || name == "cap" || name == "in" || name == "setminus" || name == "det") {
      throw NotMathematics();
    }
    return {.kind = Kind::variable, .text = name + index()};
  }

  // _1, _{10}, _n, and primes.
  std::string index() {
    std::string text;
    if (take("_")) {
      const bool brace = take("{");
      do {
        if (peek().kind != Token::Kind::number && peek().kind != Token::Kind::name &&
            peek().kind != Token::Kind::word) {
          throw NotMathematics();
        }
        text += "_" + peek().text;
        ++at_;
      } while (brace && !is("}"));
      if (brace) expect("}");
    }
    while (take("'")) text += "'";
    return text;
  }

  Node function(const std::string& name) {
    Node call{.kind = Kind::call, .text = name};
    if (name == "log" && take("_")) {
      call.of.push_back(is("{") ? (++at_, braces()) : atom());
    }
    std::optional<Node> exponent;
    if (is("^")) {
      ++at_;
      exponent = is("-") ? unary() : atom();
    }
    if (is("(") || is("{")) {
      Node inside = atom();
      if (inside.kind == Kind::tuple && inside.text == "()") {
        if (!call.of.empty() || inside.of.size() > 8) throw NotMathematics();
        call.of = std::move(inside.of);
      } else if (inside.kind == Kind::list) {
        throw NotMathematics();
      } else {
        call.of.push_back(std::move(inside));
      }
    } else {
      // sin 2x, sin x^2: a product without signs, up to the next function.
      Node inside = power();
      while (peek().kind == Token::Kind::name && at_factor() && !kFunctions.contains(peek().text)) {
        inside = binary(Kind::multiply, std::move(inside), power());
      }
      call.of.push_back(std::move(inside));
    }
    if (!exponent) return call;
    // sin^{-1} is the inverse, not 1 / sin.
    const bool inverse = exponent->kind == Kind::negate && exponent->of[0] == number_node("1");
    if (inverse && (name == "sin" || name == "cos" || name == "tan")) {
      call.text = "arc" + name;
      return call;
    }
    return binary(Kind::power, std::move(call), std::move(*exponent));
  }

  Node matrix() {
    Node out{.kind = Kind::matrix};
    out.of.push_back({.kind = Kind::list});
    while (!is_name("end")) {
      if (take("row")) {
        if (!is_name("end")) out.of.push_back({.kind = Kind::list});
      } else if (take("&")) {
        // the next cell
      } else {
        out.of.back().of.push_back(quantity());
      }
      if (at_end()) throw NotMathematics();
    }
    ++at_;
    return out;
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
  int bars_ = 0;
  int open_braces_ = 0;
};

}  // namespace

Node number_node(std::string digits) {
  return {.kind = Kind::number, .text = std::move(digits)};
}

Node binary(Kind kind, Node a, Node b) {
  Node node{.kind = kind};
  node.of.reserve(2);
  node.of.push_back(std::move(a));
  node.of.push_back(std::move(b));
  return node;
}

std::optional<Node> parse(std::string_view text, bool thousands) {
  if (text.size() > kMostBytes) return std::nullopt;
  std::vector<Token> tokens = tokens_of(text, thousands);
  if (tokens.size() < 2) return std::nullopt;
  try {
    return Parser(std::move(tokens)).all();
  } catch (const NotMathematics&) {
    return std::nullopt;
  }
}

}  // namespace zaya::answers
