#pragma once

#include <stdexcept>
#include <string>

namespace zaya {

/// The one exception of the library. It tells a person what was wrong, where, what was expected and
/// what was found; the command line prints it as one line.
///
///   throw Error({.where = path, .what = "header is truncated", .expected = "120 bytes",
///                .found = "64 bytes"});
class Error : public std::runtime_error {
 public:
  struct Detail {
    std::string where;          ///< file, tensor, byte, line, option; may be empty
    std::string what;           ///< the problem in a few words
    std::string expected = {};  ///< may be empty
    std::string found = {};     ///< may be empty
  };

  explicit Error(Detail detail);

  const Detail& detail() const { return detail_; }

 private:
  Detail detail_;
};

}  // namespace zaya
