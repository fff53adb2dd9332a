#include "engine/prompt_lookup.h"

#include <algorithm>

namespace zaya {
namespace {

/// Slots that are looked at for a run. In a table that is half full, runs of used slots are hardly
/// ever as long, unless somebody makes tokens collide: then runs are forgotten, and nothing is
/// slow.
constexpr std::size_t kProbes = 64;

/// The hash of a run from that of its end: token by token from the last to the first.
std::uint64_t extend(std::uint64_t hash, TokenId token) {
  hash = (hash ^ static_cast<std::uint32_t>(token)) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 32);
}

std::uint64_t hash_of(std::span<const TokenId> run) {
  std::uint64_t hash = 0;
  for (auto it = run.rbegin(); it != run.rend(); ++it) hash = extend(hash, *it);
  return hash;
}

}  // namespace

/// The slot of the run that ends at `end`: its own, a free one, or else the oldest of those near.
std::uint32_t& PromptLookup::Table::slot(std::span<const TokenId> text, std::size_t end,
                                         std::uint64_t hash) {
  const auto run = text.subspan(end - run_, run_);
  const std::size_t mask = ends_.size() - 1;
  std::uint32_t* oldest = nullptr;
  for (std::size_t i = 0; i < std::min(kProbes, ends_.size()); ++i) {
    std::uint32_t& at = ends_[(hash + i) & mask];
    if (at == 0 || std::ranges::equal(text.subspan(at - run_, run_), run)) return at;
    if (oldest == nullptr || at < *oldest) oldest = &at;
  }
  return *oldest;
}

void PromptLookup::Table::grow(std::span<const TokenId> text) {
  std::vector<std::uint32_t> old(std::max<std::size_t>(64, 2 * ends_.size()));
  old.swap(ends_);
  for (const std::uint32_t end : old) {
    if (end != 0) slot(text, end, hash_of(text.subspan(end - run_, run_))) = end;
  }
}

std::size_t PromptLookup::Table::replace(std::span<const TokenId> text, std::uint64_t hash) {
  if (2 * used_ >= ends_.size()) grow(text);
  std::uint32_t& at = slot(text, text.size(), hash);
  const std::uint32_t before = at;
  at = static_cast<std::uint32_t>(text.size());
  if (before == 0) ++used_;
  const bool same =
      before != 0 && std::ranges::equal(text.subspan(before - run_, run_), text.last(run_));
  return same ? before : 0;
}

PromptLookup::PromptLookup() {
  for (std::size_t run = kLeast; run <= kMost; ++run) tables_.emplace_back(run);
}

void PromptLookup::append(TokenId token) {
  tokens_.push_back(token);
  match_ = 0;
  std::uint64_t hash = 0;
  for (std::size_t run = 1; run <= std::min(kMost, tokens_.size()); ++run) {
    hash = extend(hash, tokens_[tokens_.size() - run]);
    if (run < kLeast) continue;
    const std::size_t end = tables_[run - kLeast].replace(tokens_, hash);
    if (end == 0) continue;
    match_ = run;
    match_end_ = end;
  }
}

}  // namespace zaya
