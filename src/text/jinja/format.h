#pragma once

#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace zaya::jinja {

// Python's three ways of formatting, for str, int and float.

/// text % value.
Value percent_format(const Text& text, const Value& value);
/// text.format(*args, **named).
Value brace_format(const Text& text, const Args& args);
/// format(value, spec): the format specification mini-language.
std::string format_value(const Value& value, std::string_view spec);
/// The text in a field of `width` code points; align is '<', '>' or '^'. Charges the budget first.
std::string pad(std::string_view text, std::int64_t width, char align, std::string_view fill = " ");

}  // namespace zaya::jinja
