#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/grammar/program.h"
#include "text/tokenizer.h"
#include "zaya/token.h"

namespace zaya::grammar {

/// Which tokens may come next: a bit for each, or a list where they are few.
class TokenMask {
 public:
  /// No token of `vocab`.
  explicit TokenMask(std::size_t vocab) : vocab_(vocab) {}

  /// All tokens with a bit in `words`, in addition.
  void add(std::span<const std::uint64_t> words);
  void add(std::span<const TokenId> ids);

  bool contains(TokenId id) const;
  bool empty() const { return words_.empty() && ids_.empty(); }
  /// The tokens in order.
  std::vector<TokenId> ids() const;
  /// allowed[i] = logits[i] for the tokens of the mask, else minus infinity.
  void apply(std::span<const float> logits, std::span<float> allowed) const;
  std::size_t bytes() const { return words_.size() * 8 + ids_.size() * sizeof(TokenId) + 64; }

 private:
  std::size_t vocab_;
  std::vector<std::uint64_t> words_;
  std::vector<TokenId> ids_;  // when there are no words
};

/// The bytes of all tokens of a vocabulary as a prefix tree, so that an automaton that refuses a
/// byte refuses all tokens that begin so at once. Made once a tokenizer (a quarter of a second and
/// some 15 MB for 262k tokens) and shared by all grammars.
class TokenTrie {
 public:
  /// A node of the tree. They stand in depth-first order.
  struct Node {
    std::uint32_t skip;  ///< the node after all those below this
    TokenId token;       ///< the token that ends here, or -1
    std::uint8_t byte;
    std::uint8_t depth;  ///< bytes from the root to here, from 1
  };

  /// The tokens that are plain text of one kind (PlainText), and the others.
  struct Slice {
    /// Tokens of more characters are among the others.
    static constexpr std::uint32_t kLongest = 32;
    std::array<std::vector<std::uint64_t>, kLongest + 1> up_to;  ///< by characters: a bit a token
    std::vector<Node> others;
  };

  /// All tokens of the tokenizer that are text. Special tokens are not, nor are placeholders
  /// ("<unused7>") and those spelt like one of `tags`: they get into a text by Op::token only.
  TokenTrie(const Tokenizer& tokenizer, std::span<const std::string_view> tags);

  std::size_t vocab() const { return begins_.size() - 1; }
  /// The text of a token, empty for one that is no text.
  std::string_view bytes(TokenId id) const;
  std::span<const Node> nodes() const { return nodes_; }
  const Slice& slice(PlainText kind) const { return slices_[static_cast<std::size_t>(kind)]; }
  /// Tokens with the same bytes as another: that one (which is in the tree), and it.
  std::span<const std::pair<TokenId, TokenId>> twins() const { return twins_; }

 private:
  std::vector<Node> tree_of(std::span<const TokenId> sorted) const;
  void make_slice(PlainText kind, std::span<const TokenId> sorted);

  std::string text_;
  std::vector<std::uint32_t> begins_;  // by id
  std::vector<Node> nodes_;
  std::array<Slice, kPlainKinds> slices_;
  std::vector<std::pair<TokenId, TokenId>> twins_;
};

}  // namespace zaya::grammar
