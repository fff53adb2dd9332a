#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace zaya {

/// Reads strict JSON; nothing when it is not that.
std::optional<Json> parse_strict(std::string_view text);

/// Reads JSON, or a value as Python writes it: 'single quotes', True, None, (tuples), trailing
/// commas. Nothing when it is neither, or nested deeper than 64.
std::optional<Json> parse_literal(std::string_view text);

/// Reads what stands in the parentheses of a call: a='x', b=1. A value may also be a bare word,
/// which is a string. What comes before the first mistake is kept; `whole` tells whether there was
/// none.
struct Keywords {
  std::vector<std::pair<std::string, Json>> values;
  bool whole = false;
};
Keywords parse_keywords(std::string_view text);

/// Makes JSON whole that was cut off: open lists and objects are closed, a last value that is not
/// complete is left out. What was no JSON before does not become any.
std::string close_json(std::string_view text);

/// Finds the end of a bracketed text that arrives in pieces, minding strings.
class BracketFinder {
 public:
  /// Reads on. The number of bytes up to and with the bracket that closes the first one, or nothing
  /// when it is not there yet. The text read must begin with a bracket.
  std::optional<std::size_t> read(std::string_view text);

 private:
  int depth_ = 0;
  char quote_ = 0;
  bool escape_ = false;
};

}  // namespace zaya
