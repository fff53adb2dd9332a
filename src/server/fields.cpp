#include "server/fields.h"

#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "server/api_error.h"

namespace zaya {
namespace {

// An integer, written as one or as 4.0, as some clients do.
std::optional<std::int64_t> whole_number(const Json& v) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (v.is_number_unsigned()) {
    const auto u = v.get<std::uint64_t>();
    if (u > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
    return static_cast<std::int64_t>(u);
  }
  if (v.is_number_integer()) return v.get<std::int64_t>();
  if (!v.is_number_float()) return {};
  const auto d = v.get<double>();
  if (!(std::abs(d) <= kExact) || d != std::trunc(d)) return {};
  return static_cast<std::int64_t>(d);
}

}  // namespace

Fields::Fields(const Json& json, std::string path) : json_(&json), path_(std::move(path)) {
  if (json.is_object()) return;
  throw ApiError({.message = fmt::format("{}: expected an object, found {}",
                                         path_.empty() ? "the body" : path_, json.type_name()),
                  .param = path_});
}

const Json* Fields::find(std::string_view key) const {
  const auto it = json_->find(key);
  return it == json_->end() || it->is_null() ? nullptr : &*it;
}

const Json& Fields::at(std::string_view key) const {
  if (const Json* v = find(key)) return *v;
  throw ApiError({.message = fmt::format("you must provide '{}'", name(key)),
                  .param = name(key),
                  .code = "missing_required_parameter"});
}

Fields Fields::object(std::string_view key) const {
  return Fields(at(key), name(key));
}

std::optional<double> Fields::number(std::string_view key) const {
  const Json* v = find(key);
  if (v == nullptr) return {};
  if (!v->is_number() || !std::isfinite(v->get<double>())) fail(key, "a number");
  return v->get<double>();
}

std::optional<std::int64_t> Fields::integer(std::string_view key, std::int64_t min,
                                            std::int64_t max) const {
  const Json* v = find(key);
  if (v == nullptr) return {};
  const auto value = whole_number(*v);
  if (!value || *value < min || *value > max) {
    fail(key, max == std::numeric_limits<std::int64_t>::max()
                  ? fmt::format("an integer of {} or more", min)
                  : fmt::format("an integer from {} to {}", min, max));
  }
  return value;
}

std::optional<bool> Fields::boolean(std::string_view key) const {
  const Json* v = find(key);
  if (v == nullptr) return {};
  if (!v->is_boolean()) fail(key, "true or false");
  return v->get<bool>();
}

std::optional<std::string> Fields::string(std::string_view key) const {
  const Json* v = find(key);
  if (v == nullptr) return {};
  if (!v->is_string()) fail(key, "a string");
  return v->get<std::string>();
}

std::vector<std::string> Fields::strings(std::string_view key) const {
  const Json* v = find(key);
  if (v == nullptr) return {};
  if (v->is_string()) return {v->get<std::string>()};
  if (!v->is_array()) fail(key, "a string or a list of strings");
  std::vector<std::string> out;
  for (const Json& item : *v) {
    if (!item.is_string()) fail(key, "a string or a list of strings");
    out.push_back(item.get<std::string>());
  }
  return out;
}

std::string Fields::name(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void Fields::fail(std::string_view key, std::string_view expected) const {
  const Json* v = find(key);
  std::string found =
      v == nullptr ? "nothing" : v->dump(-1, ' ', true, Json::error_handler_t::replace);
  if (found.size() > 60) found = found.substr(0, 57) + "...";
  throw ApiError({.message = fmt::format("'{}': expected {}, found {}", name(key), expected, found),
                  .param = name(key),
                  .code = "invalid_value"});
}

void Fields::refuse(std::string_view key, std::string_view reason) const {
  throw ApiError({.message = fmt::format("'{}' is not supported: {}", name(key), reason),
                  .param = name(key),
                  .code = "unsupported_parameter"});
}

std::vector<TokenId> read_token_ids(const Json& json, const std::string& path) {
  const auto fail = [&] {
    throw ApiError({.message = fmt::format("'{}': expected a list of token ids", path),
                    .param = path,
                    .code = "invalid_value"});
  };
  if (!json.is_array()) fail();
  std::vector<TokenId> ids;
  ids.reserve(json.size());
  for (const Json& item : json) {
    const auto id = whole_number(item);
    if (!id || *id < 0 || *id > std::numeric_limits<TokenId>::max()) fail();
    ids.push_back(static_cast<TokenId>(*id));
  }
  return ids;
}

Json parse_body(std::string_view body) {
  try {
    Json json = parse_json(body, "the body");
    if (!json.is_object()) {
      throw ApiError(
          {.message = fmt::format("the body must be a JSON object, not {}", json.type_name())});
    }
    return json;
  } catch (const Error& error) {
    throw ApiError({.message = error.what()});
  }
}

}  // namespace zaya
