#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "base/json.h"
#include "text/jinja/template.h"
#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya {

/// Any text is a template with an error, or one that renders well-formed UTF-8 or fails with an
/// error; twice the same.
inline void check_template(std::string_view source) {
  static const Json variables = {
      {"messages",
       {{{"role", "system"}, {"content", "Be kind."}},
        {{"role", "user"}, {"content", "Grüße, 世界 <b>"}},
        {{"role", "assistant"}, {"content", {{{"type", "text"}, {"text", "a\nb"}}}}}}},
      {"tools", {{{"name", "f"}, {"parameters", {{"x", 1.5}, {"y", nullptr}}}}}},
      {"add_generation_prompt", true},
      {"n", 7},
      {"s", "  Hello, World!\n"},
      {"l", {3, 1, "2", nullptr, true, 2.5}},
      {"d", {{"b", 1}, {"a", {1, 2}}}}};
  const jinja::RenderOptions options = {
      .clock = [] { return std::tm{}; }, .max_output = 1U << 16, .max_work = 1U << 22};
  const auto outcome = [&]() -> std::string {
    try {
      std::string text = jinja::Template(source, "fuzz").render(variables, options);
      if (find_invalid_utf8(text) != std::string::npos) __builtin_trap();
      return text;
    } catch (const Error& e) {
      return e.what();
    }
  };
  if (outcome() != outcome()) __builtin_trap();
}

}  // namespace zaya
