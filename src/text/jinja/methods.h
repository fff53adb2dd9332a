#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace zaya::jinja {

/// The method `name` of a str, list, tuple or dict, bound to its object. Methods that the immutable
/// sandbox forbids come back as an Undefined that says so. Nothing when there is no such method.
std::optional<Value> find_method(const Value& object, std::string_view name);
/// What the sandbox gives for an attribute that it forbids.
Value unsafe_attribute(const Value& object, std::string_view name);

// str methods that filters need too.
/// strip(chars); nullptr for white space.
std::string strip(std::string_view text, const std::string* chars, bool left, bool right);
std::string title_case(std::string_view text);
std::string capitalize(std::string_view text);
std::vector<std::string> split_lines(std::string_view text, bool keep_ends = false);
/// Replaces at most `count` occurrences, all when it is negative.
std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    std::int64_t count);
/// str.join(); throws unless all items are strings.
std::string join(std::string_view separator, const Value& items);
/// islower() and isupper().
bool is_all_case(std::string_view text, bool upper);

}  // namespace zaya::jinja
