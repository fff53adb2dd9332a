#include "base/json.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr int kMaxDepth = 512;

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  const auto guard = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) {
      throw Error({.where = where,
                   .what = "JSON is nested too deeply",
                   .expected = fmt::format("at most {} levels", kMaxDepth)});
    }
    return true;
  };
  // The library takes a zero byte for the end, and what follows for nothing.
  if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    throw Error({.where = fmt::format("{}: byte {}", where, zero + 1),
                 .what = "not valid JSON",
                 .found = "a zero byte"});
  }
  try {
    return Json::parse(text, guard);
  } catch (const Json::parse_error& e) {
    std::string reason = e.what();
    // The library's own prefix is for its developers; the person needs byte and reason.
    if (const auto cut = reason.rfind(": "); cut != std::string::npos) reason.erase(0, cut + 2);
    throw Error({.where = fmt::format("{}: byte {}", where, e.byte),
                 .what = "not valid JSON",
                 .found = std::move(reason)});
  } catch (const Json::exception& e) {
    throw Error({.where = where, .what = "not valid JSON", .found = e.what()});
  }
}

Json read_json_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  return parse_json(read_file(path, max_bytes), path.string());
}

JsonView::JsonView(const Json& value, std::string where)
    : value_(&value), where_(std::move(where)) {
  if (!value.is_object()) {
    throw Error({.where = where_,
                 .what = "wrong JSON type",
                 .expected = "an object",
                 .found = shown(value)});
  }
}

const Json* JsonView::find(std::string_view key) const {
  const auto it = value_->find(key);
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

bool JsonView::has(std::string_view key) const {
  return find(key) != nullptr;
}

const Json& JsonView::at(std::string_view key) const {
  if (const Json* v = find(key)) return *v;
  throw Error({.where = where_, .what = fmt::format("key '{}' is missing", key)});
}

JsonView JsonView::object(std::string_view key) const {
  return {at(key), fmt::format("{}: {}", where_, key)};
}

void JsonView::fail(std::string_view key, std::string expected) const {
  const Json* v = find(key);
  throw Error({.where = where_,
               .what = fmt::format("bad value for '{}'", key),
               .expected = std::move(expected),
               .found = v == nullptr ? "nothing" : shown(*v)});
}

namespace {

bool in_range(const Json& v, std::int64_t min, std::int64_t max) {
  if (v.is_number_unsigned()) {
    const auto u = v.get<std::uint64_t>();
    return u <= static_cast<std::uint64_t>(INT64_MAX) && std::cmp_less_equal(u, max) &&
           std::cmp_greater_equal(u, min);
  }
  if (!v.is_number_integer()) return false;
  const auto i = v.get<std::int64_t>();
  return i >= min && i <= max;
}

}  // namespace

std::int64_t JsonView::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  const Json& v = at(key);
  if (!in_range(v, min, max)) fail(key, fmt::format("an integer from {} to {}", min, max));
  return v.get<std::int64_t>();
}

double JsonView::number(std::string_view key) const {
  const Json& v = at(key);
  if (!v.is_number() || !std::isfinite(v.get<double>())) fail(key, "a finite number");
  return v.get<double>();
}

bool JsonView::boolean(std::string_view key) const {
  const Json& v = at(key);
  if (!v.is_boolean()) fail(key, "true or false");
  return v.get<bool>();
}

std::string JsonView::string(std::string_view key) const {
  const Json& v = at(key);
  if (!v.is_string()) fail(key, "a string");
  return v.get<std::string>();
}

std::vector<std::int64_t> JsonView::integers(std::string_view key, std::int64_t min,
                                             std::int64_t max) const {
  const Json& v = at(key);
  const auto expected = [&] { return fmt::format("a list of integers from {} to {}", min, max); };
  if (!v.is_array()) fail(key, expected());
  std::vector<std::int64_t> values;
  for (const Json& item : v) {
    if (!in_range(item, min, max)) fail(key, expected());
    values.push_back(item.get<std::int64_t>());
  }
  return values;
}

std::int64_t JsonView::integer(std::string_view key, std::int64_t min, std::int64_t max,
                               std::int64_t fallback) const {
  return has(key) ? integer(key, min, max) : fallback;
}

double JsonView::number(std::string_view key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

bool JsonView::boolean(std::string_view key, bool fallback) const {
  return has(key) ? boolean(key) : fallback;
}

std::string JsonView::string(std::string_view key, std::string fallback) const {
  return has(key) ? string(key) : std::move(fallback);
}

}  // namespace zaya
