#pragma once

#include <string>
#include <string_view>

#include "text/grammar/graph.h"

namespace zaya::grammar {

/// The texts that a JSON Schema `pattern` finds something in. Of ECMA-262's regular expressions, by
/// Unicode characters: literals, `.`, classes, \d \w \s and their opposites, escapes, groups, `|`,
/// `*` `+` `?` `{n,m}` (lazy or not), and `^` and `$` where an alternative of the whole pattern
/// begins and ends. Throws Error naming `where` for anything else: assertions, references,
/// properties (\p), or a pattern that is too large when its repetitions are written out.
Graph compile_regex(std::string_view pattern, const std::string& where);

}  // namespace zaya::grammar
