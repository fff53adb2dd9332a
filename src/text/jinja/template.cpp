#include "text/jinja/template.h"

#include <fmt/format.h>

#include "text/jinja/lexer.h"
#include "text/jinja/parser.h"
#include "text/jinja/renderer.h"
#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya::jinja {

Template::Template(std::string_view source, std::string name) : name_(std::move(name)) {
  if (find_invalid_utf8(source) != std::string_view::npos) {
    throw Error({.where = name_, .what = "the template is not valid UTF-8"});
  }
  try {
    program_ = std::make_shared<const Program>(parse(source));
  } catch (const SyntaxFailure& e) {
    throw Error({.where = fmt::format("{}: line {}", name_, e.line), .what = e.what()});
  } catch (const Failure& e) {
    throw Error({.where = name_, .what = e.what()});
  }
}

std::string Template::render(const Json& variables, const RenderOptions& options) const {
  const BudgetScope budget(options.max_work);
  Renderer renderer(*program_, options);
  try {
    return renderer.run(variables);
  } catch (const Failure& e) {
    throw Error({.where = fmt::format("{}: line {}", name_, renderer.line()), .what = e.what()});
  }
}

}  // namespace zaya::jinja
