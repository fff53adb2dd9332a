#include "zaya/error.h"

#include <utility>

namespace zaya {
namespace {

std::string one_line(const Error::Detail& d) {
  std::string text = d.where.empty() ? d.what : d.where + ": " + d.what;
  if (!d.expected.empty()) text += ": expected " + d.expected;
  if (!d.found.empty()) text += (d.expected.empty() ? ": found " : ", found ") + d.found;
  return text;
}

}  // namespace

Error::Error(Detail detail) : std::runtime_error(one_line(detail)), detail_(std::move(detail)) {}

}  // namespace zaya
