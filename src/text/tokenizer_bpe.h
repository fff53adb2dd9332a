#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "text/tokenizer_table.h"
#include "text/tokenizer_vocabulary.h"
#include "zaya/token.h"

namespace zaya {

/// Byte-pair encoding over characters, with the result of Hugging Face's BPE model: a text becomes
/// its characters' tokens, then the adjacent pair of lowest rank, leftmost first, is merged until
/// no pair has a merge.
///
/// Three things make it fast and change no result. A text is cut wherever the pair of characters at
/// the place is inside no merged token, as no merge can cross it; with Gemma's vocabulary this cuts
/// before every word. A piece that is one token, and was found to encode to it, needs one search in
/// the vocabulary. Other pieces are merged by scanning when short and with a heap when long,
/// O(n log n).
class Bpe {
 public:
  struct Options {
    TokenId unknown = Vocabulary::kNone;  ///< for characters without a token; kNone drops them
    bool byte_fallback = false;           ///< spell such characters as <0xNN> tokens if all exist
    bool fuse_unknown = false;            ///< one unknown token for a run of such characters
    bool ignore_merges = false;           ///< a text that is a token is that token
  };

  /// Memory that encode() works in, to be used again for the next text.
  struct Scratch {
    struct Symbol {
      TokenId id = 0;
      std::uint32_t rank = 0;  ///< of the merge with the next symbol
      TokenId merged = 0;      ///< what that merge gives
      std::uint32_t previous = 0;
      std::uint32_t next = 0;
    };
    std::vector<Symbol> symbols;
    std::vector<std::uint64_t> heap;
  };

  Bpe() = default;
  /// The tokens that `vocabulary` has now are the model's; later ones are never a result.
  Bpe(const Vocabulary& vocabulary, Options options);

  /// Tokens left and right become `merged`, their concatenation.
  struct Merge {
    TokenId left = 0;
    TokenId right = 0;
    TokenId merged = 0;
    std::string_view left_text;
    std::string_view right_text;
  };
  static constexpr std::size_t kMaxMerges = PairMap::kMissing;

  /// Adds merges of the next ranks; all ids must be the model's. A repeated pair gets the last
  /// rank.
  void add_merges(std::span<const Merge> merges);
  void reserve_merges(std::size_t count);

  /// Appends the tokens of a well-formed UTF-8 text. `vocabulary` is the one of construction.
  /// May be called from several threads, each with its own scratch.
  void encode(const Vocabulary& vocabulary, std::string_view text, Scratch& scratch,
              std::vector<TokenId>& out) const;

 private:
  // What is known of a token's own text: whether it encodes to the token. Found out when first
  // needed; any number of threads may find out the same.
  enum class Whole : std::uint8_t { unknown, yes, no, outside };

  TokenId character_token(char32_t code_point) const {
    return characters_[(static_cast<std::size_t>(blocks_[code_point >> 8]) << 8) |
                       (code_point & 0xff)];
  }
  void add_character(char32_t code_point, TokenId id);
  void encode_unknown(std::string_view character, bool& pending, std::vector<TokenId>& out) const;
  void encode_piece(const Vocabulary& vocabulary, std::string_view piece, Scratch& scratch,
                    std::vector<TokenId>& out) const;
  void encode_uncut(std::string_view text, Scratch& scratch, std::vector<TokenId>& out) const;
  void merge(Scratch& scratch, std::vector<TokenId>& out) const;
  void merge_by_scan(std::vector<Scratch::Symbol>& symbols) const;
  void merge_by_heap(Scratch& scratch) const;
  void join(std::vector<Scratch::Symbol>& symbols, std::uint32_t left) const;
  void rank_pair(std::vector<Scratch::Symbol>& symbols, std::uint32_t left) const;

  Options options_;
  bool may_cut_ = true;
  std::array<TokenId, 256> bytes_{};  // of <0xNN>, kNone where missing
  // Code point -> token, in blocks of 256 of which only those in use exist; block 0 is empty.
  std::vector<std::uint16_t> blocks_;
  std::vector<TokenId> characters_;
  PairMap ranks_;                // of the merge of two tokens
  std::vector<TokenId> merged_;  // by rank
  PairMap touching_;             // code points that some merge joins
  std::unique_ptr<std::atomic<Whole>[]> whole_;
  TokenId size_ = 0;
};

}  // namespace zaya
