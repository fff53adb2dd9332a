#pragma once

#include <span>
#include <string_view>

#include "text/grammar/json_rules.h"
#include "text/grammar/program.h"
#include "text/tokenizer.h"
#include "zaya/output_format.h"

namespace zaya::grammar {

constexpr std::string_view kCallOpen = "<zyphra_tool_call>";
constexpr std::string_view kCallClose = "</zyphra_tool_call>";

/// The grammar of a call of one of `tools`, in ZAYA1's form:
///
///   <zyphra_tool_call>
///   <function=NAME>
///   <parameter=P>
///   VALUE
///   </parameter>
///   </function>
///   </zyphra_tool_call>
///
/// and, with `several`, of more calls after it. The outer tags are tokens where `tokenizer` has
/// them. Parameters come in the schema's order; those that are not required may be left out. A
/// value that may be a string is that string as it is, with anything in it but </parameter>; other
/// values are JSON. Throws Error as compile_json_schema() does, naming the tool.
Program compile_tool_calls(std::span<const ToolFunction> tools, bool several,
                           const Tokenizer& tokenizer);

/// The same as a rule of a larger grammar.
Builder::Rule write_tool_calls(Builder& builder, JsonRules& rules,
                               std::span<const ToolFunction> tools, bool several,
                               const Tokenizer& tokenizer);

}  // namespace zaya::grammar
