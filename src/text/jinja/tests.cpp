#include <map>

#include <fmt/format.h>

#include "text/jinja/filters.h"
#include "text/jinja/methods.h"
#include "text/jinja/ops.h"

namespace zaya::jinja {
namespace {

using V = const Value&;

// A test of the value alone, or of the value and one argument.
struct Test {
  bool (*alone)(V) = nullptr;
  bool (*with)(V, V) = nullptr;
};
Test alone(bool (*test)(V)) {
  return {.alone = test};
}
Test with(bool (*test)(V, V)) {
  return {.with = test};
}

bool has_rest(V v, V divisor, int rest) {
  return equals(binary(BinaryOp::modulo, v, divisor), Value(rest));
}

bool is_sequence(V v) {
  if (v.is(Kind::object)) return v.object()->subscriptable() && v.object()->length().has_value();
  return v.is_undefined() || v.kind() >= Kind::string;
}

const std::map<std::string_view, Test>& tests() {
  static const Test eq = with(equals);
  static const Test ne = with([](V a, V b) { return !equals(a, b); });
  static const Test gt = with([](V a, V b) { return less(b, a); });
  static const Test ge = with([](V a, V b) { return less_equal(b, a); });
  static const Test lt = with(less);
  static const Test le = with(less_equal);
  static const std::map<std::string_view, Test> table = {
      {"!=", ne},
      {"<", lt},
      {"<=", le},
      {"==", eq},
      {">", gt},
      {">=", ge},
      {"boolean", alone([](V v) { return v.is(Kind::boolean); })},
      {"callable", alone(is_callable)},
      {"defined", alone([](V v) { return !v.is_undefined(); })},
      {"divisibleby", with([](V v, V by) { return has_rest(v, by, 0); })},
      {"eq", eq},
      {"equalto", eq},
      {"escaped", alone([](V v) { return v.is_string() && v.text().markup; })},
      {"even", alone([](V v) { return has_rest(v, Value(2), 0); })},
      {"false", alone([](V v) { return v.is(Kind::boolean) && !v.boolean(); })},
      {"filter", alone([](V v) { return v.is_string() && has_filter(v.str()); })},
      {"float", alone([](V v) { return v.is(Kind::real); })},
      {"ge", ge},
      {"greaterthan", gt},
      {"gt", gt},
      {"in", with([](V v, V all) { return contains(all, v); })},
      {"integer", alone([](V v) { return v.is(Kind::integer); })},
      {"iterable", alone(is_iterable)},
      {"le", le},
      {"lessthan", lt},
      {"lower", alone([](V v) { return is_all_case(to_str(v), false); })},
      {"lt", lt},
      {"mapping", alone([](V v) { return v.is(Kind::dict); })},
      {"ne", ne},
      {"none", alone([](V v) { return v.is_none(); })},
      {"number", alone([](V v) { return v.is_number(); })},
      {"odd", alone([](V v) { return has_rest(v, Value(2), 1); })},
      {"sameas", with(same)},
      {"sequence", alone(is_sequence)},
      {"string", alone([](V v) { return v.is_string(); })},
      {"test", alone([](V v) { return v.is_string() && has_test(v.str()); })},
      {"true", alone([](V v) { return v.is(Kind::boolean) && v.boolean(); })},
      {"undefined", alone([](V v) { return v.is_undefined(); })},
      {"upper", alone([](V v) { return is_all_case(to_str(v), true); })}};
  return table;
}

}  // namespace

bool has_test(std::string_view name) {
  return tests().contains(name);
}

bool call_test(std::string_view name, const Args& args) {
  const auto found = tests().find(name);
  if (found == tests().end()) throw Failure(fmt::format("No test named {}.", string_repr(name)));
  const Test& test = found->second;
  if (test.alone != nullptr) return test.alone(*bind(name, args, {"value"}, 1)[0]);
  const auto p = bind(name, args, {"value", "other"}, 2);
  return test.with(*p[0], *p[1]);
}

}  // namespace zaya::jinja
