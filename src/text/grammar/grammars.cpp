#include "text/grammar/grammars.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "text/grammar/json_schema.h"
#include "text/grammar/tool_calls.h"

namespace zaya::grammar {
namespace {

// Tokens that mean something by themselves: no part of a text that has a form.
constexpr std::array<std::string_view, 6> kTags = {"<think>",
                                                   "</think>",
                                                   kCallOpen,
                                                   kCallClose,
                                                   "<zyphra_tool_response>",
                                                   "</zyphra_tool_response>"};

Unsupported unsupported(const OutputFormat& format) {
  return format.strict ? Unsupported::refuse : Unsupported::ignore;
}

Program compile_json_or_calls(const OutputFormat& format, const Tokenizer& tokenizer) {
  Builder builder;
  JsonRules rules(builder);
  const Builder::Rule json =
      format.kind == OutputFormat::Kind::json_schema
          ? write_json_schema(builder, rules, format.schema, "json_schema", unsupported(format))
          : rules.object();
  const Builder::Rule calls =
      write_tool_calls(builder, rules, format.tools, format.several_calls, tokenizer);
  const Builder::Rule text = builder.declare();
  builder.begin(text);
  builder.either([&] { builder.call(json); }, [&] { builder.call(calls); });
  builder.end();
  return finish_output(builder, rules, text);
}

Program compile(const OutputFormat& format, const Tokenizer& tokenizer) {
  if (format.kind != OutputFormat::Kind::tool_calls && !format.tools.empty()) {
    return compile_json_or_calls(format, tokenizer);
  }
  switch (format.kind) {
    case OutputFormat::Kind::json_schema:
      return compile_json_schema(format.schema, "json_schema", unsupported(format));
    case OutputFormat::Kind::tool_calls:
      return compile_tool_calls(format.tools, format.several_calls, tokenizer);
    default:
      return compile_json_object();
  }
}

}  // namespace

std::shared_ptr<Grammar> Grammars::of(const OutputFormat& format) {
  const std::lock_guard lock(lock_);
  const auto known = std::find_if(known_.begin(), known_.end(),
                                  [&](const auto& entry) { return entry.first == format; });
  if (known != known_.end()) {
    known_.splice(known_.begin(), known_, known);
    return known_.front().second;
  }
  Program program = compile(format, *tokenizer_);
  if (!trie_) trie_ = std::make_shared<const TokenTrie>(*tokenizer_, kTags);
  known_.emplace_front(format, std::make_shared<Grammar>(std::move(program), trie_));
  if (known_.size() > kMost) known_.pop_back();
  return known_.front().second;
}

}  // namespace zaya::grammar
