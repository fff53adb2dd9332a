#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_table.h"
#include "zaya/token.h"

namespace zaya {

/// An entry of `added_tokens`: a string that is cut out of the text before the model sees it.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;      ///< decoding may leave it out
  bool normalized = false;   ///< looked for in the normalised text, itself normalised
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space after it
  bool single_word = false;  ///< only where no word character is next to it
};

/// Finds added tokens in a text: from left to right, at each place the longest that starts there,
/// by walking a trie of bytes.
class AddedTokenFinder {
 public:
  /// Longest pattern in bytes: it bounds the work at each place of a text.
  static constexpr std::size_t kMaxPattern = 1024;
  /// Most bytes of all patterns.
  static constexpr std::size_t kMaxTotal = std::size_t{1} << 20;

  struct Part {
    std::string_view text;
    const AddedToken* token;  ///< nullptr: ordinary text
  };

  /// Looks for `pattern`, not empty and within the limits; `token` must outlive the finder. Of
  /// equal patterns the first counts.
  void add(std::string_view pattern, const AddedToken* token);
  bool empty() const { return tokens_.empty(); }

  /// Calls visit(Part) for the text between tokens, never empty, and for the tokens, in order.
  template <typename Visit>
  void split(std::string_view text, Visit&& visit) const {
    std::size_t done = 0;
    std::size_t space_end = 0;
    for (std::size_t from = 0;;) {
      const Match match = find(text, from);
      if (match.token == nullptr) break;
      from = match.end;
      if (match.token->single_word && !stands_alone(text, match)) continue;
      const Match whole = strip(text, match, done, space_end);
      if (done < whole.begin) visit(Part{text.substr(done, whole.begin - done), nullptr});
      if (whole.begin < whole.end) {
        visit(Part{text.substr(whole.begin, whole.end - whole.begin), whole.token});
      }
      done = whole.end;
    }
    if (done < text.size()) visit(Part{text.substr(done), nullptr});
  }

 private:
  struct Match {
    std::size_t begin;
    std::size_t end;
    const AddedToken* token;  // nullptr: none
  };

  Match find(std::string_view text, std::size_t from) const;
  static bool stands_alone(std::string_view text, const Match& match);
  static Match strip(std::string_view text, Match match, std::size_t done, std::size_t& space_end);

  std::array<bool, 256> starts_{};         // bytes that a pattern starts with
  PairMap edges_;                          // node and byte -> node; the root is node 0
  std::vector<const AddedToken*> tokens_;  // the pattern that ends at a node, or nullptr
};

}  // namespace zaya
