#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "engine/prompt_lookup.h"
#include "zaya/token.h"

namespace zaya {

/// Drafts what one sequence may go on with, as long as it is likely to pay. Deterministic.
///
/// It follows the whole text, drafted or not, and learns how often the token after a repeated run
/// of each length was the one that followed before. A draft goes on while the chance that all of it
/// is right, the product of these shares, is at least kLeastChance; so texts that do not repeat
/// themselves are drafted little or not at all, and a text that begins to is drafted again.
class Drafter {
 public:
  /// A row more makes a step longer by a third to three quarters of a step of one (measured: 2, 4
  /// and 16 rows take 1.7, 2.8 and 6.1 times as long), since most rows read experts of their own. A
  /// token that is right less often than this does not pay. Our choice.
  static constexpr double kLeastChance = 0.5;
  /// Weight of a new observation in the share of its run length. Our choice.
  static constexpr double kLearningRate = 0.125;

  /// `most`: tokens of the longest draft. `text`: what there is so far.
  Drafter(std::size_t most, std::span<const TokenId> text);

  void append(TokenId token) { unread_.push_back(token); }

  /// A guess at the next tokens, at most `room`; often none. The first one reads the prompt, about
  /// a microsecond a token; who waits for its turn holds no index yet.
  std::vector<TokenId> draft(std::size_t room);

 private:
  void read(TokenId token);

  PromptLookup lookup_;
  std::vector<TokenId> unread_;  // the end of the text
  std::size_t most_;
  std::array<double, PromptLookup::kMost + 1> shares_{};  ///< by the length of the run
};

}  // namespace zaya
