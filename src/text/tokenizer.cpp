#include "text/tokenizer.h"

#include <algorithm>

#include <fmt/format.h>
#include <simdjson.h>

#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya {
namespace {

bool is_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

// The byte that "<0xNN>" stands for.
std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : token.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    const char letter = static_cast<char>(c | 0x20);
    if (!digit && (letter < 'a' || letter > 'f')) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit ? c - '0' : letter - 'a' + 10);
  }
  return static_cast<char>(value);
}

}  // namespace

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  if (text.size() > kMaxBytes) {
    throw Error({.where = "tokenizer",
                 .what = "text is too long",
                 .expected = fmt::format("at most {} bytes", kMaxBytes),
                 .found = fmt::format("{}", text.size())});
  }
  std::string repaired;
  if (!is_utf8(text)) {
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }

  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + prefix_.size() + suffix_.size());
  if (add_special_tokens) ids = prefix_;
  Bpe::Scratch scratch;
  std::vector<std::string_view> parts;
  std::vector<std::string_view> finer;
  const auto encode_plain = [&](std::string_view plain) {
    parts.assign(1, plain);
    for (const Split& split : splits_) {
      finer.clear();
      for (const std::string_view part : parts) split.apply(part, finer);
      parts.swap(finer);
    }
    for (const std::string_view part : parts) bpe_.encode(vocabulary_, part, scratch, ids);
  };
  const auto encode_normalized = [&](std::string_view normalized) {
    if (normalized_finder_.empty()) {
      if (!normalized.empty()) encode_plain(normalized);
      return;
    }
    normalized_finder_.split(normalized, [&](const AddedTokenFinder::Part& part) {
      if (part.token == nullptr) return encode_plain(part.text);
      ids.push_back(part.token->id);
    });
  };
  raw_finder_.split(text, [&](const AddedTokenFinder::Part& part) {
    if (part.token == nullptr) return encode_normalized(apply_all(normalizer_, part.text));
    ids.push_back(part.token->id);
  });
  if (add_special_tokens) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  StreamDecoder decoder(*this, skip_special_tokens);
  std::string text;
  for (const TokenId id : ids) text += decoder.push(id);
  text += decoder.finish();
  return text;
}

std::optional<TokenId> Tokenizer::find(std::string_view spelling) const {
  const TokenId id = vocabulary_.find(spelling);
  return id == Vocabulary::kNone ? std::nullopt : std::optional(id);
}

std::string Tokenizer::token_bytes(TokenId id) const {
  std::string text = apply_all(decoder_.replacements, token(id));
  if (decoder_.byte_fallback) {
    if (const std::optional<char> byte = byte_of(text)) return {*byte};
  }
  return text;
}

std::string StreamDecoder::push(TokenId id) {
  if (!tokenizer_->contains(id) || is_skipped(id)) return {};
  const std::string text = apply_all(tokenizer_->decoder_.replacements, tokenizer_->token(id));
  if (tokenizer_->decoder_.byte_fallback) {
    if (const std::optional<char> byte = byte_of(text)) {
      bytes_.push_back(*byte);
      return {};
    }
  }
  return release(text);
}

bool StreamDecoder::is_skipped(TokenId id) const {
  return skip_special_ && tokenizer_->is_special(id) &&
         std::find(shown_.begin(), shown_.end(), id) == shown_.end();
}

std::string StreamDecoder::finish() {
  std::string text = release({});
  strip_left_ = tokenizer_->decoder_.strip_count;
  return text;
}

// The byte run that has ended, then `text`, less what is stripped from the sequence's start.
std::string StreamDecoder::release(std::string_view text) {
  std::string result;
  if (is_utf8(bytes_)) {
    result = bytes_;
  } else {
    for (std::size_t i = 0; i < bytes_.size(); ++i) append_utf8(result, kReplacementCharacter);
  }
  bytes_.clear();
  result += text;
  std::size_t begin = 0;
  while (strip_left_ > 0 && begin < result.size()) {
    std::size_t end = begin;
    if (next_code_point(result, end) == tokenizer_->decoder_.strip) {
      begin = end;
      --strip_left_;
    } else {
      strip_left_ = 0;
    }
  }
  return result.substr(begin);
}

}  // namespace zaya
