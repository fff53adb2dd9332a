#include "cache/sequence.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::size_t kPage = StateLayout::kPageTokens;

std::size_t pages_for(std::size_t tokens) {
  return (tokens + kPage - 1) / kPage;
}

}  // namespace

void Sequence::Pages::push(PagePool::Page page) {
  data.push_back(page.get());
  held.push_back(std::move(page));
}

void Sequence::Pages::replace(std::size_t index, PagePool::Page page) {
  data[index] = page.get();
  held[index] = std::move(page);
}

void Sequence::Pages::push_dropped(std::size_t count) {
  data.resize(count);
  held.resize(count);
  dropped = count;
}

void Sequence::Pages::keep(std::size_t count) {
  if (count >= size()) return;
  data.resize(count);
  held.resize(count);
  dropped = std::min(dropped, count);
}

void Sequence::Pages::drop(std::size_t count) {
  for (; dropped < count; ++dropped) {
    data[dropped] = nullptr;
    held[dropped].reset();
  }
}

Sequence::Sequence(const StateLayout& layout, std::shared_ptr<PagePool> pool,
                   std::shared_ptr<const std::vector<float>> initial_tail,
                   std::shared_ptr<const Adapter> adapter)
    : layout_(&layout),
      pool_(std::move(pool)),
      initial_tail_(std::move(initial_tail)),
      adapter_(std::move(adapter)),
      tail_(*initial_tail_),
      pages_(layout.layers()),
      known_(layout.layers()) {}

Sequence Sequence::fork() const {
  require_whole();
  Sequence out(*this);
  out.forget_known();
  out.draft_tails_ = {};
  return out;
}

KnownPrefix Sequence::known_prefix(std::size_t layers, std::size_t tokens) const {
  require_whole();
  const std::size_t count = std::min(tokens, length()) / kPage;
  const auto end = tokens_.begin() + static_cast<std::ptrdiff_t>(count * kPage);
  KnownPrefix out{.tokens = {tokens_.begin(), end}};
  for (std::size_t layer = 0; layer < std::min(layers, pages_.size()); ++layer) {
    const auto& held = pages_[layer].held;
    const std::size_t shared = layout_->window(layer) == 0 ? count : 0;
    out.pages.emplace_back(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(shared));
  }
  return out;
}

void Sequence::adopt(KnownPrefix prefix) {
  require_whole();
  forget_known();
  if (prefix.tokens.size() <= length()) return;
  for (std::size_t layer = 0; layer < prefix.pages.size(); ++layer) {
    auto& shared = prefix.pages[layer];
    if (shared.empty()) continue;
    known_[layer] = prefix.tokens.size();
    Pages& pages = pages_[layer];
    // Its own last page, if part full, is the begin of a whole one.
    pages.keep(length() / kPage);
    while (pages.size() < shared.size()) pages.push(std::move(shared[pages.size()]));
  }
  known_tokens_ = std::move(prefix.tokens);
}

void Sequence::forget_known() {
  known_tokens_.clear();
  std::fill(known_.begin(), known_.end(), 0);
  for (Pages& pages : pages_) pages.keep(pages_for(length()));
}

void Sequence::require_whole() const {
  if (in_step_) {
    throw Error({.where = "sequence state",
                 .what = "a step on this sequence did not finish; its state cannot be used"});
  }
}

SequenceView Sequence::view(std::size_t position) {
  view_pages_.clear();
  for (const Pages& pages : pages_) view_pages_.emplace_back(pages.data);
  return {.position = position,
          .pages = view_pages_,
          .tail = tail_.data(),
          .adapter = adapter_.get(),
          .known = known_};
}

std::span<const std::byte* const> Sequence::pages(std::size_t layer) const {
  require_whole();
  return std::span(pages_[layer].data).first(pages_for(length()));
}

std::span<const float> Sequence::tail() const {
  require_whole();
  return tail_;
}

/// Whether the next step writes to a page that another holds too. Only the last of its own tokens'
/// pages can be part full.
bool Sequence::copies_last(std::size_t layer) const {
  return length() % kPage != 0 && length() >= known_[layer] &&
         pages_[layer].held[length() / kPage].use_count() > 1;
}

std::size_t Sequence::bytes_for_step(std::size_t count) const {
  std::size_t bytes = 0;
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    const std::size_t wanted = std::max(pages_for(length() + count), pages_[layer].size());
    const std::size_t pages = wanted - pages_[layer].size() + (copies_last(layer) ? 1 : 0);
    bytes += pages * layout_->page_bytes(layer);
  }
  return bytes;
}

SequenceView Sequence::begin_step(std::size_t count, std::size_t drafts) {
  require_whole();
  try {
    make_room(count);
    draft_tails_.resize(drafts * tail_.size());
  } catch (...) {
    cancel_step();
    throw;
  }
  SequenceView out = view(length());
  out.drafts = drafts;
  out.draft_tails = draft_tails_.data();
  in_step_ = true;
  return out;
}

SequenceView Sequence::begin_restore(std::size_t count, std::span<const std::size_t> dropped) {
  require_whole();
  if (length() != 0) {
    throw Error({.where = "sequence state", .what = "only an empty one can be restored"});
  }
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    pages_[layer].push_dropped(dropped[layer]);
  }
  return begin_step(count);
}

void Sequence::cancel_step() {
  shorten(length());
  in_step_ = false;
}

/// What lies past the new length in the last page stays, and is never looked at.
void Sequence::shorten(std::size_t length) {
  tokens_.resize(length);
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    pages_[layer].keep(pages_for(std::max(length, known_[layer])));
  }
  draft_tails_ = {};
}

void Sequence::make_room(std::size_t count) {
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    const std::size_t bytes = layout_->page_bytes(layer);
    Pages& pages = pages_[layer];
    if (copies_last(layer)) {
      const std::size_t last = length() / kPage;
      PagePool::Page copy = pool_->allocate(bytes);
      std::memcpy(copy.get(), pages.data[last], bytes);
      pages.replace(last, std::move(copy));
    }
    while (pages.size() < pages_for(length() + count)) pages.push(pool_->allocate(bytes));
  }
  tokens_.reserve(length() + count);
}

void Sequence::end_step(std::span<const TokenId> tokens) {
  const std::span<const TokenId> known =
      std::span(known_tokens_).subspan(std::min(length(), known_tokens_.size()));
  const std::size_t both = std::min(known.size(), tokens.size());
  if (!std::equal(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(both),
                  known.begin())) {
    throw Error(
        {.where = "sequence state", .what = "other tokens than those whose K and V were adopted"});
  }
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  if (both == known.size()) forget_known();
  let_go(length() - drafts());
  in_step_ = false;
}

/// Drops what the windows of a sequence of that length have passed.
void Sequence::let_go(std::size_t length) {
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    pages_[layer].drop(layout_->first_needed(layer, length) / kPage);
  }
}

std::size_t Sequence::drafts() const {
  return draft_tails_.size() / tail_.size();
}

bool Sequence::can_roll_back(std::size_t length) const {
  if (length == this->length() || length == 0) return true;
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    const std::size_t reach = layout_->window(layer) - 1 + layout_->replay_tokens();
    const std::size_t first = length > reach ? length - reach : 0;
    if (pages_[layer].dropped * kPage > first) return false;
  }
  return length < this->length();
}

void Sequence::drop_drafts(std::size_t count) {
  require_whole();
  if (count > drafts()) {
    throw Error({.where = "sequence state",
                 .what = "more tokens to take back than were drafts",
                 .expected = "at most " + std::to_string(drafts()),
                 .found = std::to_string(count)});
  }
  if (count > 0) {
    const auto tail =
        draft_tails_.begin() + static_cast<std::ptrdiff_t>((count - 1) * tail_.size());
    std::copy_n(tail, tail_.size(), tail_.begin());
  }
  shorten(length() - count);
  let_go(length());
}

SequenceView Sequence::begin_rollback(std::size_t length) {
  require_whole();
  if (length > tokens_.size()) {
    throw Error({.where = "sequence state",
                 .what = "cannot roll back to a length it never had",
                 .expected = "at most " + std::to_string(tokens_.size()),
                 .found = std::to_string(length)});
  }
  if (!can_roll_back(length)) {
    throw Error({.where = "sequence state",
                 .what = "cannot roll back past what a sliding window has let go of",
                 .expected = "a length near " + std::to_string(tokens_.size()) + ", or 0",
                 .found = std::to_string(length)});
  }
  shorten(length);
  forget_known();
  tail_ = *initial_tail_;
  in_step_ = true;
  std::fill(known_.begin(), known_.end(), length);
  return view(length - std::min(length, layout_->replay_tokens()));
}

void Sequence::end_rollback() {
  std::fill(known_.begin(), known_.end(), 0);
  in_step_ = false;
}

}  // namespace zaya
