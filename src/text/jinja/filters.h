#pragma once

#include <map>
#include <string_view>

#include "text/jinja/value.h"

namespace zaya::jinja {

bool has_filter(std::string_view name);
bool has_test(std::string_view name);
/// The value is the first positional argument. An unknown name is a Failure.
Value call_filter(Renderer& renderer, std::string_view name, Args& args);
bool call_test(std::string_view name, const Args& args);

// The two halves of the table of filters.
using Filter = Value (*)(Renderer& renderer, Args& args);
using FilterTable = std::map<std::string_view, Filter>;
const FilterTable& text_filters();
const FilterTable& sequence_filters();

}  // namespace zaya::jinja
