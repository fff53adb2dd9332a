#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace zaya::jinja {

/// Parses a template as jinja2 with the loopcontrols extension and Hugging Face's generation tag.
/// Tags that need other templates (include, import, from, extends, block) are refused. Expressions
/// and statements nest to a bound. Throws SyntaxFailure.
Program parse(std::string_view source);

}  // namespace zaya::jinja
