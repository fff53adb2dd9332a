#include "text/grammar/formats.h"

#include <array>
#include <string>
#include <utility>

namespace zaya::grammar {
namespace {

// Days that every year has, then the 29th of February: years that 4 divides but not 100, and
// hundreds that 4 divides. The year 0000 is left out: many readers have none.
const std::string kDate =
    "(?:(?:0(?:00[1-9]|0[1-9]\\d|[1-9]\\d\\d)|[1-9]\\d{3})-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|"
    "3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|"
    "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)";
const std::string kTime =
    "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
const std::string kLabel = "[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?";
const std::string kHost = kLabel + "(?:\\." + kLabel + "){0,4}";
const std::string kByte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const std::string kNumber = "\\d{1,9}";

std::string whole(const std::string& pattern) {
  return "^(?:" + pattern + ")$";
}

}  // namespace

std::optional<std::string_view> format_pattern(std::string_view format) {
  static const std::array<std::pair<std::string_view, std::string>, 10> kFormats = {{
      {"date", whole(kDate)},
      {"time", whole(kTime)},
      {"date-time", whole(kDate + "T" + kTime)},
      {"duration",
       whole("P(?:" + kNumber + "W|(?:(?:" + kNumber + "Y)?" + kNumber + "M)?" + kNumber +
             "D|(?:" + kNumber + "Y)?" + kNumber + "M|" + kNumber + "Y|T(?:" + kNumber + "H|" +
             kNumber + "M|" + kNumber + "S|" + kNumber + "H" + kNumber + "M))")},
      {"uuid", whole("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")},
      {"email", whole("[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,32}){0,3}@" + kLabel + "(?:\\." +
                      kLabel + "){1,3}")},
      {"hostname", whole(kHost)},
      {"ipv4", whole(kByte + "(?:\\." + kByte + "){3}")},
      {"ipv6", whole("(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|::1?")},
      {"uri", whole("(?:https?|ftp)://" + kHost +
                    "(?::[1-9]\\d{0,3})?(?:/[A-Za-z0-9._~-]{1,64}){0,16}/?(?:\\?[A-Za-z0-9=&._~-]"
                    "{1,256})?(?:#[A-Za-z0-9._~-]{1,64})?")},
  }};
  for (const auto& [name, pattern] : kFormats) {
    if (name == format) return pattern;
  }
  return {};
}

}  // namespace zaya::grammar
