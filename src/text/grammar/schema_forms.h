#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace zaya::grammar {

/// What to do with keywords that a grammar cannot keep.
enum class Unsupported {
  refuse,  ///< an Error that names them
  ignore,  ///< the output may break them
};

/// A JSON Schema, and how to look into it: resolves references and turns schemas that are combined
/// of others into alternatives of plain ones.
class SchemaForms {
 public:
  /// Most alternatives of one schema, most schemas inside each other by reference and combination,
  /// and most text, in bytes, that all of this may come to.
  static constexpr std::size_t kMostForms = 512;
  static constexpr int kMostDepth = 64;
  static constexpr std::size_t kMostBytes = std::size_t{32} << 20;

  /// `root` must outlive it. `where` is the name of the schema in error messages.
  SchemaForms(const Json& root, std::string where, Unsupported unsupported);

  struct Form {
    Json schema;       ///< an object without $ref, allOf, anyOf, oneOf, const; enum as a list
    std::string path;  ///< of the schema that it comes from, for error messages
  };
  /// A value satisfies the schema if it satisfies one of these (all but oneOf's exclusiveness).
  /// None when it contradicts itself. Throws Error for what is no schema or not supported.
  std::vector<Form> forms(const Json& schema, const std::string& path);

  const std::string& where() const { return where_; }
  Unsupported unsupported() const { return unsupported_; }
  [[noreturn]] void fail(const std::string& path, std::string what) const;
  /// fail(), unless what is not supported is to be ignored.
  void refuse(const std::string& path, std::string what) const;
  /// Counts work that hostile schemas could make endless.
  void spend(std::size_t bytes, const std::string& path);

 private:
  std::vector<Form> forms_at(const Json& schema, const std::string& path, int depth);
  Json own_keywords(const Json& schema, const std::string& path) const;
  const Json& resolve(const std::string& reference, const std::string& path) const;
  std::vector<Form> both(const std::vector<Form>& a, const std::vector<Form>& b);
  std::optional<Json> merged(const Json& a, const Json& b, const std::string& path) const;

  const Json& root_;
  std::string where_;
  Unsupported unsupported_;
  std::vector<std::string> resolving_;  // references on the way, to find circles
  std::size_t spent_ = 0;
};

}  // namespace zaya::grammar
