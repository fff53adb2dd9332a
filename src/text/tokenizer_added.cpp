#include "text/tokenizer_added.h"

#include <algorithm>

#include "text/utf8.h"

namespace zaya {
void AddedTokenFinder::add(std::string_view pattern, const AddedToken* token) {
  if (tokens_.empty()) tokens_.push_back(nullptr);
  starts_[static_cast<unsigned char>(pattern.front())] = true;
  std::uint32_t node = 0;
  for (const char byte : pattern) {
    std::uint32_t next = edges_.find(node, static_cast<unsigned char>(byte));
    if (next == PairMap::kMissing) {
      next = static_cast<std::uint32_t>(tokens_.size());
      edges_.set(node, static_cast<unsigned char>(byte), next);
      tokens_.push_back(nullptr);
    }
    node = next;
  }
  if (tokens_[node] == nullptr) tokens_[node] = token;
}

AddedTokenFinder::Match AddedTokenFinder::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    Match match{begin, begin, nullptr};
    std::uint32_t node = 0;
    for (std::size_t i = begin; i < text.size(); ++i) {
      node = edges_.find(node, static_cast<unsigned char>(text[i]));
      if (node == PairMap::kMissing) break;
      if (tokens_[node] != nullptr) {
        match.end = i + 1;
        match.token = tokens_[node];
      }
    }
    if (match.token != nullptr) return match;
  }
  return {text.size(), text.size(), nullptr};
}

bool AddedTokenFinder::stands_alone(std::string_view text, const Match& match) {
  std::size_t after = match.end;
  return (match.begin == 0 || !is_word_character(last_code_point(text.substr(0, match.begin)))) &&
         (after == text.size() || !is_word_character(next_code_point(text, after)));
}

// Widens a match by the white space that its token takes: on the left back to `done`, the end of
// the token before, on the right without a bound. A token that starts in white space which the one
// before has taken: as in Hugging Face's library it follows all the same, unless it takes white
// space on its left; then nothing is left of it. `space_end` remembers where that space ends, so
// that it is looked through once and not once a token in it.
AddedTokenFinder::Match AddedTokenFinder::strip(std::string_view text, Match match,
                                                std::size_t done, std::size_t& space_end) {
  if (match.token->lstrip) {
    while (match.begin > done) {
      const std::string_view before = text.substr(0, match.begin);
      std::size_t begin = before.size() - 1;
      while ((static_cast<unsigned char>(text[begin]) & 0xc0U) == 0x80U) --begin;
      if (!is_white_space(last_code_point(before))) break;
      match.begin = begin;
    }
    match.begin = std::max(match.begin, done);
  }
  if (match.token->rstrip) {
    match.end = std::max(match.end, space_end);
    for (std::size_t next = match.end; next < text.size(); match.end = next) {
      if (!is_white_space(next_code_point(text, next))) break;
    }
    space_end = match.end;
  }
  return match;
}

}  // namespace zaya
