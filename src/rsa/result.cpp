#include "rsa/result.h"

#include <algorithm>

namespace zaya::rsa {

void Usage::add(const Output& output) {
  ++calls;
  prompt_tokens += output.prompt_tokens;
  cached_tokens += output.cached_tokens;
  output_tokens += output.output_tokens;
}

void Usage::add(const Usage& other) {
  calls += other.calls;
  prompt_tokens += other.prompt_tokens;
  cached_tokens += other.cached_tokens;
  output_tokens += other.output_tokens;
}

const Candidate* Result::find(std::size_t stage, std::size_t slot) const {
  const auto at = std::find_if(stages[stage].begin(), stages[stage].end(),
                               [&](const Candidate& c) { return c.slot == slot; });
  return at == stages[stage].end() ? nullptr : &*at;
}

const Candidate* Result::choice() const {
  return chosen ? find(answer_stage, *chosen) : nullptr;
}

std::vector<Vote> count_votes(const std::vector<Candidate>& candidates, const AnswerRule& rule) {
  std::vector<Vote> votes;
  for (const Candidate& candidate : candidates) {
    if (!candidate.answer) continue;
    // With the first of each group: that two answers are the same is no transitive relation when
    // numbers are compared within a tolerance.
    const auto group = std::find_if(votes.begin(), votes.end(), [&](const Vote& vote) {
      return vote.answer == *candidate.answer ||
             (rule.same && rule.same(vote.answer, *candidate.answer));
    });
    if (group == votes.end()) {
      votes.push_back({*candidate.answer, {candidate.slot}});
    } else {
      group->slots.push_back(candidate.slot);
    }
  }
  std::stable_sort(votes.begin(), votes.end(),
                   [](const Vote& a, const Vote& b) { return a.slots.size() > b.slots.size(); });
  return votes;
}

}  // namespace zaya::rsa
