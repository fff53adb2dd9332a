#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "zaya/token.h"

namespace zaya {

/// Where a growing text repeats itself. Knows for the last 2 to 8 tokens, the longest run first,
/// where they stood before, last: what followed there is a guess at what follows now (prompt-lookup
/// decoding, Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding; n-gram speculation).
///
/// append() takes the same time however long the text is; memory is at most 120 bytes a token.
class PromptLookup {
 public:
  static constexpr std::size_t kLeast = 2;  ///< shortest run that counts as a repetition
  static constexpr std::size_t kMost = 8;   ///< longest that is looked for; both are our choice

  PromptLookup();

  void append(TokenId token);

  const std::vector<TokenId>& tokens() const { return tokens_; }

  /// How many of the last tokens, kLeast to kMost, stood in the text before; 0: no such run.
  std::size_t match() const { return match_; }

  /// Token i of what followed the match; needs one. What is not written yet repeats: after "a b a
  /// b" comes "a b a b a b ...".
  TokenId next(std::size_t i) const { return tokens_[match_end_ + i % period()]; }

 private:
  /// The last place of every run of one length: a hash table of ends, without the runs themselves.
  class Table {
   public:
    explicit Table(std::size_t run) : run_(run) {}
    /// Notes that the last `run` tokens end the text; returns where they ended before, or 0.
    std::size_t replace(std::span<const TokenId> text, std::uint64_t hash);

   private:
    std::uint32_t& slot(std::span<const TokenId> text, std::size_t end, std::uint64_t hash);
    void grow(std::span<const TokenId> text);

    std::size_t run_;
    std::size_t used_ = 0;
    std::vector<std::uint32_t> ends_;  // 0: free. A power of two of them, at most half used
  };

  std::size_t period() const { return tokens_.size() - match_end_; }

  std::vector<TokenId> tokens_;
  std::vector<Table> tables_;  // of runs of kLeast, kLeast + 1, ...
  std::size_t match_ = 0;
  std::size_t match_end_ = 0;
};

}  // namespace zaya
