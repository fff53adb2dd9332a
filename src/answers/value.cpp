#include "answers/value.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <utility>

#include <acb.h>
#include <arb.h>

#include "base/random.h"

namespace zaya::answers {
namespace {

using Kind = Node::Kind;

// Bits: most pairs are decided by the first, the last is where two values that agree are the same.
constexpr std::array<slong, 4> kPrecisions = {64, 256, 1024, 4096};
// Two values whose difference may be zero and is below 2^-200 are the same.
constexpr slong kEqualBits = 200;
constexpr int kMostFactorials = 16;
constexpr int kMostCalls = 200;

// A complex number as a ball that certainly holds it.
class Ball {
 public:
  Ball() { acb_init(value_); }
  Ball(const Ball& other) : Ball() { acb_set(value_, other.value_); }
  Ball(Ball&& other) noexcept : Ball() { acb_swap(value_, other.value_); }
  Ball& operator=(Ball other) noexcept {
    acb_swap(value_, other.value_);
    return *this;
  }
  ~Ball() { acb_clear(value_); }

  acb_ptr get() { return value_; }
  acb_srcptr get() const { return value_; }
  arb_ptr real() { return acb_realref(value_); }
  arb_srcptr real() const { return acb_realref(value_); }
  bool finite() const { return acb_is_finite(value_) != 0; }
  bool is_real() const { return arb_is_zero(acb_imagref(value_)) != 0; }

 private:
  acb_t value_;
};

using Point = std::map<std::string, Ball>;

// What cannot be computed.
struct Undefined {};

class Evaluation {
 public:
  Evaluation(const Point& point, slong bits) : point_(point), bits_(bits) {}

  Ball value(const Node& node) {
    switch (node.kind) {
      case Kind::number:
        return number(node.text);
      case Kind::constant:
        return constant(node.text);
      case Kind::variable: {
        const auto at = point_.find(node.text);
        if (at == point_.end()) throw Undefined();
        return at->second;
      }
      case Kind::add:
        return two(node, acb_add);
      case Kind::subtract:
        return two(node, acb_sub);
      case Kind::multiply:
        return two(node, acb_mul);
      case Kind::divide:
        return two(node, acb_div);
      case Kind::power:
        return power(value(node.of[0]), value(node.of[1]));
      case Kind::negate: {
        Ball a = value(node.of[0]);
        acb_neg(a.get(), a.get());
        return a;
      }
      case Kind::call:
        return call(node);
      default:
        throw Undefined();
    }
  }

 private:
  static Ball number(const std::string& text) {
    // arb_set_str would give a ball around 0.1; a fraction is exact until the division.
    Ball out;
    std::string digits = text;
    long exponent = 0;
    if (const auto e = digits.find('e'); e != std::string::npos) {
      if (digits.size() - e > 7) throw Undefined();
      exponent = std::stol(digits.substr(e + 1));
      digits.resize(e);
    }
    if (const auto point = digits.find('.'); point != std::string::npos) {
      exponent -= static_cast<long>(digits.size() - point - 1);
      digits.erase(point, 1);
    }
    fmpz_t whole;
    fmpz_init(whole);
    const bool good = fmpz_set_str(whole, digits.empty() ? "0" : digits.c_str(), 10) == 0;
    if (good) arb_set_fmpz(out.real(), whole);
    fmpz_clear(whole);
    if (!good || exponent > 100'000 || exponent < -100'000) throw Undefined();
    if (exponent != 0) {
      Ball ten;
      arb_set_ui(ten.real(), 10);
      arb_pow_ui(ten.real(), ten.real(), static_cast<ulong>(std::abs(exponent)), 8192);
      if (exponent > 0) {
        arb_mul(out.real(), out.real(), ten.real(), 8192);
      } else {
        arb_div(out.real(), out.real(), ten.real(), 8192);
      }
    }
    return out;
  }

  Ball constant(const std::string& name) const {
    Ball out;
    if (name == "pi") {
      arb_const_pi(out.real(), bits_);
    } else if (name == "e") {
      arb_const_e(out.real(), bits_);
    } else if (name == "i") {
      acb_onei(out.get());
    } else {
      throw Undefined();  // infinity is no number
    }
    return out;
  }

  Ball two(const Node& node, void (*f)(acb_t, const acb_t, const acb_t, slong)) {
    Ball a = value(node.of[0]);
    const Ball b = value(node.of[1]);
    f(a.get(), a.get(), b.get(), bits_);
    return a;
  }

  // Of a negative number and a fraction with an odd denominator the real root, as people mean it:
  // (-8)^(1/3) is -2.
  Ball power(const Ball& base, const Ball& exponent) const {
    Ball out;
    // A whole exponent is exact even where base holds 0.
    if (exponent.is_real() && arb_is_int(exponent.real()) != 0 && base.is_real()) {
      fmpz_t n;
      fmpz_init(n);
      const bool small = arb_get_unique_fmpz(n, exponent.real()) != 0 && fmpz_bits(n) < 24;
      if (small) arb_pow_fmpz(out.real(), base.real(), n, bits_);
      fmpz_clear(n);
      if (small) return out;
    }
    acb_pow(out.get(), base.get(), exponent.get(), bits_);
    return out;
  }

  Ball root(const Ball& index, const Ball& of) const {
    Ball out;
    if (!index.is_real() || arb_is_int(index.real()) == 0) throw Undefined();
    const double n = arf_get_d(arb_midref(index.real()), ARF_RND_NEAR);
    if (n < 1 || n > 1000) throw Undefined();
    const auto k = static_cast<ulong>(n);
    if (of.is_real() && k % 2 == 1 && arb_is_negative(of.real()) != 0) {
      arb_neg(out.real(), of.real());
      arb_root_ui(out.real(), out.real(), k, bits_);
      arb_neg(out.real(), out.real());
      return out;
    }
    if (of.is_real() && arb_is_nonnegative(of.real()) != 0) {
      arb_root_ui(out.real(), of.real(), k, bits_);
      return out;
    }
    acb_root_ui(out.get(), of.get(), k, bits_);
    return out;
  }

  Ball factorial(const Ball& n) {
    if (++factorials_ > kMostFactorials) throw Undefined();
    Ball out;
    if (n.is_real() && arb_is_int(n.real()) != 0 && arb_is_nonnegative(n.real()) != 0) {
      const double value = arf_get_d(arb_midref(n.real()), ARF_RND_NEAR);
      if (value > 100'000) throw Undefined();
      arb_fac_ui(out.real(), static_cast<ulong>(value), bits_);
      return out;
    }
    acb_add_ui(out.get(), n.get(), 1, bits_);
    acb_gamma(out.get(), out.get(), bits_);
    return out;
  }

  Ball call(const Node& node) {
    if (++calls_ > kMostCalls) throw Undefined();
    std::vector<Ball> a;
    for (const Node& part : node.of) a.push_back(value(part));
    const std::string& f = node.text;
    Ball out;
    if (f == "root") return root(a.at(0), a.at(1));
    if (f == "binom") {
      // n! / (k! (n - k)!)
      Ball rest;
      acb_sub(rest.get(), a.at(0).get(), a.at(1).get(), bits_);
      out = factorial(a[0]);
      acb_div(out.get(), out.get(), factorial(a[1]).get(), bits_);
      acb_div(out.get(), out.get(), factorial(rest).get(), bits_);
      return out;
    }
    if (f == "log" && a.size() == 2) {
      acb_log(out.get(), a[1].get(), bits_);
      acb_log(a[0].get(), a[0].get(), bits_);
      acb_div(out.get(), out.get(), a[0].get(), bits_);
      return out;
    }
    if (f == "max" || f == "min") return extreme(a, f == "max");
    if (a.size() != 1) throw Undefined();
    const Ball& x = a[0];
    if (f == "factorial") return factorial(x);
    if (f == "floor" || f == "ceil") {
      if (!x.is_real()) throw Undefined();
      (f == "floor" ? arb_floor : arb_ceil)(out.real(), x.real(), bits_);
      return out;
    }
    if (f == "abs") {
      acb_abs(out.real(), x.get(), bits_);
      return out;
    }
    if (f == "lg") {
      acb_log(out.get(), x.get(), bits_);
      Ball ten;
      arb_log_ui(ten.real(), 10, bits_);
      acb_div(out.get(), out.get(), ten.get(), bits_);
      return out;
    }
    static const std::map<std::string, void (*)(acb_t, const acb_t, slong), std::less<>> table = {
        {"sqrt", acb_sqrt},   {"sin", acb_sin},     {"cos", acb_cos},   {"tan", acb_tan},
        {"cot", acb_cot},     {"sec", acb_sec},     {"csc", acb_csc},   {"arcsin", acb_asin},
        {"arccos", acb_acos}, {"arctan", acb_atan}, {"sinh", acb_sinh}, {"cosh", acb_cosh},
        {"tanh", acb_tanh},   {"ln", acb_log},      {"log", acb_log},   {"exp", acb_exp}};
    const auto at = table.find(f);
    if (at == table.end()) throw Undefined();
    at->second(out.get(), x.get(), bits_);
    return out;
  }

  Ball extreme(const std::vector<Ball>& of, bool largest) const {
    if (of.empty()) throw Undefined();
    Ball out = of[0];
    for (const Ball& b : of) {
      if (!b.is_real()) throw Undefined();
      (largest ? arb_max : arb_min)(out.real(), out.real(), b.real(), bits_);
    }
    return out;
  }

  const Point& point_;
  slong bits_;
  int factorials_ = 0;
  int calls_ = 0;
};

std::optional<Ball> evaluate(const Node& node, const Point& point, slong bits) {
  try {
    Ball value = Evaluation(point, bits).value(node);
    if (!value.finite()) return std::nullopt;
    return value;
  } catch (const Undefined&) {
    return std::nullopt;
  }
}

void collect(const Node& node, std::set<std::string>& out) {
  if (node.kind == Kind::variable) out.insert(node.text);
  for (const Node& part : node.of) collect(part, out);
}

// Raises the precision until it is clear whether a difference is zero.
Same is_zero(const std::function<std::optional<Ball>(slong bits)>& difference) {
  for (const slong bits : kPrecisions) {
    const std::optional<Ball> d = difference(bits);
    if (!d) continue;  // more precision may make it finite
    if (acb_contains_zero(d->get()) == 0) return Same::no;
    mag_t largest;
    mag_init(largest);
    acb_get_mag(largest, d->get());
    const bool tiny = mag_cmp_2exp_si(largest, -kEqualBits) < 0;
    mag_clear(largest);
    if (tiny && bits > kPrecisions.front()) return Same::yes;
  }
  return Same::unknown;
}

Ball minus(const Ball& a, const Ball& b, slong bits) {
  Ball out;
  acb_sub(out.get(), a.get(), b.get(), bits);
  return out;
}

// Points of both signs and sizes, the same for the same two expressions.
std::vector<Point> points_for(const std::set<std::string>& variables) {
  Random random(0x7a617961, variables.size());
  std::vector<Point> points;
  for (int i = 0; i < 12; ++i) {
    Point point;
    for (const std::string& name : variables) {
      // 30 bits over 2^28 or 2^25: exact, and of no simple form.
      const auto bits = static_cast<slong>(random.next() >> 34) | 1;
      Ball value;
      arb_set_si(value.real(), i % 3 == 2 ? -bits : bits);
      arb_mul_2exp_si(value.real(), value.real(), i % 2 == 0 ? -28 : -25);
      point[name] = std::move(value);
    }
    points.push_back(std::move(point));
  }
  return points;
}

// +1 or -1 for infinity and its negative, 0 for anything else.
int infinity_sign(const Node& node) {
  if (node.kind == Kind::constant && node.text == "infinity") return 1;
  if (node.kind == Kind::negate) return -infinity_sign(node.of[0]);
  return 0;
}

// The verdict over all points: one that differs decides, but for points where either is not real,
// which are not of its domain.
Same over_points(const std::set<std::string>& variables, bool complex,
                 const std::function<std::optional<Ball>(const Point&, slong, bool&)>& measure) {
  if (variables.empty()) {
    bool skip = false;
    return is_zero([&](slong bits) { return measure({}, bits, skip); });
  }
  if (variables.size() > 12) return Same::unknown;
  int agreed = 0;
  for (const Point& point : points_for(variables)) {
    bool skip = false;
    const Same same = is_zero([&](slong bits) -> std::optional<Ball> {
      if (skip) return std::nullopt;
      bool not_real = false;
      std::optional<Ball> difference = measure(point, bits, not_real);
      skip = not_real && !complex;
      return skip ? std::nullopt : std::move(difference);
    });
    if (skip) continue;
    if (same == Same::no) return Same::no;
    if (same == Same::yes) ++agreed;
  }
  return agreed >= 3 ? Same::yes : Same::unknown;
}

bool mentions_i(const Node& node) {
  if (node.kind == Kind::constant && node.text == "i") return true;
  return std::any_of(node.of.begin(), node.of.end(), mentions_i);
}

}  // namespace

std::set<std::string> variables_of(const Node& node) {
  std::set<std::string> out;
  collect(node, out);
  return out;
}

Same same_value(const Node& a, const Node& b) {
  const int ia = infinity_sign(a);
  const int ib = infinity_sign(b);
  if (ia != 0 || ib != 0) return ia == ib ? Same::yes : Same::no;
  if (a == b) return Same::yes;
  std::set<std::string> variables = variables_of(a);
  variables.merge(variables_of(b));
  return over_points(variables, mentions_i(a) || mentions_i(b),
                     [&](const Point& point, slong bits, bool& not_real) -> std::optional<Ball> {
                       const auto x = evaluate(a, point, bits);
                       const auto y = evaluate(b, point, bits);
                       if (!x || !y) return std::nullopt;
                       not_real = !x->is_real() || !y->is_real();
                       return minus(*x, *y, bits);
                     });
}

Same same_equation(const Node& a, const Node& b, const Node& c, const Node& d) {
  const Node left = binary(Kind::subtract, a, b);
  const Node right = binary(Kind::subtract, c, d);
  const std::set<std::string> variables = variables_of(left);
  if (variables.empty() || variables != variables_of(right)) return Same::no;
  const std::vector<Point> points = points_for(variables);
  // left(p) right(q) = left(q) right(p), for a fixed q.
  const Point& q = points.front();
  return over_points(variables, false,
                     [&](const Point& p, slong bits, bool& not_real) -> std::optional<Ball> {
                       const auto lp = evaluate(left, p, bits);
                       const auto rp = evaluate(right, p, bits);
                       const auto lq = evaluate(left, q, bits);
                       const auto rq = evaluate(right, q, bits);
                       if (!lp || !rp || !lq || !rq) return std::nullopt;
                       not_real = !lp->is_real() || !rp->is_real();
                       Ball x;
                       Ball y;
                       acb_mul(x.get(), lp->get(), rq->get(), bits);
                       acb_mul(y.get(), lq->get(), rp->get(), bits);
                       return minus(x, y, bits);
                     });
}

Same less(const Node& a, const Node& b) {
  const int ia = infinity_sign(a);
  const int ib = infinity_sign(b);
  if (ia != 0 || ib != 0) return ia < ib ? Same::yes : Same::no;
  for (const slong bits : kPrecisions) {
    const auto x = evaluate(a, {}, bits);
    const auto y = evaluate(b, {}, bits);
    if (!x || !y || !x->is_real() || !y->is_real()) continue;
    if (arb_lt(x->real(), y->real()) != 0) return Same::yes;
    if (arb_ge(x->real(), y->real()) != 0) return Same::no;
  }
  return Same::unknown;
}

}  // namespace zaya::answers
