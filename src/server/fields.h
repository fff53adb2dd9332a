#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "zaya/token.h"

namespace zaya {

/// Reads the parameters of a call. A parameter that is null is absent. Every getter throws ApiError
/// (400) that names the parameter by its path, "messages[2].content" say.
class Fields {
 public:
  /// `json` must outlive it. `path`: of the object, empty for the whole body.
  explicit Fields(const Json& json, std::string path = {});

  const Json* find(std::string_view key) const;  ///< null when absent
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const Json& at(std::string_view key) const;
  Fields object(std::string_view key) const;

  std::optional<double> number(std::string_view key) const;
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t min,
                                      std::int64_t max) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string> string(std::string_view key) const;
  bool boolean(std::string_view key, bool absent) const { return boolean(key).value_or(absent); }
  /// A string, or a list of them.
  std::vector<std::string> strings(std::string_view key) const;

  /// "path.key"
  std::string name(std::string_view key) const;
  [[noreturn]] void fail(std::string_view key, std::string_view expected) const;
  /// For what is known and cannot be done.
  [[noreturn]] void refuse(std::string_view key, std::string_view reason) const;

 private:
  const Json* json_;
  std::string path_;
};

/// A list of token ids. `path` names it in errors. The ids are below 2^31, not checked otherwise.
std::vector<TokenId> read_token_ids(const Json& json, const std::string& path);

/// A request's body as JSON: an object. Throws ApiError (400).
Json parse_body(std::string_view body);

}  // namespace zaya
