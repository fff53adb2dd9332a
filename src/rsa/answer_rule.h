#pragma once

#include <optional>
#include <string_view>

#include "answers/answers.h"
#include "rsa/result.h"

namespace zaya::rsa {

/// How answers to a kind of problem are read and compared; of open questions (none) there is
/// nothing to compare.
AnswerRule answer_rule(std::optional<answers::Kind> kind);
/// What kind of answer goes with a built-in aggregation prompt; none for open questions.
std::optional<answers::Kind> answer_kind_of_prompt(std::string_view prompt);

}  // namespace zaya::rsa
