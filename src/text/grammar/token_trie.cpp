#include "text/grammar/token_trie.h"

#include <algorithm>
#include <limits>

#include "text/utf8.h"

namespace zaya::grammar {
namespace {

constexpr std::size_t kLongestToken = 255;

bool is_placeholder(std::string_view spelling) {
  return spelling == "<mask>" || spelling == "[multimodal]" ||
         (spelling.starts_with("<unused") && spelling.ends_with('>'));
}

bool is_plain(PlainText kind, std::string_view text) {
  const ByteSet set = plain_bytes(kind);
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return set[static_cast<unsigned char>(c)]; });
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

void TokenMask::add(std::span<const std::uint64_t> words) {
  if (words_.empty()) {
    words_.assign((vocab_ + 63) / 64, 0);
    for (const TokenId id : ids_) words_[id / 64] |= std::uint64_t{1} << id % 64;
    ids_.clear();
    ids_.shrink_to_fit();
  }
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= words[i];
}

void TokenMask::add(std::span<const TokenId> ids) {
  if (words_.empty() && ids_.size() + ids.size() > vocab_ / 64) {
    words_.assign((vocab_ + 63) / 64, 0);
    for (const TokenId id : ids_) words_[id / 64] |= std::uint64_t{1} << id % 64;
    ids_.clear();
    ids_.shrink_to_fit();
  }
  if (!words_.empty()) {
    for (const TokenId id : ids) words_[id / 64] |= std::uint64_t{1} << id % 64;
    return;
  }
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  std::sort(ids_.begin(), ids_.end());
  ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
}

bool TokenMask::contains(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab_) return false;
  if (!words_.empty()) return (words_[id / 64] >> id % 64 & 1) != 0;
  return std::binary_search(ids_.begin(), ids_.end(), id);
}

std::vector<TokenId> TokenMask::ids() const {
  if (words_.empty()) return ids_;
  std::vector<TokenId> result;
  for (std::size_t id = 0; id < vocab_; ++id) {
    if ((words_[id / 64] >> id % 64 & 1) != 0) result.push_back(static_cast<TokenId>(id));
  }
  return result;
}

void TokenMask::apply(std::span<const float> logits, std::span<float> allowed) const {
  constexpr float kNot = -std::numeric_limits<float>::infinity();
  const std::size_t size = std::min(logits.size(), vocab_);
  if (words_.empty()) {
    std::fill(allowed.begin(), allowed.end(), kNot);
    for (const TokenId id : ids_) {
      if (static_cast<std::size_t>(id) < size) allowed[id] = logits[id];
    }
    return;
  }
  for (std::size_t begin = 0; begin < size; begin += 64) {
    const std::uint64_t word = words_[begin / 64];
    const std::size_t count = std::min<std::size_t>(64, size - begin);
    if (word == ~std::uint64_t{0}) {
      std::copy_n(logits.begin() + begin, count, allowed.begin() + begin);
      continue;
    }
    for (std::size_t i = 0; i < count; ++i) {
      allowed[begin + i] = (word >> i & 1) != 0 ? logits[begin + i] : kNot;
    }
  }
  std::fill(allowed.begin() + size, allowed.end(), kNot);
}

TokenTrie::TokenTrie(const Tokenizer& tokenizer, std::span<const std::string_view> tags) {
  const TokenId size = tokenizer.vocab_size();
  begins_.reserve(static_cast<std::size_t>(size) + 1);
  begins_.push_back(0);
  std::vector<TokenId> sorted;
  for (TokenId id = 0; id < size; ++id) {
    const std::string_view spelling = tokenizer.token(id);
    if (!tokenizer.is_special(id) && !is_placeholder(spelling) &&
        std::find(tags.begin(), tags.end(), spelling) == tags.end()) {
      const std::string bytes = tokenizer.token_bytes(id);
      if (bytes.size() <= kLongestToken) text_ += bytes;
    }
    begins_.push_back(static_cast<std::uint32_t>(text_.size()));
    if (begins_[id] != begins_[id + 1]) sorted.push_back(id);
  }
  std::sort(sorted.begin(), sorted.end(), [&](TokenId a, TokenId b) {
    const auto order = bytes(a).compare(bytes(b));
    return order != 0 ? order < 0 : a < b;
  });
  const auto same = [&](TokenId a, TokenId b) { return bytes(a) == bytes(b); };
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (same(sorted[i - 1], sorted[i])) {
      const bool third = !twins_.empty() && twins_.back().second == sorted[i - 1];
      twins_.emplace_back(third ? twins_.back().first : sorted[i - 1], sorted[i]);
    }
  }
  sorted.erase(std::unique(sorted.begin(), sorted.end(), same), sorted.end());
  nodes_ = tree_of(sorted);
  make_slice(PlainText::json, sorted);
  make_slice(PlainText::tag, sorted);
}

std::string_view TokenTrie::bytes(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab()) return {};
  return std::string_view(text_).substr(begins_[id], begins_[id + 1] - begins_[id]);
}

std::vector<TokenTrie::Node> TokenTrie::tree_of(std::span<const TokenId> sorted) const {
  std::vector<Node> nodes;
  std::vector<std::uint32_t> open;  // the nodes above the next one
  std::string_view before;
  const auto close = [&](std::size_t depth) {
    for (; open.size() > depth; open.pop_back()) {
      nodes[open.back()].skip = static_cast<std::uint32_t>(nodes.size());
    }
  };
  for (const TokenId id : sorted) {
    const std::string_view text = bytes(id);
    const auto common = static_cast<std::size_t>(
        std::mismatch(text.begin(), text.end(), before.begin(), before.end()).first - text.begin());
    close(common);
    for (std::size_t i = common; i < text.size(); ++i) {
      open.push_back(static_cast<std::uint32_t>(nodes.size()));
      nodes.push_back(
          {0, -1, static_cast<std::uint8_t>(text[i]), static_cast<std::uint8_t>(i + 1)});
    }
    nodes.back().token = id;
    before = text;
  }
  close(0);
  nodes.shrink_to_fit();
  return nodes;
}

void TokenTrie::make_slice(PlainText kind, std::span<const TokenId> sorted) {
  Slice& slice = slices_[static_cast<std::size_t>(kind)];
  for (auto& words : slice.up_to) words.assign((vocab() + 63) / 64, 0);
  std::vector<TokenId> others;
  for (const TokenId id : sorted) {
    const std::string_view text = bytes(id);
    const std::size_t length = characters(text);
    if (length > Slice::kLongest || !is_plain(kind, text) ||
        find_invalid_utf8(text) != std::string_view::npos) {
      others.push_back(id);
    } else {
      slice.up_to[length][id / 64] |= std::uint64_t{1} << id % 64;
    }
  }
  for (std::size_t n = 1; n < slice.up_to.size(); ++n) {
    for (std::size_t i = 0; i < slice.up_to[n].size(); ++i) {
      slice.up_to[n][i] |= slice.up_to[n - 1][i];
    }
  }
  slice.others = tree_of(others);
}

}  // namespace zaya::grammar
