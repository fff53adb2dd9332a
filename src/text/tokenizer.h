#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer_added.h"
#include "text/tokenizer_bpe.h"
#include "text/tokenizer_rules.h"
#include "text/tokenizer_vocabulary.h"
#include "zaya/token.h"

namespace zaya {

/// A byte-pair tokenizer as a tokenizer.json of Gemma's kind describes it: normaliser Replace,
/// pre-tokeniser Split at a string, BPE model with byte fallback, added tokens, post-processor
/// TemplateProcessing, decoder of Replace, ByteFallback, Fuse and Strip. Gives the ids and texts
/// that Hugging Face's tokenizers library gives for the same file.
///
/// A const Tokenizer may be used by several threads at once.
class Tokenizer {
 public:
  /// Longest text encode() takes, and largest tokenizer.json, in bytes.
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

  /// Reads a tokenizer.json. Throws Error naming the key when the file is damaged, contradicts
  /// itself or asks for something that is not supported. `truncation` and `padding` are left
  /// alone: they are the last settings of whoever saved the file and no part of the tokenizer.
  static Tokenizer load(const std::filesystem::path& path);
  /// The same from memory; `where` is the name for error messages.
  static Tokenizer parse(std::string_view json, const std::string& where);

  /// Text to tokens. Bytes that are not UTF-8 are read as U+FFFD, one for each maximal part of an
  /// ill-formed sequence. Added tokens are recognised in the text wherever their spelling occurs.
  /// A character that has no token, no byte tokens and no unknown token to stand for it is left
  /// out, as the file's format wants it. `add_special_tokens` puts the post-processor's tokens
  /// around. Throws Error when the text is longer than kMaxBytes.
  std::vector<TokenId> encode(std::string_view text, bool add_special_tokens = false) const;

  /// Tokens to text, always well-formed UTF-8: a run of byte tokens that is not becomes one U+FFFD
  /// a token. Ids without a token give no text. For text that arrives token by token see
  /// StreamDecoder.
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens = false) const;

  /// Largest id + 1. A model's logits may have more entries: those ids have no token.
  TokenId vocab_size() const { return vocabulary_.size(); }
  /// The token's spelling in the vocabulary ("▁the"), empty when the id has none. Valid as long as
  /// the tokenizer.
  std::string_view token(TokenId id) const { return vocabulary_.text(id); }
  /// What the token adds to a decoded text: a byte token its byte, which alone may be no UTF-8.
  /// Empty when the id has no token. Strip at the start of a text is left aside.
  std::string token_bytes(TokenId id) const;
  /// Whether the id is a token at all.
  bool contains(TokenId id) const { return vocabulary_.contains(id); }
  /// The token with this spelling.
  std::optional<TokenId> find(std::string_view spelling) const;
  /// Whether decoding with skip_special_tokens leaves it out.
  bool is_special(TokenId id) const {
    return id >= 0 && static_cast<std::size_t>(id) < special_.size() && special_[id];
  }

 private:
  friend class StreamDecoder;
  friend class TokenizerLoader;

  struct Decoder {
    std::vector<Replacement> replacements;
    bool byte_fallback = false;
    char32_t strip = 0;  // taken off the start of the text, up to strip_count times
    std::size_t strip_count = 0;
  };

  Tokenizer() = default;

  Vocabulary vocabulary_;
  Bpe bpe_;
  std::vector<AddedToken> added_;
  std::vector<bool> special_;  // by id
  AddedTokenFinder raw_finder_;
  AddedTokenFinder normalized_finder_;
  std::vector<Replacement> normalizer_;
  std::vector<Split> splits_;
  std::vector<TokenId> prefix_;  // what the post-processor adds
  std::vector<TokenId> suffix_;
  Decoder decoder_;
};

/// Decoding of one sequence, token by token. The texts joined are what Tokenizer::decode gives for
/// all the ids, and each is well-formed UTF-8.
class StreamDecoder {
 public:
  /// `tokenizer` must outlive the decoder. `shown`: special tokens that are not skipped.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = false,
                         std::vector<TokenId> shown = {})
      : tokenizer_(&tokenizer),
        skip_special_(skip_special_tokens),
        shown_(std::move(shown)),
        strip_left_(tokenizer.decoder_.strip_count) {}

  /// The text that is certain with this token. Byte tokens are held until another token ends
  /// their run, as each of them can still spoil the whole run.
  std::string push(TokenId id);

  /// The text still held. The decoder then is as new.
  std::string finish();

 private:
  bool is_skipped(TokenId id) const;
  std::string release(std::string_view text);

  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::vector<TokenId> shown_;
  std::size_t strip_left_;
  std::string bytes_;  // of the byte tokens since the last other one
};

}  // namespace zaya
