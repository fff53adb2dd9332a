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

Program compile(const OutputFormat& format, const Tokenizer& tokenizer) {
  switch (format.kind) {
    case OutputFormat::Kind::json_schema:
      return compile_json_schema(format.schema, "json_schema",
                                 format.strict ? Unsupported::refuse : Unsupported::ignore);
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
