#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace zaya {

/// Insertion order is kept: what we write back reads like what came in.
using Json = nlohmann::ordered_json;

/// Parses strictly. Throws Error naming `where` and the byte of the mistake; nesting deeper than
/// 512 is refused.
Json parse_json(std::string_view text, const std::string& where);
Json read_json_file(const std::filesystem::path& path, std::uint64_t max_bytes = 256U << 20);

/// Typed access to a JSON object whose values come from outside. Every getter names the place, the
/// key, the expected and the found type or range in its Error. A key that is absent or null is
/// missing.
class JsonView {
 public:
  /// Throws when `value` is no object. `value` must outlive the view.
  JsonView(const Json& value, std::string where);

  bool has(std::string_view key) const;
  const Json* find(std::string_view key) const;  ///< nullptr when missing
  const Json& at(std::string_view key) const;    ///< throws when missing
  JsonView object(std::string_view key) const;   ///< throws when missing or no object

  // Required.
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  double number(std::string_view key) const;
  bool boolean(std::string_view key) const;
  std::string string(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t min,
                                     std::int64_t max) const;

  // With a fallback for a missing key.
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max,
                       std::int64_t fallback) const;
  double number(std::string_view key, double fallback) const;
  bool boolean(std::string_view key, bool fallback) const;
  std::string string(std::string_view key, std::string fallback) const;

  const std::string& where() const { return where_; }
  const Json& json() const { return *value_; }

  [[noreturn]] void fail(std::string_view key, std::string expected) const;

 private:
  const Json* value_;
  std::string where_;
};

}  // namespace zaya
