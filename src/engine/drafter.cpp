#include "engine/drafter.h"

#include <algorithm>
#include <utility>

namespace zaya {

// Until something is known: longer runs are more likely to go on. Ours: drafts of 2 to 5 tokens.
Drafter::Drafter(std::size_t most, std::span<const TokenId> text)
    : unread_(text.begin(), text.end()), most_(most) {
  for (std::size_t run = PromptLookup::kLeast; run <= PromptLookup::kMost; ++run) {
    shares_[run] = static_cast<double>(run) / static_cast<double>(run + 1);
  }
}

void Drafter::read(TokenId token) {
  if (const std::size_t run = lookup_.match(); run > 0) {
    const double seen = token == lookup_.next(0) ? 1.0 : 0.0;
    shares_[run] += kLearningRate * (seen - shares_[run]);
  }
  lookup_.append(token);
}

std::vector<TokenId> Drafter::draft(std::size_t room) {
  for (const TokenId token : std::exchange(unread_, {})) read(token);
  std::vector<TokenId> out;
  std::size_t run = lookup_.match();
  if (run == 0) return out;
  double chance = 1.0;
  for (std::size_t i = 0; i < std::min(room, most_); ++i) {
    chance *= shares_[run];
    if (chance < kLeastChance) break;
    out.push_back(lookup_.next(i));
    run = std::min(run + 1, PromptLookup::kMost);  // with a token that is right it is longer
  }
  return out;
}

}  // namespace zaya
