#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"

namespace zaya::jinja {

struct Program;

struct RenderOptions {
  /// What strftime_now() formats; the local time when empty.
  std::function<std::tm()> clock = {};
  std::size_t max_output = std::size_t{64} << 20;  ///< bytes
  /// Bytes touched or made while rendering; each step counts as 32. A render takes about a second
  /// for 2^28.
  std::uint64_t max_work = std::uint64_t{1} << 30;
};

/// A Jinja template, rendered as Hugging Face renders chat templates: jinja2's
/// ImmutableSandboxedEnvironment with trim_blocks, lstrip_blocks and the loopcontrols extension, a
/// `tojson` that is plain json.dumps, `raise_exception`, `strftime_now` and the `generation` tag.
/// Immutable once parsed: threads may render one template at the same time.
///
/// Differences from Python: integers have 64 bits (overflow is an error), there are no other
/// templates to include or extend, and depth, output and work are bounded.
class Template {
 public:
  /// Parses. `name` is what errors call the template. Throws Error with the line of a mistake.
  Template(std::string_view source, std::string name);

  /// Renders with the members of the object `variables` as global variables. Throws Error with the
  /// line at which it failed; the message of raise_exception() is passed on as it is.
  std::string render(const Json& variables, const RenderOptions& options = {}) const;

 private:
  std::string name_;
  std::shared_ptr<const Program> program_;
};

}  // namespace zaya::jinja
