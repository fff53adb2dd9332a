#include "rsa/answer_rule.h"

namespace zaya::rsa {

AnswerRule answer_rule(std::optional<answers::Kind> kind) {
  if (!kind) return {};
  return {
      .extract = [kind = *kind](const std::string& text) { return answers::extract(text, kind); },
      .same = [kind = *kind](const std::string& a,
                             const std::string& b) { return answers::equivalent(a, b, kind); }};
}

std::optional<answers::Kind> answer_kind_of_prompt(std::string_view prompt) {
  if (prompt == "open") return std::nullopt;
  return answers::parse_kind(prompt);
}

}  // namespace zaya::rsa
