#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "text/tools/lookahead.h"
#include "text/tools/tool_set.h"

namespace zaya {

/// ZAYA1's own tags around a call.
inline constexpr std::string_view kCallOpen = "<zyphra_tool_call>";
inline constexpr std::string_view kCallClose = "</zyphra_tool_call>";

/// What stands around a call: nothing, ZAYA1's own tag (also in square brackets), or the tag of
/// other models.
enum class CallWrapper { none, zyphra, other };

/// The beginning of a call.
struct CallOpening {
  enum class Form {
    tags,      ///< <function=NAME> or <function>NAME; parameters follow as tags
    keywords,  ///< <function=NAME(a='x', b=1)>
    json,      ///< {"name": NAME, "arguments": {...}}
  };

  CallWrapper wrapper = CallWrapper::none;
  Form form = Form::tags;
  std::string name = {};   ///< empty with json
  std::size_t length = 0;  ///< up to the parameters; else up to the bracket
};

/// Whether a call begins here; `outer` is the wrapper that is open already. Forms that a text about
/// something else may have, which is all but ZAYA1's own wrapper, must name a function of `tools`.
std::optional<CallOpening> find_opening(Lookahead& look, CallWrapper outer, const ToolSet& tools);

/// Passes a closing tag of the wrapper. ZAYA1's own closes everything.
bool accept_closer(Lookahead& look, CallWrapper wrapper);
/// Passes an opening tag that accept_closer() would close.
bool accept_opener(Lookahead& look, CallWrapper wrapper);

/// A name as it was meant: without the spaces and quotes around it, and the slash of
/// <function=NAME/>.
std::string clean_name(std::string_view name);

}  // namespace zaya
