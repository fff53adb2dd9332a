#pragma once

#include <optional>
#include <string_view>

namespace zaya::grammar {

/// The regular expression for a `format` of JSON Schema that is kept: date, time and date-time
/// (RFC 3339, with leap years, without leap seconds), duration, uuid, email, hostname, ipv4, ipv6,
/// uri. Texts that match are of the format, but not every text of the format matches: of addresses
/// and names, the plain forms only.
std::optional<std::string_view> format_pattern(std::string_view format);

}  // namespace zaya::grammar
